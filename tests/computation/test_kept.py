"""What is kept of computations: for how long, and how much."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from flask_powerauth_telemetry import computation
from flask_powerauth_telemetry.computation import KEPT_BYTES, Computations, Perishable, size_of
from tests.support.callers import LONG, Callers, Clock, ask_at_once, callers_of


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def callers(clock: Clock) -> Iterator[Callers]:
    with callers_of(Computations(clock=clock)) as callers:
        yield callers


def is_kept(callers: Callers, key: Any, value: Any = "anew", keep: float = 60) -> bool:
    """Whether a result is kept for a key; a value is, from now on."""
    return bool(ask_at_once(callers, key, lambda _: value, keep_seconds=keep)[1])


def kept_bytes(callers: Callers) -> int:
    return callers.computations._kept._bytes


def keys(callers: Callers) -> set[Any]:
    return set(callers.computations._kept._entries)


@pytest.mark.parametrize(("seconds", "until"), [(10, 10), (90, 60), (0, 0), (-1, 0)])
def test_result_may_be_good_for_less(
    callers: Callers, clock: Clock, seconds: float, until: float
) -> None:
    assert ask_at_once(callers, "key", lambda _: Perishable("value", seconds)) == ("value", False)
    if until:
        clock.now = until - 0.1
        assert ask_at_once(callers, "key", lambda _: "anew") == ("value", True)
    clock.now = until
    assert ask_at_once(callers, "key", lambda _: "anew") == ("anew", False)


def test_it_is_good_from_the_start_of_its_computation_on(callers: Callers, clock: Clock) -> None:
    def compute(_: object) -> Perishable:
        clock.now += 7
        return Perishable("value", 10)

    ask_at_once(callers, "key", compute)
    clock.now = 9.9
    assert is_kept(callers, "key")
    clock.now = 10
    assert not is_kept(callers, "key")


def test_it_is_kept_from_the_end_of_its_computation_on(callers: Callers, clock: Clock) -> None:
    def compute(_: object) -> str:
        clock.now += 7
        return "value"

    ask_at_once(callers, "key", compute)
    clock.now = 66.9
    assert is_kept(callers, "key")
    clock.now = 67
    assert not is_kept(callers, "key")


@pytest.mark.parametrize("order", [("short", "long", "shorter"), ("shorter", "short", "long")])
def test_what_is_stale_is_dropped_by_whoever_asks_for_anything(
    callers: Callers, clock: Clock, order: Sequence[str]
) -> None:
    seconds = {"shorter": 5, "short": 10, "long": 60}
    for key, keep in ((key, seconds[key]) for key in order):
        is_kept(callers, key, "x" * 10_000, keep)
    assert keys(callers) == {"short", "long", "shorter"}
    clock.now = 5
    is_kept(callers, "other", keep=0)
    assert keys(callers) == {"short", "long"}
    clock.now = 10
    is_kept(callers, "other", keep=0)
    assert keys(callers) == {"long"}
    assert 10_000 < kept_bytes(callers) < 11_000
    clock.now = 60
    is_kept(callers, "other", keep=0)
    assert (keys(callers), kept_bytes(callers)) == (set(), 0)


def test_bytes_are_bounded(callers: Callers) -> None:
    large = KEPT_BYTES // 4
    for number in range(20):
        assert not is_kept(callers, number, b"x" * (large - 10_000))
        assert kept_bytes(callers) <= KEPT_BYTES
    assert keys(callers) == {16, 17, 18, 19}
    is_kept(callers, 16)
    is_kept(callers, "small")
    is_kept(callers, "large", b"x" * large)
    assert keys(callers) == {16, 18, 19, "small", "large"}


def test_what_takes_more_than_all_is_not_kept_and_pushes_nothing_out(callers: Callers) -> None:
    is_kept(callers, "small")
    is_kept(callers, "huge", b"x" * KEPT_BYTES)
    assert keys(callers) == {"small"}
    assert not is_kept(callers, "huge")


def test_what_takes_all_there_is_is_kept(callers: Callers) -> None:
    is_kept(callers, "all", b"x" * (KEPT_BYTES - size_of(("all", b""))))

    assert (keys(callers), kept_bytes(callers)) == ({"all"}, KEPT_BYTES)


def test_keys_count_too(callers: Callers) -> None:
    is_kept(callers, "k" * 100_000)
    assert kept_bytes(callers) > 100_000


def test_newer_result_takes_the_place_of_the_older(callers: Callers) -> None:
    ask_at_once(callers, "key", lambda _: b"x" * 50_000)
    ask_at_once(callers, "key", lambda _: b"x" * 10_000, keep_seconds=0)
    assert (keys(callers), kept_bytes(callers)) == (set(), 0)


@dataclass(frozen=True)
class Point:
    numbers: tuple[int, ...]


def test_size_is_that_of_all_that_is_held() -> None:
    numbers = tuple(range(1_000, 1_365))
    plain = sys.getsizeof(numbers) + 365 * sys.getsizeof(1_000)
    assert size_of(numbers) == plain
    assert plain < size_of(Point(numbers)) < plain + 1_000
    assert size_of({"a": numbers, "b": numbers}) < plain + 1_000
    assert size_of([list(numbers), set(numbers)]) > plain + sys.getsizeof(list(numbers))
    assert size_of(Counter({"x" * 5_000: 1})) > 5_000
    assert size_of([b"x" * 5_000, frozenset([b"y" * 5_000])]) > 10_000


class Closed:
    """Lets nobody look into it, as what stands for a request outside of one."""

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        raise RuntimeError("outside of a request")


@pytest.mark.parametrize("held", [Closed(), [Closed()], {"a": (1, Closed())}])
def test_what_can_not_be_looked_into_is_given_and_not_kept(callers: Callers, held: Any) -> None:
    for _ in range(2):
        assert callers.ask("one", lambda _: held).result(LONG) == (held, False)


def test_size_of_what_holds_itself() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert size_of(endless) == sys.getsizeof(endless)


def test_cheap_results_push_out_no_dear_one(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computation, "_CHEAP_SECONDS", 0.02)

    def dear(_: object) -> str:
        time.sleep(0.03)
        return "dear"

    with callers_of(Computations(size=5, clock=clock)) as callers:
        for number in range(4):
            ask_at_once(callers, ("dear", number), dear)
        for number in range(50):
            assert not is_kept(callers, ("cheap", number))
        assert keys(callers) == {*(("dear", number) for number in range(4)), ("cheap", 49)}
        ask_at_once(callers, ("dear", 0), dear)
        ask_at_once(callers, ("dear", 4), dear)
        ask_at_once(callers, ("dear", 5), dear)
        assert keys(callers) == {("dear", number) for number in (0, 2, 3, 4, 5)}


def test_cheap_and_large_results_push_out_no_dear_one(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computation, "_CHEAP_SECONDS", 0.02)

    def dear(_: object) -> str:
        time.sleep(0.03)
        return "dear"

    with callers_of(Computations(clock=clock)) as callers:
        ask_at_once(callers, "dear", dear)
        for number in range(40):
            is_kept(callers, number, b"x" * (KEPT_BYTES // 10))
            assert kept_bytes(callers) <= KEPT_BYTES
        assert "dear" in keys(callers)
        assert len(keys(callers)) == 10
