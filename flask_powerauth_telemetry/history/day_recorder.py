"""Recording days of verifications: those that the audit still holds whole, into the history."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.history.instants import Instants
from flask_powerauth_telemetry.history.recorded_day import RecordedDay, slot_of_day
from flask_powerauth_telemetry.history.snapshot import Writer, read_applications, refuse_double
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import DAY
from flask_powerauth_telemetry.reports.audit_by_day import DaySpan, audit_end, audit_start, in_days
from flask_powerauth_telemetry.reports.calendar import day_of, midnight
from flask_powerauth_telemetry.reports.clock_hours import HOUR, wall_slots
from flask_powerauth_telemetry.reports.verifications import Audit, Verifications

DAYS_A_RUN = 31
"""How many days of an application are recorded by one run or attempt, the newest first."""


class DaysLeft(TelemetryError):
    """Days that are not recorded yet, because one run takes a limited number."""


@dataclass(kw_only=True)
class DayRecorder:
    """Records the days of the writer's calendar that are over.

    ``database`` has the audit, with the time limit of a day's statement. Methods raise a
    ``TelemetryError`` for a fault.
    """

    database: Database
    writer: Writer

    def __post_init__(self) -> None:
        self._store = self.writer.store
        self._instants = Instants(self.database, self.writer.clock)
        self._audit = Audit()

    def begin(self) -> list[Application]:
        """Take the instant that days are over by; gives every application, or raises ``NotNow``."""
        self._as_of = self._instants.next()
        self._whole = self._whole_days()
        self.writer.create_store()
        return read_applications(self.database)

    def record(self, application: Application) -> Iterator[RecordedDay]:
        """Record the newest missing days that the audit holds whole; gives each.

        Raises ``DaysLeft`` after ``DAYS_A_RUN`` if there are more.
        """
        refuse_double(self.database, application, self._as_of)
        with self.writer.transaction() as connection:
            recorded = self._store.recorded_days(connection, application)
        missing = [
            span
            for span in self._whole
            if recorded.get(slot_of_day(span), ()) not in (None, self._shown(span))
        ]
        for span in missing[:DAYS_A_RUN]:
            day = self._read(application, span)
            if day is None:  # it was pruned meanwhile, and so was all before it
                return
            with self.writer.transaction() as connection:
                is_new = self._store.add(connection, day)
            if is_new:
                yield day
        if left := len(missing[DAYS_A_RUN:]):
            raise DaysLeft(f"{left} earlier days are left for the next run")

    def _whole_days(self) -> Sequence[DaySpan]:
        """The days that are over and that the audit holds whole, the newest first.

        Nothing can be missing of a day that lies between two rows, unless rows in between were
        deleted: not if the database stopped being fed, and not if our clock is ahead.
        """
        with ReportContext(self.database, self._as_of) as context:
            oldest, newest = audit_start(context), audit_end(context)
            if oldest is None or newest is None:
                return ()
            return [
                span
                for span in self._days_back(oldest.instant)
                if oldest.shows <= context.database_time(span[0]) and span[1] <= newest.instant
            ]

    def _days_back(self, oldest: datetime) -> Iterator[DaySpan]:
        """The days that ended at least an hour ago: whatever was being written then is there."""
        day = day_of(self._as_of - HOUR, self.writer.timezone)
        end = midnight(day, self.writer.timezone)
        while end > oldest:
            day -= DAY
            start = midnight(day, self.writer.timezone)
            yield start, end
            end = start

    def _shown(self, span: DaySpan) -> DaySpan:
        start, end = (self.database.wall_clock(one) for one in span)
        return start, end

    def _read(self, application: Application, span: DaySpan) -> RecordedDay | None:
        """A day by one statement; None where rows of it may have been deleted before."""
        started = time.monotonic()
        start, end = span
        with ReportContext(self.database, self._as_of) as context:
            # Times that look alike may lie in different hours, so there are some around the day.
            slots = wall_slots(start - DAY, end + DAY, context.database_time)
            shown = self._shown(span)
            read = self._audit.read(context, application.id, shown[::-1], slots, in_days)
            since = audit_start(context)
            if since is None or since.shows > shown[0]:
                return None
        return RecordedDay(
            application=application,
            span=span,
            day=day_of(start, self.writer.timezone),
            zone=str(self.writer.timezone),
            shown=shown,
            as_of=self._as_of,
            verifications=read.get(0, Verifications()),
            milliseconds=round((time.monotonic() - started) * 1000),
            recorded_by=self.writer.recorded_by,
        )
