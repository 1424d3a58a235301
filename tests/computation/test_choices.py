"""Callers whom several computations may answer, each wider than the one before."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import pytest

from flask_powerauth_telemetry.computation import Computations, Task
from flask_powerauth_telemetry.exceptions import TooSlow, Unavailable
from tests.support.callers import (
    LIMIT,
    LONG,
    Callers,
    Clock,
    Gate,
    ask_at_once,
    callers_of,
    eventually,
)

NARROW, WIDE = "narrow", "wide"
WIDTHS = (NARROW, "middle", WIDE)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def callers(clock: Clock) -> Iterator[Callers]:
    with callers_of(Computations(clock=clock)) as callers:
        yield callers


def named(begun: list[str]) -> dict[Hashable, Callable[[Task], str]]:
    """Computations that give their own names, and write them down when they begin."""

    def compute(task: Task) -> str:
        begun.append(str(task.key))
        return str(task.key)

    return dict.fromkeys(WIDTHS, compute)


def ask(callers: Callers, narrowest: str = NARROW, keep: float = 60) -> Any:
    """What a caller gets whom the narrowest and all wider ones may answer."""
    choices = named([])
    wide_enough: dict[Hashable, Any] = {
        key: choices[key] for key in WIDTHS[WIDTHS.index(narrowest) :]
    }
    return callers.computations.result(wide_enough, keep_seconds=keep, limit=LONG)


def be_slow(_: Task) -> None:
    raise TooSlow("57014")


def test_narrowest_is_computed_first(callers: Callers) -> None:
    begun: list[str] = []
    assert callers.computations.result(named(begun), keep_seconds=60) == (NARROW, False)
    assert begun == [NARROW]


def test_what_was_slow_last_is_remembered_of_many(clock: Clock) -> None:
    with callers_of(Computations(size=2, clock=clock)) as callers:
        for key in "abc":
            with pytest.raises(TooSlow):
                ask_at_once(callers, key, be_slow)

        assert ask_at_once(callers, "a", lambda _: "anew") == ("anew", False)
        for key in "bc":
            with pytest.raises(TooSlow, match="it was too slow a short while ago"):
                ask_at_once(callers, key, lambda _: "anew")


def test_wider_one_in_hand_is_taken(callers: Callers) -> None:
    assert ask(callers, WIDE) == (WIDE, False)
    assert ask(callers) == (WIDE, True)


def test_narrower_one_in_hand_is_not_enough(callers: Callers) -> None:
    assert ask(callers) == (NARROW, False)
    assert ask(callers, WIDE) == (WIDE, False)


@pytest.mark.parametrize("keep", [0, 60])
def test_wider_one_under_way_answers_all(callers: Callers, keep: float) -> None:
    gate, never = Gate(), Gate()
    wide = callers.ask(WIDE, gate, keep)
    gate.wait()
    narrow = [callers.ask_for_any({NARROW: never, WIDE: never}, keep) for _ in range(8)]
    assert ask_at_once(callers, "other", lambda _: "answer") == ("answer", False)  # a place is free
    gate.opened.set()

    assert [answer.result(LONG) for answer in (wide, *narrow)] == [("value", False)] * 9
    assert (gate.runs, never.runs) == (1, 0)


@pytest.mark.parametrize("error", [KeyError("cause"), Unavailable("cause"), TooSlow("cause")])
def test_failure_goes_to_all_who_joined(callers: Callers, clock: Clock, error: Exception) -> None:
    gate = Gate(error)
    answers = [callers.ask(WIDE, gate)]
    gate.wait()
    answers += [callers.ask_for_any({NARROW: gate, WIDE: gate}) for _ in range(5)]
    gate.opened.set()

    assert [answer.exception(LONG) for answer in answers] == [error] * 6
    assert gate.runs == 1
    clock.now = 60  # only too slow is remembered
    assert ask_at_once(callers, WIDE, lambda _: "healed") == ("healed", False)


def test_hanging_is_given_up_for_all_who_joined(callers: Callers) -> None:
    gate = Gate()
    first = callers.ask(WIDE, gate, limit=LIMIT)
    gate.wait()
    joined = callers.ask_for_any({NARROW: gate, WIDE: gate})

    assert isinstance(first.exception(LONG), Unavailable)
    assert isinstance(joined.exception(LONG), Unavailable)
    assert ask_at_once(callers, WIDE, lambda _: "healed") == ("healed", False)
    gate.opened.set()


def test_as_wide_as_anyone_needed_lately(callers: Callers, clock: Clock) -> None:
    assert ask(callers, WIDE) == (WIDE, False)
    clock.now = 60
    assert ask(callers) == (WIDE, False)  # rather than one pass for each
    assert ask(callers, "middle") == (WIDE, True)
    clock.now = 120
    assert ask(callers) == ("middle", False)  # for whom nobody asked since 0 is WIDE


def test_the_widest_of_those_that_are_needed(callers: Callers, clock: Clock) -> None:
    ask(callers, "middle")
    ask(callers, WIDE)
    clock.now = 60
    assert ask(callers) == (WIDE, False)


def test_need_is_told_by_kept_answers_too(callers: Callers, clock: Clock) -> None:
    ask(callers, WIDE)
    clock.now = 59
    assert ask(callers, WIDE) == (WIDE, True)
    clock.now = 178
    assert ask(callers) == (WIDE, False)
    clock.now = 300
    assert ask(callers) == (NARROW, False)


def test_nothing_wider_without_keeping(callers: Callers) -> None:
    assert ask(callers, WIDE, keep=0) == (WIDE, False)
    assert ask(callers, keep=0) == (NARROW, False)


def test_wider_one_that_was_too_slow_is_not_tried_for_others(
    callers: Callers, clock: Clock
) -> None:
    with pytest.raises(TooSlow):
        ask_at_once(callers, WIDE, be_slow)
    assert ask(callers) == (NARROW, False)
    with pytest.raises(TooSlow) as told:
        ask(callers, WIDE)
    assert told.value.retry_after == 60
    clock.now = 60
    assert ask(callers) == (WIDE, False)


def test_too_slow_is_refused_until_a_wider_one_is_there(callers: Callers) -> None:
    with pytest.raises(TooSlow):
        ask_at_once(callers, NARROW, be_slow)
    with pytest.raises(TooSlow, match="a short while ago"):
        callers.computations.result({NARROW: be_slow, "middle": be_slow}, keep_seconds=60)
    assert ask(callers, WIDE) == (WIDE, False)
    assert ask(callers) == (WIDE, True)


def test_joined_task_keeps_as_long_as_the_most_patient_allows(
    callers: Callers, clock: Clock
) -> None:
    gate = Gate()
    answers = [callers.ask(WIDE, gate, keep=keep) for keep in (0, 60, 10)]
    gate.opened.set()
    assert [answer.result(LONG) for answer in answers] == [("value", False)] * 3
    clock.now = 59
    assert ask_at_once(callers, WIDE, gate) == ("value", True)


def test_who_wants_it_newer_gets_it_newer(callers: Callers, clock: Clock) -> None:
    values = iter(range(9))

    def compute(_: Task) -> int:
        return next(values)

    assert ask_at_once(callers, WIDE, compute) == (0, False)
    clock.now = 10
    assert ask_at_once(callers, WIDE, compute, keep_seconds=11) == (0, True)
    assert ask_at_once(callers, WIDE, compute, keep_seconds=10) == (1, False)
    assert ask_at_once(callers, WIDE, compute) == (1, True)


def test_waiting_caller_who_leaves_ends_nothing_that_others_wait_for(callers: Callers) -> None:
    gates = [Gate(), Gate()]
    running = [callers.ask(number, gate) for number, gate in enumerate(gates)]
    patient = callers.ask_for_any(named([]))
    with pytest.raises(Unavailable):
        callers.computations.result(named([]), keep_seconds=60, limit=LIMIT)
    for gate in gates:
        gate.opened.set()

    assert patient.result(LONG) == (NARROW, False)
    assert [answer.result(LONG)[0] for answer in running] == ["value"] * 2
    eventually(lambda: callers.computations._tasks == {})
