"""Signature verifications of a calendar month: how many, by type, by day, and in the busiest hour.

A month is read in slices of some days. Days that are over are kept in the process. So a month that
takes longer than the time limit is answered in the end: each try goes on where the one before
stopped. Days that the audit no longer holds whole come from the history, if they were recorded.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, pairwise, takewhile
from typing import Protocol, Self
from weakref import WeakKeyDictionary

from marshmallow import Schema, fields
from sqlalchemy import ColumnElement, Engine, and_, func, literal, select
from werkzeug.utils import import_string

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.database.tables import WallClock
from flask_powerauth_telemetry.exceptions import TelemetryError, TooSlow, Unavailable
from flask_powerauth_telemetry.fields import CountField
from flask_powerauth_telemetry.providers import Application, ReportContext, ReportProvider, Result
from flask_powerauth_telemetry.reports.activity import bucket_of
from flask_powerauth_telemetry.reports.calendar import Month, MonthSchema, day_of, midnight
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
_RECORDED_DAYS = "flask_powerauth_telemetry.history.recorded_days:RecordedDays"
_TICK = timedelta(microseconds=1)

Span = tuple[datetime, datetime]  # of aware instants, without the end


class RecordedDaySchema(Schema):
    """A day that was recorded: when, and by which row of the history."""

    day = fields.Date(required=True)
    recorded_at = fields.AwareDateTime(required=True, data_key="recordedAt")
    row = fields.Integer(required=True)


class SignaturesInMonthSchema(TotalsSchema):
    """Report data of ``SIGNATURES_IN_MONTH``; ``start`` and ``end`` are ``from`` and ``to``."""

    application = fields.String(required=True)
    month = fields.String(required=True)
    start = fields.AwareDateTime(required=True, data_key="from")
    end = fields.AwareDateTime(required=True, data_key="to")
    complete = fields.Boolean(required=True)
    by_day = fields.List(CountField(allow_none=True), required=True, data_key="byDay")
    audit_since = fields.AwareDateTime(required=True, allow_none=True, data_key="auditSince")
    recorded_days = fields.List(
        fields.Nested(RecordedDaySchema), required=True, data_key="recordedDays"
    )
    missing = fields.List(fields.Date(), required=True)

    class Meta:
        """The order of the fields."""

        fields = (
            *("application", "month", "start", "end", "complete"),
            *(*TOTALS, "by_day", "busiest_hour", "audit_since", "recorded_days", "missing"),
        )


@dataclass(frozen=True)
class Days:
    """The days of a month that have begun.

    ``midnights`` are aware, in UTC: the start of each of those days, then the end of the last one,
    or now while that is running. ``slots`` are those of all of them.
    """

    midnights: Sequence[datetime]
    slots: WallSlots


class Recorded(Protocol):
    """A day that was recorded."""

    @property
    def span(self) -> Span:
        """From its midnight to the next one, aware, in UTC."""

    @property
    def as_of(self) -> datetime:
        """The aware instant at which it was read."""

    @property
    def entry(self) -> int:
        """The row of the history that keeps it."""

    @property
    def verifications(self) -> Verifications:
        """Those of the day."""


class RecordedSource(Protocol):
    """Where days come from that the audit does not hold whole."""

    def read(
        self, context: ReportContext, application: Application, spans: Sequence[Span]
    ) -> Sequence[Recorded]:
        """Those of these spans that were recorded; raises a ``TelemetryError`` for a fault."""


class SignaturesInMonth(ReportProvider):
    """``SIGNATURES_IN_MONTH``: the verifications of a calendar month of ``timezone``.

    ``running_seconds`` is how old a result may be before the month has been over for a day;
    afterwards, it may be a day old. ``recorded`` has the days that the audit does not hold whole,
    None for none.
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
        recorded: RecordedSource | None = None,
    ) -> None:
        self._timezone = timezone
        self._running_seconds = running_seconds
        self._recorded = recorded
        self._audit = AuditByDay()
        self.keep_seconds = max(running_seconds, _DAY_SECONDS) if running_seconds else 0

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """On the calendar and the history that are configured."""
        recorded = import_string(_RECORDED_DAYS).from_config(config)
        return cls(config.report_timezone, config.cache_seconds, recorded)

    def generate(self, context: ReportContext, application: str, month: Month) -> Result:
        """All numbers of the month so far; refuses a month that has not begun."""
        start, end = (midnight(day, self._timezone) for day in (month.first_day, month.end))
        if start > context.now:
            raise TelemetryError(f"The month {month} has not begun")
        days = self._days(context, month)
        known = self._known(context, context.application(application), days)
        since = known.since
        data = {
            "application": application,
            "month": str(month),
            "start": start.astimezone(self._timezone),
            "end": end.astimezone(self._timezone),
            "complete": end <= context.now,
            "by_day": [*known.by_day(), *[None] * (month.days - len(known.counted))],
            "audit_since": since and since.instant.astimezone(self._timezone),
            "recorded_days": [
                {
                    "day": day_of(one.span[0], self._timezone),
                    "recorded_at": one.as_of.astimezone(self._timezone),
                    "row": one.entry,
                }
                for one in known.recorded.values()
            ],
            "missing": [day_of(start, self._timezone) for start, _ in known.missing],
            **sum_of(known.best().values()).report_data(),
        }
        over_for = (context.now - end).total_seconds()
        keep = _DAY_SECONDS if over_for >= _DAY_SECONDS else self._running_seconds
        return Result(data, keep_seconds=keep)

    def _known(self, context: ReportContext, application: Application, days: Days) -> "Known":
        """What the audit holds of the days and, where it may have lost rows, the history."""
        spans = list(pairwise(days.midnights))
        read = self._audit.read(context, application.id, days)
        counted = dict(zip(spans, read, strict=True))
        since = audit_start(context)  # afterwards, as it may be pruned meanwhile
        lost = [
            span
            for span in spans
            if since is None or not since.reaches(context.database_time(span[0]))
        ]
        self._audit.forget(context, application.id, lost)
        found = self._recorded.read(context, application, lost) if lost and self._recorded else ()
        recorded = {
            one.span: one for one in found if one.verifications.total() >= counted[one.span].total()
        }
        missing = [span for span in lost if span not in recorded]
        return Known(since, counted, recorded, missing)

    def _days(self, context: ReportContext, month: Month) -> Days:
        midnights = [midnight(day, self._timezone) for day in (*month, month.end)]
        begun = [one for one in midnights if one <= context.now]
        if len(begun) < len(midnights):
            begun.append(context.now + _TICK)  # what is of this very instant is in it
        return Days(begun, wall_slots(begun[0], begun[-1], context.database_time))


@dataclass(frozen=True)
class Known:
    """What is known of days: what the audit holds, what was recorded in its place, what neither.

    ``counted`` has what there is of each day, in order; of a ``missing`` one rows may be gone.
    """

    since: "AuditStart | None"
    counted: Mapping[Span, Verifications]
    recorded: Mapping[Span, Recorded]
    missing: Sequence[Span]

    def best(self) -> Mapping[Span, Verifications]:
        """The verifications of each day: all, or those that are left."""
        recorded = {span: one.verifications for span, one in self.recorded.items()}
        return {**self.counted, **recorded}

    def by_day(self) -> Sequence[int | None]:
        """The number of each day, None for one that is missing."""
        missing = frozenset(self.missing)
        return [None if span in missing else found.total() for span, found in self.best().items()]


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

    def forget(self, context: ReportContext, application_id: int, spans: Iterable[Span]) -> None:
        """Keep days no longer of which rows may be gone: somebody may bring them back."""
        kept = self._kept[context.connection.engine]
        for span in spans:
            kept.days.pop((application_id, span), None)

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


@dataclass(frozen=True)
class AuditStart:
    """The oldest row of the audit: the naive time it ``shows``, and the instant, in UTC."""

    shows: datetime
    instant: datetime

    def reaches(self, start: datetime) -> bool:
        """Whether the audit holds all from this naive time of the database's clock on."""
        return self.shows <= start


def audit_start(context: ReportContext) -> AuditStart | None:
    """The oldest row of the audit, whatever its application; None without any."""
    audit = context.tables.pa_signature_audit
    shown: datetime | None = context.connection.scalar(select(func.min(audit.c.timestamp_created)))
    if shown is None:
        return None
    instant = shown.replace(tzinfo=UTC)
    for _ in range(2):  # a zone's offset at a time is known once the time nearly is
        instant += shown - context.database_time(instant)
    return AuditStart(shown, instant)
