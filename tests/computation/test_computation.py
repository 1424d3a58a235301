"""One computation for many callers: sharing, keeping, failing, hanging; without a database."""

import os
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flask_powerauth_telemetry.computation import (
    GRACE_SECONDS,
    HANG_SECONDS,
    Computations,
    Task,
)
from flask_powerauth_telemetry.exceptions import ServerFault, TooSlow, Unavailable
from tests.support.callers import (
    LIMIT,
    LONG,
    Callers,
    Clock,
    Gate,
    ask_at_once,
    callers_of,
    eventually,
    threads_of_ours,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def callers(clock: Clock) -> Iterator[Callers]:
    with callers_of(Computations(threads=2, size=3, clock=clock)) as callers:
        yield callers


def test_one_computation_answers_all_who_ask_meanwhile(callers: Callers) -> None:
    gate = Gate()
    answers = [callers.ask("key", gate) for _ in range(32)]

    gate.opened.set()

    assert [answer.result(LONG) for answer in answers] == [("value", False)] * 32
    assert gate.runs == 1
    assert ask_at_once(callers, "key", gate) == ("value", True)


def test_two_at_once_and_the_others_in_their_order(callers: Callers) -> None:
    gates = [Gate(number) for number in range(4)]
    answers = [callers.ask(number, gate) for number, gate in enumerate(gates)]
    gates[0].wait()
    gates[1].wait()
    assert [gate.runs for gate in gates] == [1, 1, 0, 0]

    gates[1].opened.set()
    gates[2].wait()

    assert gates[3].runs == 0
    for gate in gates:
        gate.opened.set()
    assert [answer.result(LONG)[0] for answer in answers] == [0, 1, 2, 3]


def test_result_is_kept_until_it_expires(callers: Callers, clock: Clock) -> None:
    values = iter(range(10))

    def compute(_: Task) -> int:
        return next(values)

    assert ask_at_once(callers, "key", compute) == (0, False)
    clock.now = 59.9
    assert ask_at_once(callers, "key", compute) == (0, True)
    clock.now = 60
    assert ask_at_once(callers, "key", compute) == (1, False)


def test_what_was_used_longest_ago_makes_room(callers: Callers) -> None:
    def kept(key: str) -> bool:
        return bool(ask_at_once(callers, key, lambda _: key)[1])

    assert [kept(key) for key in "abc"] == [False] * 3
    assert kept("a")
    assert not kept("d")  # in place of b
    assert [kept(key) for key in "acd"] == [True] * 3
    assert not kept("b")


def test_nothing_is_kept_for_no_time_but_it_is_shared(callers: Callers) -> None:
    gate = Gate()
    answers = [callers.ask("key", gate, keep=0) for _ in range(8)]
    gate.opened.set()

    assert [answer.result(LONG) for answer in answers] == [("value", False)] * 8
    assert gate.runs == 1
    assert ask_at_once(callers, "key", gate, keep_seconds=0) == ("value", False)
    assert gate.runs == 2


def test_failure_goes_to_all_who_wait_and_is_not_kept(callers: Callers) -> None:
    gate = Gate(KeyError("cause"))
    answers = [callers.ask("key", gate) for _ in range(32)]
    gate.opened.set()

    errors = [answer.exception(LONG) for answer in answers]

    assert [type(error) for error in errors] == [KeyError] * 32
    assert gate.runs == 1
    assert ask_at_once(callers, "key", lambda _: "healed") == ("healed", False)


def test_shared_failure_does_not_gather_the_frames_of_all_callers(callers: Callers) -> None:
    gate = Gate(KeyError("cause"))
    answers = [callers.ask("key", gate) for _ in range(32)]
    gate.opened.set()
    errors = [answer.exception(LONG) for answer in answers]

    frames = traceback.extract_tb(errors[-1].__traceback__ if errors[-1] else None)

    assert len(frames) < 32
    assert frames[-1].name == "__call__"


@pytest.mark.parametrize("exception", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_is_no_exception_ends_one_computation_only(
    callers: Callers, exception: BaseException
) -> None:
    gate = Gate(exception)
    gate.opened.set()

    with pytest.raises(ServerFault, match=type(exception).__name__):
        ask_at_once(callers, "key", gate)

    assert ask_at_once(callers, "key", lambda _: "healed") == ("healed", False)


def test_too_slow_is_remembered_doubled_capped_and_forgotten(
    callers: Callers, clock: Clock
) -> None:
    runs = 0

    def compute(_: Task) -> None:
        nonlocal runs
        runs += 1
        raise TooSlow("57014")

    for run, seconds in enumerate((60, 120, 240, 480, 960, 1_920, 3_600, 3_600), 1):
        with pytest.raises(TooSlow) as told:
            ask_at_once(callers, "key", compute)
        assert (runs, told.value.retry_after) == (run, seconds)
        clock.now += seconds - 0.5
        with pytest.raises(TooSlow) as told:
            ask_at_once(callers, "key", compute)
        assert (runs, told.value.retry_after) == (run, 1)
        clock.now += 0.5

    assert ask_at_once(callers, "key", lambda _: "fast", keep_seconds=0) == ("fast", False)
    with pytest.raises(TooSlow) as told:
        ask_at_once(callers, "key", compute)
    assert told.value.retry_after == 60


def test_caller_of_a_running_computation_leaves_at_the_limit(callers: Callers) -> None:
    gate = Gate()
    patient = callers.ask("key", gate)
    gate.wait()
    started, used = time.monotonic(), time.thread_time()

    with pytest.raises(Unavailable, match=f"no result after {LIMIT + GRACE_SECONDS:g} s"):
        ask_at_once(callers, "key", gate, limit=LIMIT)

    assert time.thread_time() - used < LIMIT / 2  # the processor is others' meanwhile
    assert LIMIT <= time.monotonic() - started < LIMIT + GRACE_SECONDS + 0.5
    gate.opened.set()
    assert patient.result(LONG) == ("value", False)


def test_what_nobody_waits_for_is_not_begun(callers: Callers) -> None:
    gates = [Gate(), Gate()]
    running = [callers.ask(number, gate) for number, gate in enumerate(gates)]
    never = Gate()

    with pytest.raises(Unavailable):
        ask_at_once(callers, "queued", never, limit=LIMIT)

    for gate in gates:
        gate.opened.set()
    for answer in running:
        answer.result(LONG)
    eventually(lambda: not threads_of_ours())
    assert never.runs == 0


def test_computation_that_hangs_is_given_up_and_its_place_given_away(callers: Callers) -> None:
    gates = [Gate(), Gate()]
    interrupted = [threading.Event(), threading.Event()]

    def hang(number: int) -> Callable[[Task], Any]:
        def compute(task: Task) -> Any:
            task.interrupt_by(interrupted[number].set)
            return gates[number](task)

        return compute

    started = time.monotonic()
    hanging = [callers.ask(number, hang(number), limit=LIMIT) for number in (0, 1)]
    queued = callers.ask("queued", lambda _: "answer")

    assert queued.result(LONG) == ("answer", False)
    assert time.monotonic() - started < LIMIT + 1.5
    assert all(event.wait(LONG) for event in interrupted)
    for answer in hanging:
        assert isinstance(answer.exception(LONG), Unavailable)
    assert ask_at_once(callers, 0, lambda _: "healed") == ("healed", False)
    for gate in gates:
        gate.opened.set()
    eventually(lambda: not threads_of_ours())
    assert ask_at_once(callers, 0, lambda _: "late")[0] == "healed"


def test_next_caller_does_not_join_what_hangs(callers: Callers) -> None:
    blocker, other, hanging = Gate(), Gate(), Gate()
    first = [callers.ask("blocker", blocker), callers.ask("other", other)]
    left = callers.ask("key", hanging, limit=LIMIT)
    time.sleep(LIMIT + HANG_SECONDS)
    blocker.opened.set()
    hanging.wait()  # so late that its caller leaves before it is overdue
    assert isinstance(left.exception(LONG), Unavailable)
    time.sleep(LIMIT + HANG_SECONDS)

    assert ask_at_once(callers, "key", lambda _: "healed") == ("healed", False)

    for gate in (other, hanging):
        gate.opened.set()
    for answer in first:
        answer.result(LONG)


def test_interrupt_that_fails_harms_nobody(
    callers: Callers, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()

    def compute(task: Task) -> Any:
        task.interrupt_by(lambda: 1 / 0)  # type: ignore[arg-type]
        return gate(task)

    with pytest.raises(Unavailable):
        ask_at_once(callers, "key", compute, limit=LIMIT)
    gate.opened.set()
    assert caplog.messages[-1] == "A computation that hangs can't be ended"
    assert "ZeroDivisionError" in caplog.text


def test_task_given_up_is_interrupted_at_its_next_step(callers: Callers) -> None:
    gate, interrupted = Gate(), threading.Event()

    def compute(task: Task) -> Any:
        gate(task)
        task.interrupt_by(interrupted.set)

    with pytest.raises(Unavailable):
        ask_at_once(callers, "key", compute, limit=LIMIT)
    gate.opened.set()

    assert interrupted.wait(LONG)


def test_no_thread_to_be_had_is_unavailable(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(Unavailable, match="no thread"):
                ask_at_once(callers, "key", lambda _: "value")

    assert ask_at_once(callers, "key", lambda _: "value") == ("value", False)


def test_no_thread_is_left_after_many_computations(callers: Callers) -> None:
    before = threading.active_count()
    for number in range(2_000):
        ask_at_once(callers, number, lambda _: 1)

    eventually(lambda: not threads_of_ours())
    assert threading.active_count() <= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork_in_the_middle_begins_anew(callers: Callers) -> None:
    gates = [Gate(), Gate()]
    running = [callers.ask(number, gate) for number, gate in enumerate(gates)]
    with callers.computations._lock:  # as if another thread held it
        child = os.fork()
        if child == 0:
            status = 1
            try:
                answers = [ask_at_once(callers, key, lambda _: "child") for key in (0, 1, 2)]
                status = 0 if answers == [("child", False)] * 3 else 2
            finally:
                os._exit(status)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    for gate in gates:
        gate.opened.set()
    assert [answer.result(LONG)[0] for answer in running] == ["value", "value"]


def test_random_computations_from_many_threads() -> None:
    """Never more than 2 at once, never two of one key, and nobody waits for ever."""
    computations = Computations(threads=2, size=4)
    guard = threading.Lock()
    running: list[int] = []
    violations: list[str] = []
    end = time.monotonic() + 3

    def compute(key: int, source: random.Random) -> int:
        with guard:
            if key in running or len(running) > 1:
                violations.append(f"{key} beside {running}")
            running.append(key)
        time.sleep(source.uniform(0, 0.004))
        with guard:
            running.remove(key)
        if source.random() < 0.2:
            raise KeyError(key)
        return key

    def call(seed: int) -> int:
        source, answered = random.Random(seed), 0
        while time.monotonic() < end:
            key = source.randrange(8)
            try:
                value, _ = computations.result(
                    {key: lambda _, key=key: compute(key, source)},  # type: ignore[misc]
                    keep_seconds=source.choice((0, 0.01)),
                    limit=10,
                )
            except KeyError as error:
                value = error.args[0]
            assert value == key
            answered += 1
        return answered

    with ThreadPoolExecutor(32) as pool:
        answered = [future.result(LONG) for future in [pool.submit(call, n) for n in range(32)]]

    assert violations == []
    assert min(answered) > 10
    eventually(lambda: not threads_of_ours())
    assert computations._tasks == {}
