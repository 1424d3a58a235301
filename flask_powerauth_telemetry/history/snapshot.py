"""Recording into the history: profiles by one serial pass for each application, and days.

A day of verifications is recorded while the audit still holds it whole.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from sqlalchemy import Connection, Engine, select

from flask_powerauth_telemetry.database.connection import Database, translated_errors
from flask_powerauth_telemetry.exceptions import DatabaseFault, TelemetryError
from flask_powerauth_telemetry.history.chain import Head
from flask_powerauth_telemetry.history.instants import Instants
from flask_powerauth_telemetry.history.recording import (
    Recorded,
    RecordedDay,
    Recording,
    slot_of_day,
)
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import DAY, WIDTHS, ActivityProfile, read_profile
from flask_powerauth_telemetry.reports.audit_by_day import DaySpan, audit_end, audit_start, in_days
from flask_powerauth_telemetry.reports.calendar import day_of, midnight
from flask_powerauth_telemetry.reports.clock_hours import HOUR, wall_slots
from flask_powerauth_telemetry.reports.verifications import Audit, Verifications
from flask_powerauth_telemetry.service import Clock, read_clock

HALF_HOUR = timedelta(minutes=30)
"""How long after the full hour a run still stands for it."""

DAYS_A_RUN = 31
"""How many days of an application are recorded by one run or attempt, the newest first."""

_MANY = 10
_FALL = 10


class Implausible(TelemetryError):
    """A number that is not recorded, because it can't be right."""


class DaysLeft(TelemetryError):
    """Days that are not recorded yet, because one run takes a limited number."""


@dataclass(frozen=True)
class Writer:
    """How a history is written: by which engine to which store, and by the host of which name.

    Hours and days are those of a clock in ``timezone``.
    """

    engine: Engine
    store: HistoryStore
    clock: Clock
    recorded_by: str
    timezone: tzinfo = UTC

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction in the history; raises a ``TelemetryError`` for a fault of its database."""
        with translated_errors(self.engine), self.engine.begin() as connection:
            yield connection

    def create_store(self) -> None:
        """Create what is missing of the store; raises a ``TelemetryError`` for a fault."""
        with translated_errors(self.engine):
            self.store.create(self.engine)

    def add(self, recording: Recorded, reason: str | None = None) -> bool:
        """As ``HistoryStore.add``, in a transaction of its own."""
        with self.transaction() as connection:
            return self.store.add(connection, recording, reason)

    def head(self) -> Head:
        """The end of the chain now."""
        with self.transaction() as connection:
            return self.store.head(connection) or Head()


@dataclass(kw_only=True)
class Recorder:
    """Records profiles for one slot, which is the hour nearest to the time of ``begin``.

    Hours are those of the writer's calendar, so that midnight there is one. ``database`` is
    PowerAuth's, with the time limit of a pass. ``allow_zero`` records what is ``Implausible``, too.
    All methods raise a ``TelemetryError`` for a fault.
    """

    database: Database
    writer: Writer
    allow_zero: bool = False

    def __post_init__(self) -> None:
        self._instants = Instants(self.database, self.writer.clock)

    def begin(self) -> list[Application]:
        """Take the slot of now, make the store; gives every application, or raises ``NotNow``."""
        self.slot = nearest_hour(self._instants.next(), self.writer.timezone)
        self.writer.create_store()
        applications = read_applications(self.database)
        self._count = len(applications)
        return applications

    def record(self, application: Application, reason: str | None = None) -> tuple[Recording, bool]:
        """Make the pass and record it, unless the slot belongs to a pass that is there.

        With a ``reason`` always, in place of the row that the slot has, which stays. Gives what
        the slot holds then, and whether this added it.
        """
        present = self._present(application) if reason is None else None
        if present is not None and not present.gives_way_to(read_clock(self.writer.clock)):
            return present, False
        recording = self._make_pass(application)
        if self.writer.add(recording, reason):
            return recording, True
        return self._present(application) or recording, False

    def _present(self, application: Application) -> Recording | None:
        with self.writer.transaction() as connection:
            return self.writer.store.of_slot(connection, application, self.slot)

    def _make_pass(self, application: Application) -> Recording:
        _refuse_double(self.database, application, read_clock(self.writer.clock))
        # A user who comes back after ``now`` would vanish from the count, so each pass has its own.
        now = self._instants.next()
        started = time.monotonic()
        with ReportContext(self.database, now) as context:
            profile = read_profile(context, application, WIDTHS[-1])
        if not self.allow_zero:
            self._refuse_fall(application, profile)
        return Recording(
            application=application,
            slot=self.slot,
            profile=profile,
            milliseconds=round((time.monotonic() - started) * 1000),
            recorded_by=self.writer.recorded_by,
            applications=self._count,
        )

    def _refuse_fall(self, application: Application, profile: ActivityProfile) -> None:
        """Raise ``Implausible`` for a profile without users who can only be gone with their rows.

        Who was active in a window at the last recording is still active in a window that is as
        many days wider as have passed since.
        """
        with self.writer.transaction() as connection:
            try:
                last = self.writer.store.newest(connection, application.name, profile.as_of)
            except DatabaseFault:  # a damaged row tells nothing, and recording goes on
                return
        if last is None:
            return
        passed = -((last.profile.as_of - profile.as_of) // DAY)
        days = len(profile.users) - passed
        least = last.profile.users_in_past_days(days) if days > 0 else 0
        users = profile.users[-1]
        if least >= _MANY and users * _FALL < least:
            raise Implausible(
                f"{users} users in {len(profile.users)} days, where {least} were counted at"
                f" {last.profile.as_of:%Y-%m-%d %H:%M} UTC who can't have left that window since:"
                " look whether it is the right database with all rows; --allow-zero records it"
            )


@dataclass(kw_only=True)
class DayRecorder:
    """Records the days of the writer's calendar that are over.

    ``database`` has the audit, with the time limit of a day's statement. Methods raise a
    ``TelemetryError`` for a fault.
    """

    database: Database
    writer: Writer

    def __post_init__(self) -> None:
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
        _refuse_double(self.database, application, self._as_of)
        with self.writer.transaction() as connection:
            recorded = self.writer.store.recorded_days(connection, application)
        missing = [
            span
            for span in self._whole
            if recorded.get(slot_of_day(span), ()) not in (None, self._shown(span))
        ]
        for span in missing[:DAYS_A_RUN]:
            day = self._read(application, span)
            if day is None:  # it was pruned meanwhile, and so was all before it
                return
            if self.writer.add(day):
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


def read_applications(database: Database) -> list[Application]:
    """Every application of PowerAuth's, by name; raises ``DatabaseFault`` for one without any."""
    table = database.tables.pa_application
    with database.connect() as connection:
        rows = connection.execute(select(table.c.id, table.c.name)).all()
    for row in rows:
        if not isinstance(row.name, str):
            raise DatabaseFault(f"{table.fullname} has no name that is text for {row.id}")
    return sorted((Application(row.id, row.name) for row in rows), key=lambda one: one.name)


def nearest_hour(instant: datetime, zone: tzinfo = UTC) -> datetime:
    """The full hour of a zone's clock nearest to an aware instant, in UTC; the later of two."""
    offset = instant.astimezone(zone).utcoffset() or timedelta(0)
    later = (instant + HALF_HOUR + offset).astimezone(UTC)
    return later.replace(minute=0, second=0, microsecond=0) - offset


def _refuse_double(database: Database, application: Application, now: datetime) -> None:
    """Raise ``DatabaseFault`` where several applications have its name."""
    # By a transaction of its own, since a pass must not hold a lock on their table.
    with ReportContext(database, now) as context:
        context.application(application.name)
