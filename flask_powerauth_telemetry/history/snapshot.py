"""Recording: one serial pass over PowerAuth's tables for each application, into the history."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from sqlalchemy import Connection, Engine, select

from flask_powerauth_telemetry.database.connection import Database, translated_errors
from flask_powerauth_telemetry.exceptions import DatabaseFault, TelemetryError
from flask_powerauth_telemetry.history.chain import Head
from flask_powerauth_telemetry.history.instants import Instants
from flask_powerauth_telemetry.history.recording import Recording
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import DAY, WIDTHS, ActivityProfile, read_profile
from flask_powerauth_telemetry.service import Clock, read_clock

HALF_HOUR = timedelta(minutes=30)
"""How long after the full hour a run still stands for it."""

_MANY = 10
_FALL = 10


class Implausible(TelemetryError):
    """A number that is not recorded, because it can't be right."""


@dataclass(frozen=True)
class Outcome:
    """What a slot holds after a run, and whether the run added it."""

    recording: Recording
    is_new: bool


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
        self._store = self.writer.store
        self._instants = Instants(self.database, self.writer.clock)

    def begin(self) -> list[Application]:
        """Take the slot of now, make the store; gives every application, or raises ``NotNow``."""
        self.slot = nearest_hour(self._instants.next(), self.writer.timezone)
        self.writer.create_store()
        applications = read_applications(self.database)
        self._count = len(applications)
        return applications

    def head(self) -> Head:
        """The end of the chain now."""
        with self.writer.transaction() as connection:
            return self._store.head(connection) or Head()

    def is_sealed(self) -> bool:
        """Whether the chain ends with a row that the key seals."""
        with self.writer.transaction() as connection:
            return self._store.is_sealed(connection)

    def record(self, application: Application) -> Outcome:
        """Make the pass and record it, unless the slot belongs to a pass that is there."""
        present = self._present(application)
        if present is not None and not present.gives_way_to(read_clock(self.writer.clock)):
            return Outcome(present, is_new=False)
        recording = self._make_pass(application)
        with self.writer.transaction() as connection:
            if self._store.add(connection, recording):
                return Outcome(recording, is_new=True)
        return Outcome(self._present(application) or recording, is_new=False)

    def correct(self, application: Application, reason: str) -> Outcome:
        """Make the pass and record it in place of the row that the slot has, which stays."""
        recording = self._make_pass(application)
        with self.writer.transaction() as connection:
            self._store.add(connection, recording, reason)
        return Outcome(recording, is_new=True)

    def _present(self, application: Application) -> Recording | None:
        with self.writer.transaction() as connection:
            return self._store.of_slot(connection, application, self.slot)

    def _make_pass(self, application: Application) -> Recording:
        refuse_double(self.database, application, read_clock(self.writer.clock))
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
                last = self._store.newest(connection, application.name, profile.as_of)
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


def read_applications(database: Database) -> list[Application]:
    """Every application of PowerAuth's, by name."""
    table = database.tables.pa_application
    with database.connect() as connection:
        rows = connection.execute(select(table.c.id, table.c.name)).all()
    return sorted((Application(row.id, row.name) for row in rows), key=lambda one: one.name)


def refuse_double(database: Database, application: Application, now: datetime) -> None:
    """Raise ``DatabaseFault`` where several applications have its name."""
    # By a transaction of its own, since a pass must not hold a lock on their table.
    with ReportContext(database, now) as context:
        context.application(application.name)


def nearest_hour(instant: datetime, zone: tzinfo = UTC) -> datetime:
    """The full hour of a zone's clock nearest to an aware instant, in UTC; the later of two."""
    offset = instant.astimezone(zone).utcoffset() or timedelta(0)
    later = (instant + HALF_HOUR + offset).astimezone(UTC)
    return later.replace(minute=0, second=0, microsecond=0) - offset
