"""Recording: one serial pass over PowerAuth's tables for each application, into the history."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from sqlalchemy import Engine, select

from flask_powerauth_telemetry.database.connection import Database, translated_errors
from flask_powerauth_telemetry.exceptions import DatabaseFault, TelemetryError
from flask_powerauth_telemetry.history.chain import Head
from flask_powerauth_telemetry.history.instants import Instants
from flask_powerauth_telemetry.history.recording import Recording
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import (
    DAY,
    WIDTHS,
    ActivityProfile,
    read_profile,
)
from flask_powerauth_telemetry.service import Clock, read_clock

_MANY = 10
_FALL = 10


class Implausible(TelemetryError):
    """A number that is not recorded, because it can't be right."""


@dataclass(frozen=True)
class Outcome:
    """What a slot holds after a run, and whether the run added it."""

    recording: Recording
    is_new: bool


class Recorder:
    """Records profiles for one slot, which is the hour nearest to the time of ``begin``.

    Hours are those of a clock in ``timezone``, so that midnight there is one. ``database`` is
    PowerAuth's, with the time limit of a pass; ``engine`` writes to ``store``. ``recorded_by`` is
    the name of this host; ``allow_zero`` records what is ``Implausible``, too.
    All methods raise a ``TelemetryError`` for a fault.
    """

    slot: datetime
    _count: int

    def __init__(
        self,
        *,
        database: Database,
        engine: Engine,
        store: HistoryStore,
        clock: Clock,
        recorded_by: str,
        timezone: tzinfo = UTC,
        allow_zero: bool = False,
    ) -> None:
        self._database = database
        self._engine = engine
        self._store = store
        self._clock = clock
        self._instants = Instants(database, clock)
        self._recorded_by = recorded_by
        self._timezone = timezone
        self._allow_zero = allow_zero

    def begin(self) -> list[Application]:
        """Take the slot of now, create the store if it is missing; gives every application.

        Raises ``NotNow`` where no number would be right.
        """
        self.slot = nearest_hour(self._instants.next(), self._timezone)
        with translated_errors(self._engine):
            self._store.create(self._engine)
        applications = read_applications(self._database)
        self._count = len(applications)
        return applications

    def head(self) -> Head:
        """The end of the chain now."""
        with translated_errors(self._engine), self._engine.connect() as connection:
            return self._store.head(connection) or Head()

    def record(self, application: Application) -> Outcome:
        """Make the pass and record it, unless the slot belongs to a pass that is there."""
        present = self._present(application)
        if present is not None and not present.gives_way_to(read_clock(self._clock)):
            return Outcome(present, is_new=False)
        recording = self._make_pass(application)
        with translated_errors(self._engine), self._engine.begin() as connection:
            if self._store.add(connection, recording):
                return Outcome(recording, is_new=True)
        return Outcome(self._present(application) or recording, is_new=False)

    def correct(self, application: Application, reason: str) -> Outcome:
        """Make the pass and record it in place of the row that the slot has, which stays."""
        recording = self._make_pass(application)
        with translated_errors(self._engine), self._engine.begin() as connection:
            self._store.add(connection, recording, reason)
        return Outcome(recording, is_new=True)

    def _present(self, application: Application) -> Recording | None:
        with translated_errors(self._engine), self._engine.connect() as connection:
            return self._store.of_slot(connection, application, self.slot)

    def _make_pass(self, application: Application) -> Recording:
        # A user who comes back after ``now`` would vanish from the count, so each pass has its own.
        now = self._instants.next()
        started = time.monotonic()
        with ReportContext(self._database, now) as context:
            application = context.application(application.name)  # the only one of its name
            profile = read_profile(context, application, WIDTHS[-1])
        if not self._allow_zero:
            self._refuse_fall(application, profile)
        return Recording(
            application=application,
            slot=self.slot,
            profile=profile,
            milliseconds=round((time.monotonic() - started) * 1000),
            recorded_by=self._recorded_by,
            applications=self._count,
        )

    def _refuse_fall(self, application: Application, profile: ActivityProfile) -> None:
        """Raise ``Implausible`` for a profile without users who can only be gone with their rows.

        Who was active in a window at the last recording is still active in a window that is as
        many days wider as have passed since.
        """
        with translated_errors(self._engine), self._engine.connect() as connection:
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


def nearest_hour(instant: datetime, zone: tzinfo = UTC) -> datetime:
    """The instant, in UTC, nearest to an aware one at which a clock in a zone shows a full hour.

    The later one where two are as near.
    """
    offset = instant.astimezone(zone).utcoffset() or timedelta(0)
    later = (instant + timedelta(minutes=30) + offset).astimezone(UTC)
    return later.replace(minute=0, second=0, microsecond=0) - offset
