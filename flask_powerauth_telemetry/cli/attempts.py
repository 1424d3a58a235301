"""A run of ``flask telemetry snapshot``: what it records and says, and what it tries again."""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import click
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from flask_powerauth_telemetry.cli.instance import CLEAR_LINE, silence
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.history.instants import NotNow
from flask_powerauth_telemetry.history.recording import TOLERANCE
from flask_powerauth_telemetry.history.snapshot import DayRecorder, Recorder
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.text import one_line, printable

SECONDS_BETWEEN = 15.0
"""How long it waits after an attempt that left something out."""

logger = logging.getLogger("flask_powerauth_telemetry.snapshot")


@dataclass
class Attempts:
    """Attempts to record the applications of these ``names``, or all, or correct for a ``reason``.

    ``days`` records their verifications afterwards; None leaves them out.
    """

    recorder: Recorder
    reason: str | None
    names: Sequence[str]
    days: DayRecorder | None
    _done: set[int] = field(default_factory=set)
    _said: set[str] = field(default_factory=set)
    _failures: list[str] = field(default_factory=list)

    def make(self, seconds: float) -> bool:
        """Record what is missing, again and again for these seconds; whether nothing is missing."""
        end = time.monotonic() + seconds
        is_complete = self._make_one()
        while self._failures and time.monotonic() + SECONDS_BETWEEN <= end:
            time.sleep(SECONDS_BETWEEN)
            is_complete = self._make_one()
        if self._failures and seconds:
            _say(f"Given up after {seconds:g} s. {' '.join(self._failures)}", err=True)
        return is_complete

    def _make_one(self) -> bool:
        """Whether all that was asked for is recorded now; ``_failures`` may be tried again."""
        self._failures = []
        try:
            applications = self.recorder.begin()
            before = self.recorder.writer.head()
            is_complete = self._record_all(applications)
            self._record_days()
            if (head := self.recorder.writer.head()) != before:
                if not before.entries:  # which may be a slip in the path of the one that is there
                    _say(f"A new history begins in {_place(self.recorder.writer.engine)}")
                _say(f"The history has {head}")
        except TelemetryError as error:
            self._fail(f"Error: Nothing is recorded: {_cause(error)}")
            return False
        return is_complete and not self._failures

    def _record_all(self, applications: Sequence[Application]) -> bool:
        """Whether there are applications of all names; those that fail are in ``_failures``."""
        unknown = sorted(set(self.names) - {one.name for one in applications})
        for name in unknown:
            self._say_once(f"{printable(name)}: there is no such application")
        wanted = [one for one in applications if not self.names or one.name in self.names]
        if not wanted:
            self._fail("Error: There is no application to record.")
        try:
            for application in _progress([one for one in wanted if one.id not in self._done]):
                self._record_one(application)
        except NotNow as error:
            self._fail(f"Error: Nothing more is recorded: {error}")
        return not unknown

    def _record_one(self, application: Application) -> None:
        name = printable(application.name)
        try:
            recording, is_new = self.recorder.record(application, self.reason)
        except NotNow:
            raise
        except TelemetryError as error:
            self._fail(f"{name}: not recorded: {_cause(error)}")
            return
        self._done.add(application.id)
        slot = f"{recording.slot:%Y-%m-%d %H:%M} UTC"
        if is_new:
            users = recording.profile.users_in_past_days(30)
            seconds = recording.milliseconds / 1000
            _say(f"{name}: recorded for {slot}, {users} users in 30 days, in {seconds:.1f} s")
        else:
            other = recording.application.name
            known_as = "" if other == application.name else f", as {printable(other)}"
            _say(f"{name}: is recorded already for {slot}{known_as}")
        if recording.distance > TOLERANCE:
            self._warn_of_distance(f"{name}: the pass for {slot}", recording.profile.as_of)

    def _record_days(self) -> None:
        """Record what days there are of all that are asked for; nothing where they aren't."""
        if self.days is None:
            return
        try:
            for application in self.days.begin():
                if not self.names or application.name in self.names:
                    self._record_days_of(self.days, application)
        except TelemetryError as error:
            self._fail(f"Error: No verifications are recorded: {_cause(error)}")

    def _record_days_of(self, days: DayRecorder, application: Application) -> None:
        name = printable(application.name)
        try:
            for day in days.record(application):
                total = day.verifications.total()
                _say(f"{name}: recorded {day.day}, {total} verifications")
        except TelemetryError as error:
            self._fail(f"{name}: not all verifications are recorded: {_cause(error)}")

    def _fail(self, line: str) -> None:
        self._failures.append(line)
        self._say_once(line)

    def _warn_of_distance(self, what: str, as_of: datetime) -> None:
        line = (
            f"{what} was made at {as_of:%H:%M:%S}, more than {TOLERANCE.total_seconds() / 60:g}"
            " minutes off: a month that ends then has bounds alone. Start it at the full hour"
        )
        _say(line, err=True)
        if logger.hasHandlers():  # without any, Python prints it a second time
            logger.warning(one_line(line))

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            _say(line, err=True)


def _cause(error: TelemetryError) -> str:
    """The error, with the database that gave it: the history is written by no bind's connection."""
    if not isinstance(error.__cause__, SQLAlchemyError):
        return str(error)
    return f"the database {error.database or HISTORY_BIND}: {error}"


def _place(engine: Engine) -> str:
    """The file that holds a database, or its URL without what may be secret."""
    file = dialect_named(engine.dialect.name).file(engine.url)
    return printable(str(file.absolute() if file else engine.url.set(password=None, query={})))


def _progress(applications: Sequence[Application]) -> Iterator[Application]:
    """The applications, one after the other, with a bar on a terminal's stderr."""
    if not sys.stderr.isatty():
        yield from applications
        return
    with click.progressbar(
        applications,
        label="Recording",
        item_show_func=lambda known: printable(known.name) if known else None,
        file=sys.stderr,
    ) as bar:
        yield from bar


def _say(line: str, *, err: bool = False) -> None:
    """Print a line in place of the bar, if there is one; it is drawn anew below.

    A log that is full must not stop the recording.
    """
    try:
        if sys.stderr.isatty():
            click.echo(CLEAR_LINE, nl=False, err=True)
        click.echo(line, err=err)
    except OSError:
        silence(sys.stderr if err else sys.stdout)
