"""Signature verifications of a calendar month: how many, by type, by day, and in the busiest hour.

Days of which the audit has lost rows come from the history, if they were recorded. Rows of the
audit are never added to a day that is over. So whichever has more of a day is nearer to the truth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Self

from marshmallow import fields

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.fields import CountField, DataSchema
from flask_powerauth_telemetry.history.recording import RecordedDay
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.history.tables import NeverRecorded
from flask_powerauth_telemetry.providers import Application, ReportContext, ReportProvider, Result
from flask_powerauth_telemetry.reports.audit_by_day import (
    AuditByDay,
    AuditRow,
    DaySpan,
    audit_end,
    audit_start,
)
from flask_powerauth_telemetry.reports.calendar import Month, MonthSchema, day_of, midnight
from flask_powerauth_telemetry.reports.verifications import (
    READ_COLUMNS,
    HourSchema,
    TypeSchema,
    Verifications,
    sum_of,
)

_DAY_SECONDS = 86_400


class RecordedDaySchema(DataSchema):
    """A day that was recorded: when, and by which row of the history."""

    day = fields.Date()
    recorded_at = fields.AwareDateTime()
    row = fields.Integer()


class SignaturesInMonthSchema(DataSchema):
    """Report data of ``SIGNATURES_IN_MONTH``; ``start`` and ``end`` are ``from`` and ``to``."""

    application = fields.String()
    month = fields.String()
    start = fields.AwareDateTime(data_key="from")
    end = fields.AwareDateTime(data_key="to")
    complete = fields.Boolean()
    total = CountField()
    valid = CountField()
    invalid = CountField()
    by_type = fields.List(fields.Nested(TypeSchema))
    by_day = fields.List(CountField(allow_none=True))
    busiest_hour = fields.Nested(HourSchema, allow_none=True)
    audit_since = fields.AwareDateTime(allow_none=True)
    audit_until = fields.AwareDateTime(allow_none=True)
    recorded_days = fields.List(fields.Nested(RecordedDaySchema))
    missing = fields.List(fields.Date())


class SignaturesInMonth(ReportProvider):
    """``SIGNATURES_IN_MONTH``: the verifications of a calendar month of ``timezone``.

    ``running_seconds`` is how old a result may be before the month has been over for a day;
    afterwards, it may be a day old. ``history`` has days that the audit may have lost.
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
        history: HistoryStore | None = None,
    ) -> None:
        self._timezone = timezone
        self._running_seconds = running_seconds
        self._history = history
        self._audit = AuditByDay()
        self.keep_seconds = max(running_seconds, _DAY_SECONDS) if running_seconds else 0

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """On the calendar and the history that are configured."""
        history = HistoryStore.from_config(config)
        return cls(config.report_timezone, config.cache_seconds, history)

    def generate(self, context: ReportContext, application: str, month: Month) -> Result:
        """All numbers of the month so far; refuses a month that has not begun."""
        start, end = (midnight(day, self._timezone) for day in (month.first_day, month.end))
        if start > context.now:
            raise TelemetryError(f"The month {month} has not begun")
        known = self._known(context, context.application(application), month)
        by_day = [
            None if span in known.missing else found.total() for span, found in known.days.items()
        ]
        data = {
            "application": application,
            "month": str(month),
            "start": start.astimezone(self._timezone),
            "end": end.astimezone(self._timezone),
            "complete": end <= context.now,
            "by_day": [*by_day, *[None] * (month.days - len(by_day))],
            "audit_since": known.oldest and known.oldest.instant.astimezone(self._timezone),
            "audit_until": known.newest and known.newest.instant.astimezone(self._timezone),
            "recorded_days": [
                {
                    "day": day_of(one.span[0], self._timezone),
                    "recorded_at": one.as_of.astimezone(self._timezone),
                    "row": one.entry,
                }
                for one in known.recorded
            ],
            "missing": [day_of(start, self._timezone) for start, _ in known.missing],
            **sum_of(known.days.values()).report_data(),
        }
        is_over = (context.now - end).total_seconds() >= _DAY_SECONDS
        is_closed = is_over and known.newest is not None and end <= known.newest.instant
        return Result(data, keep_seconds=_DAY_SECONDS if is_closed else self._running_seconds)

    def _known(self, context: ReportContext, application: Application, month: Month) -> "Known":
        """What the audit holds of the days that have begun, and the history of those it lost."""
        midnights = [midnight(day, self._timezone) for day in (*month, month.end)]
        if midnights[-1] > context.now:  # what is of this very instant is in it
            begun = [one for one in midnights if one <= context.now]
            midnights = [*begun, context.now + datetime.resolution]
        newest = audit_end(context)
        days = dict(self._audit.read(context, application.id, midnights, newest))
        oldest = audit_start(context)
        lost = [
            span for span in days if oldest is None or oldest.shows > context.database_time(span[0])
        ]
        self._audit.forget(context, application.id, lost)
        recorded = []
        for one in self._recorded(context, application, days):
            more = one.verifications.total() - days[one.span].total()
            if more > 0 or (more == 0 and one.span in lost):
                days[one.span] = one.verifications
                recorded.append(one)
                lost = [span for span in lost if span != one.span]
        return Known(oldest, newest, days, recorded, missing=lost)

    def _recorded(
        self, context: ReportContext, application: Application, spans: Iterable[DaySpan]
    ) -> Sequence[RecordedDay]:
        """Those of these spans that were recorded; none where nothing ever was.

        A day that was counted by another zone of the database's clock is none. Raises
        ``Unavailable`` where the history can't be reached, ``DatabaseFault`` for a damaged row or
        a store of another version.
        """
        if self._history is None or context.history is None:
            return ()
        engine = context.history.engine()
        file = dialect_named(engine.dialect.name).file(engine.url)
        if file is not None and not file.exists():  # nobody has made it yet
            return ()
        with context.history_connection() as connection:
            try:
                self._history.check(connection)
            except NeverRecorded:
                return ()
            days = self._history.days(connection, application, spans)
        return [
            one
            for one in days
            if one.shown == tuple(context.database_time(time) for time in one.span)
        ]


@dataclass(frozen=True)
class Known:
    """What is known of days: all their verifications, or those that are left of ``missing`` ones.

    ``oldest`` and ``newest`` are the ends of the audit.
    """

    oldest: AuditRow | None
    newest: AuditRow | None
    days: Mapping[DaySpan, Verifications]
    recorded: Sequence[RecordedDay]
    missing: Sequence[DaySpan]
