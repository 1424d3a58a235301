"""Clock hours of UTC, told from the wall clock of a database.

A database holds what a clock in its zone showed. Its offset may be no whole hour, and clock changes
move it. So times are counted in slots of the wall clock, each so short that it lies in one hour of
UTC, and the slots of a window are worked out here.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)
_HOUR_SECONDS = 3600
# More than any clock is set back by: a time after a window's start may be shown before it, too.
_BEFORE = 4 * HOUR


@dataclass(frozen=True)
class ClockHour:
    """An hour of UTC, or several in a row that the wall clock can't tell apart.

    ``start`` is aware, in UTC; ``count`` is the number of hours.
    """

    start: datetime
    count: int = 1

    @property
    def seconds(self) -> int:
        """The length of all together."""
        return self.count * _HOUR_SECONDS

    @property
    def end(self) -> datetime:
        """Where the next hour starts; aware, in UTC."""
        return self.start + self.count * HOUR


@dataclass(frozen=True)
class WallSlots:
    """Slots of ``seconds`` of a wall clock, counted from the naive time ``origin``.

    ``hours`` tells in which hour of UTC each slot lies. A slot that no clock showed has none.
    """

    origin: datetime
    seconds: int
    hours: Mapping[int, ClockHour]


def wall_slots(
    start: datetime, end: datetime, wall_clock: Callable[[datetime], datetime]
) -> WallSlots:
    """The slots between two aware times in UTC; ``wall_clock`` tells the database's naive time."""
    origin = wall_clock(start).replace(minute=0, second=0, microsecond=0)
    hours = list(_hours(start - _BEFORE, end))
    offsets = (wall_clock(time) - time.replace(tzinfo=None) for time in (*hours, end))
    seconds = math.gcd(_HOUR_SECONDS, *(int(offset.total_seconds()) for offset in offsets))
    length = timedelta(seconds=seconds)
    shown = (
        ((wall_clock(hour + part * length) - origin) // length, hour)
        for hour in hours
        for part in range(_HOUR_SECONDS // seconds)
    )
    return WallSlots(origin, seconds, _hours_of_slots(shown))


def _hours(start: datetime, end: datetime) -> Iterator[datetime]:
    hour = start.replace(minute=0, second=0, microsecond=0)
    while hour <= end:
        yield hour
        hour += HOUR


def _hours_of_slots(shown: Iterator[tuple[int, datetime]]) -> Mapping[int, ClockHour]:
    """The hour of each slot; those from an hour to one that shares a slot with it are one."""
    slots: dict[int, datetime] = {}
    firsts: dict[datetime, datetime] = {}
    for slot, hour in shown:
        before = slots.setdefault(slot, hour)
        first = firsts.setdefault(before, before)
        for count in range(1, 1 + (hour - before) // HOUR):
            firsts[before + count * HOUR] = first
    counted = Counter(firsts.values())
    return {slot: ClockHour(firsts[hour], counted[firsts[hour]]) for slot, hour in slots.items()}
