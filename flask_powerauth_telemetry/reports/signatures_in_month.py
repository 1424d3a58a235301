"""Signature verifications of a calendar month: how many, by type, by day, and in the busiest hour.

Days of which the audit has lost rows come from the history, if they were recorded. Rows of the
audit are never added to a day that is over. So whichever has more of a day is nearer to the truth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Protocol, Self

from marshmallow import Schema, fields
from werkzeug.utils import import_string

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.fields import CountField
from flask_powerauth_telemetry.providers import Application, ReportContext, ReportProvider, Result
from flask_powerauth_telemetry.reports.audit_by_day import (
    AuditByDay,
    AuditRow,
    Days,
    DaySpan,
    audit_end,
    audit_start,
)
from flask_powerauth_telemetry.reports.calendar import Month, MonthSchema, day_of, midnight
from flask_powerauth_telemetry.reports.clock_hours import wall_slots
from flask_powerauth_telemetry.reports.verifications import (
    READ_COLUMNS,
    TOTALS,
    TotalsSchema,
    Verifications,
    sum_of,
)

_DAY_SECONDS = 86_400
_RECORDED_DAYS = "flask_powerauth_telemetry.history.source:RecordedDays"
_TICK = timedelta(microseconds=1)


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
    audit_until = fields.AwareDateTime(required=True, allow_none=True, data_key="auditUntil")
    recorded_days = fields.List(
        fields.Nested(RecordedDaySchema), required=True, data_key="recordedDays"
    )
    missing = fields.List(fields.Date(), required=True)

    class Meta:
        """The order of the fields."""

        fields = (
            *("application", "month", "start", "end", "complete"),
            *(*TOTALS, "by_day", "busiest_hour", "audit_since", "audit_until"),
            *("recorded_days", "missing"),
        )


class RecordedDay(Protocol):
    """A day that was recorded."""

    @property
    def span(self) -> DaySpan:
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


class RecordedDays(Protocol):
    """Where days come from of which the audit has lost rows."""

    def read(
        self, context: ReportContext, application: Application, spans: Sequence[DaySpan]
    ) -> Sequence[RecordedDay]:
        """Those of these spans that were recorded; raises a ``TelemetryError`` for a fault."""


class SignaturesInMonth(ReportProvider):
    """``SIGNATURES_IN_MONTH``: the verifications of a calendar month of ``timezone``.

    ``running_seconds`` is how old a result may be before the month has been over for a day;
    afterwards, it may be a day old. ``recorded`` has days that the audit may have lost, None for
    none.
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
        recorded: RecordedDays | None = None,
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
        newest = audit_end(context)
        known = self._known(context, context.application(application), days, newest)
        data = {
            "application": application,
            "month": str(month),
            "start": start.astimezone(self._timezone),
            "end": end.astimezone(self._timezone),
            "complete": end <= context.now,
            "by_day": [*known.by_day(), *[None] * (month.days - len(known.counted))],
            "audit_since": known.since and known.since.instant.astimezone(self._timezone),
            "audit_until": newest and newest.instant.astimezone(self._timezone),
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
        is_over = (context.now - end).total_seconds() >= _DAY_SECONDS
        is_closed = is_over and newest is not None and end <= newest.instant
        return Result(data, keep_seconds=_DAY_SECONDS if is_closed else self._running_seconds)

    def _known(
        self,
        context: ReportContext,
        application: Application,
        days: Days,
        newest: AuditRow | None,
    ) -> "Known":
        """What the audit holds of the days, and what the history has of them."""
        spans = list(pairwise(days.midnights))
        read = self._audit.read(context, application.id, days, newest)
        counted = dict(zip(spans, read, strict=True))
        since = audit_start(context)
        lost = {
            span for span in spans if since is None or since.shows > context.database_time(span[0])
        }
        self._audit.forget(context, application.id, lost)
        found = self._recorded.read(context, application, spans) if self._recorded else ()
        recorded = {}
        for one in found:
            more = one.verifications.total() - counted[one.span].total()
            if more > 0 or (more == 0 and one.span in lost):
                recorded[one.span] = one
        missing = [span for span in spans if span in lost and span not in recorded]
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

    since: AuditRow | None
    counted: Mapping[DaySpan, Verifications]
    recorded: Mapping[DaySpan, RecordedDay]
    missing: Sequence[DaySpan]

    def best(self) -> Mapping[DaySpan, Verifications]:
        """The verifications of each day: all, or those that are left."""
        recorded = {span: one.verifications for span, one in self.recorded.items()}
        return {**self.counted, **recorded}

    def by_day(self) -> Sequence[int | None]:
        """The number of each day, None for one that is missing."""
        missing = frozenset(self.missing)
        return [None if span in missing else found.total() for span, found in self.best().items()]
