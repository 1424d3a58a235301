"""Signature verifications of a calendar month: how many, by type, by day, and in the busiest hour.

A month is read in slices of some days. Days that are over are kept in the process. So a month that
takes longer than the time limit is answered in the end: each try goes on where the one before
stopped.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, pairwise, takewhile
from typing import Protocol, Self
from weakref import WeakKeyDictionary

from marshmallow import fields
from sqlalchemy import ColumnElement, Engine, and_, func, literal, select

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.database.tables import WallClock
from flask_powerauth_telemetry.exceptions import TelemetryError, TooSlow, Unavailable
from flask_powerauth_telemetry.fields import CountField
from flask_powerauth_telemetry.providers import ReportContext, ReportProvider, Result
from flask_powerauth_telemetry.reports.activity import DAY, bucket_of
from flask_powerauth_telemetry.reports.calendar import Month, MonthSchema, midnight
from flask_powerauth_telemetry.reports.clock_hours import HOUR, WallSlots, wall_slots
from flask_powerauth_telemetry.reports.verifications import (
    READ_COLUMNS,
    TOTALS,
    Audit,
    TotalsSchema,
    Verifications,
    sum_of,
)

DAYS_AT_ONCE = 8
"""How many days a statement reads, unless that is too slow: each reads all activations, too."""

KEPT_DAYS = 1_000
"""How many days that are over are kept for each database."""

_DAY_SECONDS = 86_400
_TICK = timedelta(microseconds=1)

Span = tuple[datetime, datetime]  # of aware instants, without the end


class SignaturesInMonthSchema(TotalsSchema):
    """Report data of ``SIGNATURES_IN_MONTH``; ``start`` and ``end`` are ``from`` and ``to``."""

    application = fields.String(required=True)
    month = fields.String(required=True)
    start = fields.AwareDateTime(required=True, data_key="from")
    end = fields.AwareDateTime(required=True, data_key="to")
    complete = fields.Boolean(required=True)
    by_day = fields.List(CountField(allow_none=True), required=True, data_key="byDay")
    audit_since = fields.AwareDateTime(required=True, allow_none=True, data_key="auditSince")

    class Meta:
        """The order of the fields."""

        fields = (
            *("application", "month", "start", "end", "complete"),
            *(*TOTALS, "by_day", "busiest_hour", "audit_since"),
        )


@dataclass(frozen=True)
class Days:
    """The days of a month that have begun.

    ``midnights`` are aware, in UTC: the start of each of those days, then the end of the last one,
    or now while that is running. ``slots`` are those of all of them.
    """

    midnights: Sequence[datetime]
    slots: WallSlots


class VerificationSource(Protocol):
    """Where the verifications of days come from."""

    def read(
        self, context: ReportContext, application_id: int, days: Days
    ) -> Sequence[Verifications]:
        """Those of each day; raises ``Unavailable`` where the next try can go on."""


class SignaturesInMonth(ReportProvider):
    """``SIGNATURES_IN_MONTH``: the verifications of a calendar month of ``timezone``.

    ``running_seconds`` is how old a result may be before the month has been over for a day;
    afterwards, it may be a day old. ``source`` is where the numbers come from.
    """

    name = "SIGNATURES_IN_MONTH"
    definition = (
        "Signature verifications of the application's activations, valid and invalid, that were"
        " recorded in the signature audit in a calendar month, from the local midnight that begins"
        " it up to the one that ends it."
    )
    parameters_schema = MonthSchema
    data_schema = SignaturesInMonthSchema
    tables = READ_COLUMNS

    def __init__(
        self,
        timezone: tzinfo = UTC,
        running_seconds: float = 60,
        source: VerificationSource | None = None,
    ) -> None:
        self._timezone = timezone
        self._running_seconds = running_seconds
        self._source = source or AuditByDay()
        self.keep_seconds = max(running_seconds, _DAY_SECONDS) if running_seconds else 0

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """On the calendar that is configured."""
        return cls(config.report_timezone, config.cache_seconds)

    def generate(self, context: ReportContext, application: str, month: Month) -> Result:
        """All numbers of the month so far; refuses a month that has not begun."""
        start, end = (midnight(day, self._timezone) for day in (month.first_day, month.end))
        if start > context.now:
            raise TelemetryError(f"The month {month} has not begun")
        application_id = context.application(application).id
        read = self._source.read(context, application_id, self._days(context, month))
        found = sum_of(read)
        oldest = oldest_time(context)
        data = {
            "application": application,
            "month": str(month),
            "start": start.astimezone(self._timezone),
            "end": end.astimezone(self._timezone),
            "complete": end <= context.now,
            "by_day": [day.totals.total() for day in read] + [None] * (month.days - len(read)),
            "audit_since": oldest.astimezone(self._timezone) if oldest is not None else None,
            **found.report_data(),
        }
        over_for = (context.now - end).total_seconds()
        keep = _DAY_SECONDS if over_for >= _DAY_SECONDS else self._running_seconds
        return Result(data, keep_seconds=keep)

    def _days(self, context: ReportContext, month: Month) -> Days:
        midnights = [midnight(day, self._timezone) for day in (*month, month.end)]
        begun = [one for one in midnights if one <= context.now]
        if len(begun) < len(midnights):
            begun.append(context.now + _TICK)  # what is of this very instant is in it
        return Days(begun, wall_slots(begun[0], begun[-1], context.database_time))


class AuditByDay:
    """Reads days from the audit, several by one statement, and keeps those that are over."""

    def __init__(self) -> None:
        self._audit = Audit()
        self._kept: WeakKeyDictionary[Engine, _Kept] = WeakKeyDictionary()

    def read(
        self, context: ReportContext, application_id: int, days: Days
    ) -> Sequence[Verifications]:
        """The verifications of each day.

        Raises ``Unavailable`` when the time that is left is too short for the next days.
        """
        kept = self._kept.setdefault(context.connection.engine, _Kept())
        begun = time.monotonic()
        longest = 0.0
        found: list[Verifications] = []
        spans = list(pairwise(days.midnights))
        while len(found) < len(spans):
            unread = kept.unread(application_id, spans[len(found) :])
            if not unread:
                found.append(kept.days[application_id, spans[len(found)]])
                continue
            since = time.monotonic()
            if since - begun + longest > context.time_limit:
                raise Unavailable("the month takes more than one try", retry_after=1)
            found += self._read(context, application_id, unread, kept, days.slots)
            longest = max(longest, time.monotonic() - since)
        return found

    def _read(
        self,
        context: ReportContext,
        application_id: int,
        spans: Sequence[Span],
        kept: "_Kept",
        slots: WallSlots,
    ) -> Sequence[Verifications]:
        """Those of days in a row, by one statement; the next one has fewer if that is too slow."""
        instants = [spans[0][0], *(end for _, end in spans)]
        times = MonthDays([context.database_time(one) for one in reversed(instants)])
        try:
            read = self._audit.read(context, application_id, times, slots)
        except TooSlow as error:
            if len(spans) == 1:
                raise
            kept.at_once = len(spans) // 2
            raise Unavailable(error.message, retry_after=1) from error
        found = [read.get(bucket, Verifications()) for bucket in reversed(range(len(spans)))]
        for span, day in zip(spans, found, strict=True):
            if context.now - span[1] >= HOUR:  # whatever was being written by its end is there
                kept.keep((application_id, span), day)
        return found


@dataclass
class _Kept:
    """The days of a database that were read, and how many are read at once."""

    days: OrderedDict[tuple[int, Span], Verifications] = field(default_factory=OrderedDict)
    at_once: int = DAYS_AT_ONCE

    def unread(self, application_id: int, spans: Sequence[Span]) -> Sequence[Span]:
        """The days to read next; none when the first of them was read."""
        unread = takewhile(lambda span: (application_id, span) not in self.days, spans)
        return list(islice(unread, self.at_once))

    def keep(self, key: tuple[int, Span], day: Verifications) -> None:
        """Keep a day, and drop the one that was kept for longest when there are too many."""
        self.days[key] = day
        while len(self.days) > KEPT_DAYS:
            self.days.popitem(last=False)


@dataclass(frozen=True)
class MonthDays:
    """Days in a row between ``edges``, naive times of the database's clock, the newest first.

    Each day holds its start, and not its end.
    """

    edges: Sequence[datetime]

    def within(self, time: ColumnElement[datetime]) -> ColumnElement[bool]:
        """Whether a time lies in any of the days."""
        start, end = (literal(edge, WallClock) for edge in (self.edges[-1], self.edges[0]))
        return and_(time >= start, time < end)

    def bucket(self, time: ColumnElement[datetime]) -> ColumnElement[int]:
        """The day of a time, 0 for the newest."""
        return bucket_of(time, self.edges)


def oldest_time(context: ReportContext) -> datetime | None:
    """The instant, in UTC, of the oldest row of the audit, whatever its application."""
    audit = context.tables.pa_signature_audit
    shown: datetime | None = context.connection.scalar(select(func.min(audit.c.timestamp_created)))
    if shown is None:
        return None
    try:
        return context.instant(shown)
    except ValueError:  # the clock skips it: it is a day after what it showed a day before
        return context.instant(shown - DAY) + DAY
