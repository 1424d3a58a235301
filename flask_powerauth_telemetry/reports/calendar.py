"""Calendar days and months: in a time zone, as instants, and as parameters of reports."""

import calendar
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Self

from marshmallow import Schema, ValidationError, fields

from flask_powerauth_telemetry.fields import ApplicationField

_MONTH = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])")
_DAY = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}")


def midnight(day: date, zone: tzinfo) -> datetime:
    """The first instant, in UTC, of a day of a zone's calendar, also where midnight is skipped."""
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
    def end(self) -> date:
        """The first day after the month."""
        return self.first_day + timedelta(days=self.days)

    def __iter__(self) -> Iterator[date]:
        """Its days."""
        return (self.first_day + timedelta(days=number) for number in range(self.days))

    @property
    def days(self) -> int:
        """How many days it has."""
        return calendar.monthrange(self.year, self.number)[1]

    @property
    def preceding(self) -> "Month":
        """The month before."""
        return Month.of(self.first_day - timedelta(days=1))


class MonthField(fields.String):
    """A month as ``YYYY-MM``, loaded as a ``Month``; required."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=True, metadata={"examples": ["2026-11"]}, **options)

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> Any:
        found = _MONTH.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValidationError("Must be a month such as 2026-11.")
        return Month(int(found[1]), int(found[2]))


class MonthSchema(Schema):
    """Parameters of reports on a month."""

    application = ApplicationField()
    month = MonthField()


class DayField(fields.Date):
    """A day as ``YYYY-MM-DD``, loaded as a ``date``; required."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=True, **options)

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(value, str) and _DAY.fullmatch(value):
            with suppress(ValueError):
                return date.fromisoformat(value)
        raise ValidationError("Must be a day such as 2026-11-25.")
