"""How many callers may wait, and whose context a computation runs in."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from sqlalchemy import Engine

from flask_powerauth_telemetry.computation import Computations
from flask_powerauth_telemetry.exceptions import Unavailable
from tests.support import powerauth
from tests.support.callers import LONG, Gate, eventually
from tests.support.service import ask, create_app

CALLER: ContextVar[int] = ContextVar("caller")


class Crowd:
    """Callers by name, each on a thread of its own."""

    def __init__(self, computations: Computations) -> None:
        self.computations = computations
        self._pool = ThreadPoolExecutor(64)

    def ask(self, caller: str, key: Any, gate: Gate) -> Any:
        """A caller who waits, or has been refused, by the time that this returns."""
        before = self.computations.waiting
        answer = self._pool.submit(
            self.computations.result, {key: gate}, keep_seconds=60, limit=LONG, caller=caller
        )
        eventually(lambda: self.computations.waiting > before or answer.done())
        return answer


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    crowd = Crowd(Computations(max_waiting=6))
    yield crowd
    crowd._pool.shutdown()


def refused(answer: Any) -> bool:
    return answer.done() and isinstance(answer.exception(), Unavailable)


@pytest.mark.parametrize("key", ["one", None])
def test_one_caller_has_half_of_the_places(crowd: Crowd, key: str | None) -> None:
    gate = Gate()
    mine = [crowd.ask("me", key or number, gate) for number in range(8)]
    others = [crowd.ask(f"other-{number}", "one", gate) for number in range(8)]
    assert [refused(answer) for answer in mine] == [False] * 3 + [True] * 5
    assert [refused(answer) for answer in others] == [False] * 3 + [True] * 5
    gate.opened.set()
    assert {answer.result(LONG)[0] for answer in mine[:3] + others[:3]} == {"value"}
    assert crowd.computations.waiting == 0
    assert not refused(crowd.ask("me", "later", gate))


def test_kept_results_are_given_to_any_number(crowd: Crowd) -> None:
    opened, closed = Gate(), Gate()
    opened.opened.set()
    crowd.ask("me", "kept", opened).result(LONG)
    waiting = [crowd.ask(f"caller-{number}", "slow", closed) for number in range(6)]
    assert crowd.ask("seventh", "kept", closed).result(LONG) == ("value", True)
    assert refused(crowd.ask("seventh", "other", closed))
    closed.opened.set()
    assert [answer.result(LONG)[0] for answer in waiting] == ["value"] * 6


def test_places_are_given_back_by_failures(crowd: Crowd) -> None:
    for number in range(20):
        gate = Gate(KeyError("cause"))
        gate.opened.set()
        with pytest.raises(KeyError):
            crowd.ask("me", number, gate).result(LONG)
    assert crowd.computations.waiting == 0


@pytest.mark.parametrize("raised", [TimeoutError, KeyboardInterrupt, SystemExit])
def test_places_are_given_back_by_callers_who_are_torn_away(raised: type[BaseException]) -> None:
    """As by a host's own time limit: a signal's handler, or gevent's Timeout."""
    gate, computations = Gate(), Computations(max_waiting=2)

    def tear_away(*_: object) -> None:
        raise raised

    before = signal.signal(signal.SIGALRM, tear_away)
    try:
        for _ in range(3):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(raised):
                computations.result({"one": gate}, keep_seconds=60, limit=LONG, caller="me")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert computations.waiting == 0
    gate.opened.set()
    assert computations.result({"one": gate}, keep_seconds=60, caller="me")[0] == "value"


def test_one_place_is_enough_for_one() -> None:
    crowd, gate = Crowd(Computations(max_waiting=1)), Gate()
    first = crowd.ask("me", "key", gate)
    assert refused(crowd.ask("me", "key", gate))
    gate.opened.set()
    assert first.result(LONG) == ("value", False)


@pytest.mark.parametrize(("places", "mine"), [(2, 1), (3, 1), (4, 2), (5, 2)])
def test_half_of_the_places_is_rounded_down_and_one_at_least(places: int, mine: int) -> None:
    crowd, gate = Crowd(Computations(max_waiting=places)), Gate()
    answers = [crowd.ask("me", "key", gate) for _ in range(places)]
    others = [crowd.ask(f"other-{number}", "key", gate) for number in range(places)]
    gate.opened.set()

    assert sum(not refused(answer) for answer in answers) == mine
    assert sum(not refused(answer) for answer in others) == places - mine


def test_no_limit() -> None:
    crowd, gate = Crowd(Computations()), Gate()
    answers = [crowd.ask("me", "key", gate) for _ in range(40)]
    gate.opened.set()
    assert {answer.result(LONG)[0] for answer in answers} == {"value"}


def test_each_computation_runs_in_its_callers_context() -> None:
    computations = Computations(threads=2)
    barrier = threading.Barrier(12)
    seen: dict[int, int] = {}

    def ask_as(number: int) -> None:
        CALLER.set(number)
        barrier.wait()

        def compute(_: object) -> int:
            seen[number] = CALLER.get()
            CALLER.set(-1)  # which no other sees
            return number

        assert computations.result({number: compute}, keep_seconds=0)[0] == number
        assert CALLER.get() == number

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda number: copy_context().run(ask_as, number), range(12)))
    assert seen == {number: number for number in range(12)}


@pytest.mark.parametrize("waiting", [6, 4])
def test_the_rest_is_refused_at_once_by_the_route(sqlite: Engine, waiting: int) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    app = create_app(sqlite, MAX_WAITING=waiting)
    service = app.extensions["powerauth_telemetry"]["powerauth_telemetry"].service
    gate, crowd = Gate(), Crowd(service._computations)
    held = [crowd.ask("billing", number, gate) for number in range(waiting // 2)]
    answer = ask(app.test_client(), "CURRENT_MAU", {"application": "retail"})
    gate.opened.set()
    assert [one.result(LONG)[0] for one in held] == ["value"] * (waiting // 2)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert ask(app.test_client(), "CURRENT_MAU", {"application": "retail"}).status_code == 200
