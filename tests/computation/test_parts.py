"""Parts that several computations have in common."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask_powerauth_telemetry.places import Task

from flask_powerauth_telemetry.computation import Computations, Postponed
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
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def callers(clock: Clock) -> Iterator[Callers]:
    with callers_of(Computations(clock=clock)) as callers:
        yield callers


def with_part(
    computations: Computations, name: Any, compute: Callable[[], Any], keep: float = 60
) -> Callable[[Task], Any]:
    """A computation that consists of one part."""
    return lambda task: ("whole", computations.part(task, name, compute, keep))


@pytest.mark.parametrize("keep", [0, 60])
def test_part_is_computed_once_for_all(callers: Callers, keep: float) -> None:
    gate, postponed = Gate(), set()

    def compute(task: Task) -> Any:
        try:
            return callers.computations.part(task, "part", gate, keep)
        except Postponed:
            postponed.add(task.key)
            raise

    answers = [callers.ask(number, compute, keep=keep) for number in range(8)]
    eventually(lambda: len(postponed) == 7)
    gate.opened.set()

    assert [answer.result(LONG) for answer in answers] == [("value", False)] * 8
    assert gate.runs == 1


def test_who_needs_a_part_holds_no_place_meanwhile(callers: Callers) -> None:
    gate = Gate()
    compute = with_part(callers.computations, "part", gate)
    first = callers.ask("first", compute)
    gate.wait()
    second = callers.ask("second", compute)

    assert ask_at_once(callers, "other", lambda _: "answer") == ("answer", False)
    assert not second.done()

    gate.opened.set()
    assert first.result(LONG) == second.result(LONG) == (("whole", "value"), False)


@pytest.mark.parametrize("error", [KeyError("cause"), Unavailable("cause"), TooSlow("cause")])
def test_failure_of_a_part_goes_to_all_who_need_it(callers: Callers, error: Exception) -> None:
    gate = Gate(error)
    compute = with_part(callers.computations, "part", gate)
    answers = [callers.ask(number, compute) for number in range(6)]
    gate.wait()
    gate.opened.set()

    assert [answer.exception(LONG) for answer in answers[:2]] == [error, error]
    for answer in answers:
        assert type(answer.exception(LONG)) is type(error)


def test_part_that_was_too_slow_is_refused_to_every_report(callers: Callers, clock: Clock) -> None:
    runs = 0

    def be_slow() -> None:
        nonlocal runs
        runs += 1
        raise TooSlow("57014")

    compute = with_part(callers.computations, "part", be_slow)
    for now, left in ((0, 60), (0, 60), (40, 20)):
        clock.now = now
        with pytest.raises(TooSlow) as told:
            ask_at_once(callers, now, compute)
        assert (runs, told.value.retry_after) == (1, left)

    clock.now = 60
    with pytest.raises(TooSlow) as told:
        ask_at_once(callers, "again", compute)
    assert (runs, told.value.retry_after) == (2, 120)


def test_whole_is_fresh_no_longer_than_its_parts(callers: Callers, clock: Clock) -> None:
    values = iter(range(9))
    compute = with_part(callers.computations, "part", lambda: next(values), keep=10)
    assert ask_at_once(callers, "first", compute) == (("whole", 0), False)
    clock.now = 9
    assert ask_at_once(callers, "second", compute) == (("whole", 0), False)
    assert ask_at_once(callers, "second", compute) == (("whole", 0), True)
    clock.now = 10
    assert ask_at_once(callers, "second", compute) == (("whole", 1), False)


def test_part_of_a_task_that_was_given_up_is_computed_by_another(callers: Callers) -> None:
    gate = Gate()
    computations = callers.computations
    first = callers.ask("first", with_part(computations, "part", gate), limit=LIMIT)
    gate.wait()
    second = callers.ask("second", with_part(computations, "part", gate))

    assert isinstance(first.exception(LONG), Unavailable)
    assert isinstance(second.exception(LONG), Unavailable)

    healed = with_part(computations, "part", lambda: "healed")
    assert ask_at_once(callers, "second", healed) == (("whole", "healed"), False)
    gate.opened.set()
    assert ask_at_once(callers, "third", healed) == (("whole", "healed"), False)


def test_task_that_was_given_up_begins_no_further_part(callers: Callers) -> None:
    gate, ended, begun = Gate(), threading.Event(), threading.Event()

    def compute(task: Task) -> None:
        gate(task)
        try:
            callers.computations.part(task, "part", begun.set, 60)
        finally:
            ended.set()

    with pytest.raises(Unavailable):
        ask_at_once(callers, "key", compute, limit=LIMIT)
    gate.opened.set()

    assert ended.wait(LONG)
    assert not begun.is_set()


def test_part_of_a_part_that_another_computes() -> None:
    computations = Computations(threads=3)
    inner, before_inner = Gate("inner"), Gate()

    def compute_outer(task: Task) -> Any:
        before_inner(task)
        return "outer", computations.part(task, "inner", inner, 60)

    def outer(task: Task) -> Any:
        return computations.part(task, "outer", lambda: compute_outer(task), 60)

    with callers_of(computations) as callers:
        first = callers.ask("first", lambda task: computations.part(task, "inner", inner, 60))
        inner.wait()
        others = [callers.ask(number, outer) for number in range(4)]
        before_inner.wait()
        before_inner.opened.set()
        inner.opened.set()

        assert first.result(LONG) == ("inner", False)
        assert [answer.result(LONG)[0] for answer in others] == [("outer", "inner")] * 4
    assert inner.runs == 1


def test_part_that_needs_itself_is_a_fault(callers: Callers) -> None:
    computations = callers.computations

    def compute(task: Task) -> Any:
        return computations.part(task, "part", lambda: compute(task), 60)

    with pytest.raises(ServerFault, match="needs itself"):
        ask_at_once(callers, "key", compute)
    eventually(lambda: not computations._parts)


def test_postponed_task_that_nobody_waits_for_any_more_is_dropped(callers: Callers) -> None:
    gate = Gate()
    compute = with_part(callers.computations, "part", gate)
    first = callers.ask("first", compute)
    gate.wait()

    with pytest.raises(Unavailable):
        ask_at_once(callers, "second", compute, limit=LIMIT)

    assert callers.waiting("second") == 0
    assert "second" not in callers.computations._tasks
    gate.opened.set()
    assert first.result(LONG) == (("whole", "value"), False)
