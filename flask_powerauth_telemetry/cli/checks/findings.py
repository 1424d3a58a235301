"""What the checks look at, and what they find."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sqlalchemy import Select, false

from flask_powerauth_telemetry.config.values import HISTORY_BIND, SNAPSHOT
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.dialects.base import DatabaseDialect
from flask_powerauth_telemetry.exceptions import TelemetryError, message_of
from flask_powerauth_telemetry.history.snapshot import read_applications
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.registry import RegisteredReport
from flask_powerauth_telemetry.state import TelemetryState

_MAIN_KEYS = {"url": "database_url", "timezone": "database_timezone", "schema": "database_schema"}


class Level(Enum):
    """How bad a finding is; a note needs no action."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing that was found, and what to do about it.

    ``check`` names what was looked at, ``database`` is the name of a bind or ``main``. ``facts``
    are the numbers and names behind the message, as JSON can carry them.
    """

    level: Level
    check: str
    database: str
    message: str
    cure: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A database that is checked: that of a bind of an instance, the main one under None.

    ``check`` names what is looked at, in findings.
    """

    state: TelemetryState
    bind: str | None
    database: Database
    check: str = ""

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the kind of database."""
        return self.database.engine().dialect.name

    @property
    def words(self) -> DatabaseDialect:
        """What is said of a database of this kind."""
        return dialect_named(self.dialect)

    @property
    def reports(self) -> Sequence[RegisteredReport]:
        """The reports that read it."""
        return [report for report in self.state.registry if report.bind == self.bind]

    @property
    def is_recorded(self) -> bool:
        """Whether the command that records reads it."""
        return self.bind is None and self.state.config.source == SNAPSHOT

    @property
    def is_scanned(self) -> bool:
        """Whether activations are read from it."""
        readers = (report for report in self.reports if "pa_activation" in report.provider.tables)
        return self.is_recorded or any(readers)

    def key(self, name: str) -> str:
        """What sets a property of it: a key, or an entry of its bind."""
        config = self.state.config
        if self.bind in config.binds:
            return f"{config.key('binds')}[{self.bind!r}][{name!r}]"
        if name == "url" and not self.database.ours:
            return "engine="
        return config.key(_MAIN_KEYS.get(name, name))

    def application_names(self) -> Sequence[str]:
        """The applications that its reports are asked for.

        Those of PowerAuth's own database, for recordings too: without it, those that are recorded.
        Raises ``TelemetryError`` where they can't be read.
        """
        if self.bind != HISTORY_BIND:
            return [application.name for application in read_applications(self.database)]
        if main := self.state.databases.get(None):
            with suppress(TelemetryError):
                return [application.name for application in read_applications(main)]
        with self.database.connect() as connection:
            return sorted(HistoryStore.from_config(self.state.config).names(connection))

    def refusal_of(self, statement: Select[Any]) -> TelemetryError | None:
        """Why a statement is refused, None when it runs; it reads no row."""
        try:
            with self.database.connect() as connection:
                connection.execute(statement.where(false())).all()
        except TelemetryError as error:
            return error
        return None

    def ok(self, message: str, **facts: Any) -> Finding:
        """Something that is as it should be."""
        return Finding(Level.OK, self.check, self.database.name, message, facts=facts)

    def note(self, message: str, cure: str = "", **facts: Any) -> Finding:
        """Something to know."""
        return Finding(Level.NOTE, self.check, self.database.name, message, cure, facts)

    def warning(self, message: str, cure: str, **facts: Any) -> Finding:
        """Something that should be changed, but does not stop reports."""
        return Finding(Level.WARNING, self.check, self.database.name, message, cure, facts)

    def error(self, message: str, cure: str, **facts: Any) -> Finding:
        """Something that stops reports, or makes them wrong."""
        return Finding(Level.ERROR, self.check, self.database.name, message, cure, facts)


def duration(seconds: float) -> str:
    """A length of time for people: milliseconds below a second."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def cause_of(error: Exception) -> str:
    """The first line of an error, which names its cause; drivers add the statement below."""
    return message_of(error).strip().partition("\n")[0]
