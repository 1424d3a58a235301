"""What a report is to the rest of the package, and what it is given to work with."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from marshmallow import Schema
from sqlalchemy import Connection, select

from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.exceptions import UnknownApplication
from flask_powerauth_telemetry.sharing import NotShared, Sharing

Result = TypeVar("Result")

LIVE = "live"
RECORDED = "recorded"
"""Where the data of a report come from: a database of PowerAuth's, or what was recorded of it."""


@dataclass(frozen=True)
class Application:
    """A PowerAuth application: the database's ``id`` and the ``name`` that the API uses."""

    id: int
    name: str


@dataclass(frozen=True)
class _Part:
    value: Any
    as_of: datetime


class ReportContext:
    """All that a report needs while it is computed.

    ``now`` is the one instant of this computation, ``as_of`` the instant that its data hold for:
    earlier, when a part of them was computed before. Both are aware, in UTC. ``source`` is
    ``live``, or ``recorded`` for data that were recorded beforehand. A context is a context
    manager, used by one thread; leaving it gives its connection back.
    """

    def __init__(self, database: Database, now: datetime, sharing: Sharing | None = None) -> None:
        self.now = now
        self.as_of = now
        self.source = LIVE
        self._database = database
        self._sharing = sharing or NotShared()
        self._resources = ExitStack()
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection = None
        try:
            self._resources.__exit__(kind, error, traceback)  # may hang, too
        finally:
            self._sharing.interrupt_by(None)

    @property
    def tables(self) -> PowerAuthTables:
        """PowerAuth's tables, mapped to the schema and views that are configured."""
        return self._database.tables

    @property
    def connection(self) -> Connection:
        """A read-only SQLAlchemy Core connection with a time limit, opened at its first use."""
        if self._connection is None:
            self._connection = self._resources.enter_context(
                self._database.connect(self._sharing.interrupt_by)
            )
        return self._connection

    def database_time(self, time: datetime) -> datetime:
        """The naive time that PowerAuth would write for an aware ``time``: compare it to columns.

        Raises ``ValueError`` for a naive ``time``.
        """
        if time.tzinfo is None:
            raise ValueError("database_time takes an aware datetime")
        return self._database.wall_clock(time)

    def application(self, name: str) -> Application:
        """The application of exactly this name; raises ``UnknownApplication`` without one."""
        return self.share(("application", name), lambda: self._look_up(name))

    def share(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """What ``compute`` returns: a part of the report that others have in common with it.

        It is computed once for all who ask for ``key`` at the same time on the same database, and
        kept as long as results are. ``as_of`` goes back to the instant that it was computed at.
        """
        part = self._sharing.share((self._database, key), lambda: _Part(compute(), self.now))
        return cast(Result, self._dated(part))

    def kept(self, key: Hashable) -> Any | None:
        """What ``share`` would give for a key without computing it, None otherwise."""
        part = self._sharing.kept((self._database, key))
        return None if part is None else self._dated(part)

    def note(self, key: Hashable) -> None:
        """Note that ``key`` is asked for, for twice as long as results are kept."""
        self._sharing.note((self._database, key))

    def noted(self, key: Hashable) -> bool:
        """Whether any report noted ``key`` a short while ago, and sharing it was not too slow."""
        return self._sharing.noted((self._database, key))

    def holds_for(self, instant: datetime) -> None:
        """Tell that the data hold for this aware instant, if it is earlier than is known so far."""
        self.as_of = min(self.as_of, instant)

    def recorded_at(self, instant: datetime) -> None:
        """Tell that the data were recorded beforehand, and hold for this aware instant."""
        self.source = RECORDED
        self.holds_for(instant)

    def keep_at_most(self, seconds: float) -> None:
        """Tell that the report may be kept for so many seconds at most, from now on."""
        self._sharing.keep_at_most(seconds)

    def _dated(self, part: _Part) -> Any:
        self.holds_for(part.as_of)
        return part.value

    def _look_up(self, name: str) -> Application:
        table = self.tables.pa_application
        rows = self.connection.execute(select(table.c.id, table.c.name).where(table.c.name == name))
        # SQL Server's usual collation also finds names in other case or with trailing blanks.
        for row in rows:
            if row.name == name:
                return Application(id=row.id, name=row.name)
        raise UnknownApplication(name)


class ReportProvider(ABC):
    """A report: what it is called, what it counts, and how.

    Class attributes of a subclass:

    - ``name``: the report's name on the wire, upper-case, such as ``USERS_IN_PAST_DAYS``.
    - ``definition``: one sentence that says what is counted.
    - ``parameters_schema``: the marshmallow schema of the parameters; keys that it doesn't know
      are left out.
    - ``data_schema``: the marshmallow schema of the report data.
    - ``bind``: the name in ``POWERAUTH_TELEMETRY_BINDS`` of the database to read, None for the
      main one.
    - ``keep_seconds``: how long a result may be kept, in seconds, None as configured.
    - ``tables``: the PowerAuth tables that it reads, for the operator's check: their names, or a
      mapping from each name to the names of the columns that it reads.
    """

    name: str = ""
    definition: str = ""
    parameters_schema: type[Schema] | Schema | None = None
    data_schema: type[Schema] | Schema | None = None
    bind: str | None = None
    keep_seconds: float | None = None
    tables: Collection[str] = ()

    # *arguments is never passed: with it, type checkers let subclasses name their parameters.
    @abstractmethod
    def generate(
        self, context: ReportContext, *arguments: Any, **parameters: Any
    ) -> Mapping[str, Any]:
        """The report data for parameters that the schema has loaded.

        May raise ``TelemetryError`` with a message for the caller; any other exception is a
        fault of the provider, logged and answered without details.
        """
