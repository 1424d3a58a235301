"""What a report is to the rest of the package, and what it is given to work with."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from marshmallow import Schema
from sqlalchemy import Connection, select

from flask_powerauth_telemetry.database import Database
from flask_powerauth_telemetry.exceptions import UnknownApplication
from flask_powerauth_telemetry.tables import PowerAuthTables

Result = TypeVar("Result")


@dataclass(frozen=True)
class Application:
    """A PowerAuth application: the database's ``id`` and the ``name`` that the API uses."""

    id: int
    name: str


class ReportContext:
    """All that a report needs while it is computed.

    ``now`` is the one instant of this computation, aware, in UTC. ``tables`` are PowerAuth's
    tables, to build statements from. A context is a context manager, used by one thread; leaving
    it gives its connection back.
    """

    def __init__(self, database: Database, now: datetime) -> None:
        self.now = now
        self._database = database
        self._resources = ExitStack()
        self._connection: Connection | None = None
        self._shared: dict[Hashable, object] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection = None
        self._resources.close()

    @property
    def tables(self) -> PowerAuthTables:
        """PowerAuth's tables, mapped to the schema and views that are configured."""
        return self._database.tables

    @property
    def connection(self) -> Connection:
        """A read-only SQLAlchemy Core connection with a time limit, opened at its first use."""
        if self._connection is None:
            self._connection = self._resources.enter_context(self._database.connect())
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
        table = self.tables.pa_application
        rows = self.connection.execute(select(table.c.id, table.c.name).where(table.c.name == name))
        # SQL Server's usual collation also finds names in other case or with trailing blanks.
        for row in rows:
            if row.name == name:
                return Application(id=row.id, name=row.name)
        raise UnknownApplication(name)

    def share(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """What ``compute`` returns, computed once for all who ask for ``key`` here."""
        if key not in self._shared:
            self._shared[key] = compute()
        return cast(Result, self._shared[key])


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
    - ``tables``: the names of the PowerAuth tables that it reads, for the operator's check.
    """

    name: str = ""
    definition: str = ""
    parameters_schema: type[Schema] | Schema | None = None
    data_schema: type[Schema] | Schema | None = None
    bind: str | None = None
    keep_seconds: float | None = None
    tables: Sequence[str] = ()

    # *arguments is never passed: with it, type checkers let subclasses name their parameters.
    @abstractmethod
    def generate(
        self, context: ReportContext, *arguments: Any, **parameters: Any
    ) -> Mapping[str, Any]:
        """The report data for parameters that the schema has loaded.

        May raise ``TelemetryError`` with a message for the caller; any other exception is a
        fault of the provider, logged and answered without details.
        """
