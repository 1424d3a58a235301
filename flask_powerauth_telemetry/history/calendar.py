"""Calendar days and months in a time zone, as instants."""

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Self


def midnight(day: date, zone: tzinfo) -> datetime:
    """The instant, in UTC, at which a day of a zone's calendar begins.

    It is the first instant of that day, also where the clock is changed at midnight.
    """
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def day_of(instant: datetime, zone: tzinfo) -> date:
    """The day that a calendar in a zone shows at an aware instant."""
    return instant.astimezone(zone).date()


@dataclass(frozen=True, order=True)
class Month:
    """A month of the calendar, written as ``2026-11``."""

    year: int
    number: int

    @classmethod
    def of(cls, day: date) -> Self:
        """The month that a day lies in."""
        return cls(day.year, day.month)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @property
    def first_day(self) -> date:
        """The first day of the month."""
        return date(self.year, self.number, 1)

    @property
    def days(self) -> int:
        """How many days it has."""
        return calendar.monthrange(self.year, self.number)[1]

    @property
    def following(self) -> "Month":
        """The next month."""
        return Month.of(self.first_day + timedelta(days=self.days))

    @property
    def preceding(self) -> "Month":
        """The month before."""
        return Month.of(self.first_day - timedelta(days=1))
