"""What a report is to the rest of the package, and what it is given to work with."""

import math
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from marshmallow import Schema
from sqlalchemy import Connection, select

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.database.connection import (
    Database,
    Interrupt,
    giving_way,
    interrupted_by_nobody,
)
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.exceptions import DatabaseFault, ProviderFault, UnknownApplication

LIVE = "live"
RECORDED = "recorded"
"""Where the data of a report come from: a database of PowerAuth's, or what was recorded of it."""


@dataclass(frozen=True)
class Application:
    """A PowerAuth application: the database's ``id`` and the ``name`` that the API uses."""

    id: int
    name: str


class ReportContext:
    """All that a computation needs while it runs.

    ``now`` is the one instant of this computation, aware, in UTC. A context is a context manager,
    used by one thread; leaving it gives its connection back. ``interrupt_by`` is told, each time
    that it changes, what ends from another thread whatever hangs, None for nothing.
    ``applications`` are the names that it may look up, None for all. ``history`` is the database
    of what was recorded, None without one.
    """

    def __init__(
        self,
        database: Database,
        now: datetime,
        interrupt_by: Callable[[Interrupt | None], None] = interrupted_by_nobody,
        applications: Collection[str] | None = None,
        history: Database | None = None,
    ) -> None:
        self.now = now
        self.history = history
        self._database = database
        self._interrupt_by = interrupt_by
        self._allowed = applications
        self._interrupt: Interrupt | None = None
        self._resources = ExitStack()
        self._connection: Connection | None = None
        self._is_over = False
        self._applications: dict[str, Application] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._connection, self._is_over = None, True
        try:
            self._resources.__exit__(*error)  # may hang, too
        finally:
            self._interrupt_by(None)

    @property
    def tables(self) -> PowerAuthTables:
        """PowerAuth's tables, mapped to the schema and views that are configured."""
        return self._database.tables

    @property
    def connection(self) -> Connection:
        """A read-only SQLAlchemy Core connection with a time limit, opened at its first use.

        What runs on it is ended when somebody waits for a lock that it holds. Raises
        ``ProviderFault`` after the computation, when nothing would give it back.
        """
        if self._is_over:
            raise ProviderFault("it uses its context after the computation")
        if self._connection is None:
            self._connection = self._resources.enter_context(self._database.connect(self._told))
            self._resources.enter_context(giving_way(self._database, self._connection))
        return self._connection

    @contextmanager
    def history_connection(self) -> Iterator[Connection]:
        """A connection as the other one, to the ``history``; while it is open, it is what ends."""
        if self.history is None:
            raise ValueError("there is no history")
        interrupt = self._interrupt
        try:
            with self.history.connect(self._interrupt_by) as connection:
                yield connection
        finally:
            self._interrupt_by(interrupt)

    def _told(self, interrupt: Interrupt | None) -> None:
        self._interrupt = interrupt
        self._interrupt_by(interrupt)

    @property
    def time_limit(self) -> float:
        """How long the computation may take, in seconds; infinite for no limit."""
        return self._database.time_limit

    def database_time(self, time: datetime) -> datetime:
        """The naive time that PowerAuth would write for an aware ``time``: compare it to columns.

        Raises ``ValueError`` for a naive ``time``.
        """
        if time.tzinfo is None:
            raise ValueError("database_time takes an aware datetime")
        return self._database.wall_clock(time)

    def instant(self, value: datetime) -> datetime:
        """When the database's clock showed what a column holds, aware, in UTC.

        In the hour that the clock shows twice, ``value.fold`` decides. It is 0 in all that a
        database gives, for the earlier instant; ``value.replace(fold=1)`` gives the later one.
        An aware ``value``, of a column with a zone, is the instant itself.

        Raises ``TypeError`` for what is no ``datetime``, such as a null or SQLite's text. Raises
        ``ValueError`` for a time that the clock never shows, such as one of the hour that it skips
        in spring: the zone that is configured is not that of what wrote it.
        """
        if not isinstance(value, datetime):
            raise TypeError("instant takes a datetime, as a column of context.tables gives it")
        return self._database.instant(value)

    def application(self, name: str) -> Application:
        """The application of exactly this name; raises ``UnknownApplication`` without one.

        Raises ``ProviderFault`` for a name that no ``ApplicationField`` of the parameters gave:
        the caller's scope was not checked for it. Raises ``DatabaseFault`` where two have it.
        """
        if self._allowed is not None and name not in self._allowed:
            raise ProviderFault("it looks up an application that no ApplicationField gave")
        if name not in self._applications:
            self._applications[name] = self._look_up(name)
        return self._applications[name]

    def _look_up(self, name: str) -> Application:
        table = self.tables.pa_application
        rows = self.connection.execute(select(table.c.id, table.c.name).where(table.c.name == name))
        # SQL Server's usual collation also finds names in other case or with trailing blanks.
        found = [Application(id=row.id, name=row.name) for row in rows if row.name == name]
        if len(found) > 1:
            numbers = ", ".join(str(one.id) for one in found)
            raise DatabaseFault(f"{table.fullname} has several applications {name!r}: {numbers}")
        if not found:
            raise UnknownApplication(name)
        return found[0]


@dataclass(frozen=True)
class Result:
    """What a computation gives, with facts that differ from what is usual.

    ``as_of`` is the aware instant that ``value`` holds for, if that is earlier than the context's
    ``now``. ``source`` is ``live``, or ``recorded`` for what was recorded beforehand. ``value`` may
    be kept for ``keep_seconds`` from ``now`` on at most. Raises ``ValueError`` for an ``as_of``
    that is no aware time, for another ``source``, and for ``keep_seconds`` that are no number.
    """

    value: Any
    as_of: datetime | None = None
    source: str = LIVE
    keep_seconds: float = math.inf

    def __post_init__(self) -> None:
        if self.as_of is not None and getattr(self.as_of, "tzinfo", None) is None:
            raise ValueError("as_of takes an aware datetime")
        if self.source not in (LIVE, RECORDED):
            raise ValueError(f"source is {LIVE!r} or {RECORDED!r}, not {self.source!r}")
        keep: object = self.keep_seconds
        if not isinstance(keep, int | float) or math.isnan(keep):
            raise ValueError(f"keep_seconds is a number of seconds, not {keep!r}")


class Computation(NamedTuple):
    """What may answer a report, for all who ask for the same ``key`` on the same database.

    ``run`` is given a ``ReportContext`` and returns what answers: any object that neither is nor
    holds an iterator, or a ``Result`` of one. It is computed once for all who ask meanwhile, kept
    as long as results are, and read by several threads, so nothing changes it. ``key`` says all
    that it depends on, and begins with a word of its own.
    """

    key: Hashable
    run: Callable[[ReportContext], Any]


class ReportProvider:
    """A report: what it is called, what it counts, and how.

    Class attributes of a subclass:

    - ``name``: the report's name on the wire, upper-case, such as ``USERS_IN_PAST_DAYS``.
    - ``definition``: one sentence that says what is counted.
    - ``parameters_schema``: the marshmallow schema of the parameters; keys that it doesn't know
      are left out.
    - ``data_schema``: the marshmallow schema of the report data.
    - ``bind``: the name in ``POWERAUTH_TELEMETRY_BINDS`` of the database to read, None for the
      main one.
    - ``keep_seconds``: how old a result may be, in seconds, None as configured.
    - ``tables``: the PowerAuth tables that it reads, for the operator's check: their names, or a
      mapping from each name to the names of the columns that it reads.
    - ``pure``: whether the parameters as loaded, ``computations`` and ``report_data`` depend on
      what they are given alone, never on the time for example. What they gave is then used again
      for the same question.

    And ``generate``; or ``computations`` with ``report_data``, for what several reports or several
    parameters have in common. All are given the parameters that the schema has loaded, by name.
    They may raise ``TelemetryError`` with a message for the caller; any other exception is a fault
    of the provider, logged and answered without details.
    """

    name: str = ""
    definition: str = ""
    parameters_schema: type[Schema] | Schema | None = None
    data_schema: type[Schema] | Schema | None = None
    bind: str | None = None
    keep_seconds: float | None = None
    tables: Collection[str] = ()
    pure: bool = False

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """The provider as the configuration has it; made without arguments unless overridden."""
        return cls()

    # *arguments is never passed: with it, type checkers let subclasses name their parameters.
    # What is not overridden is never called: registration refuses a provider without one whole way.
    def generate(
        self, context: ReportContext, *arguments: Any, **parameters: Any
    ) -> Mapping[str, Any] | Result:
        """The report data, or a ``Result`` of them; shared by callers with the same parameters."""
        raise NotImplementedError

    def computations(self, *arguments: Any, **parameters: Any) -> Sequence[Computation]:
        """What may answer, at least one, the cheapest first and each wider than the one before."""
        raise NotImplementedError

    def report_data(self, result: Any, *arguments: Any, **parameters: Any) -> Mapping[str, Any]:
        """The report data, out of what any of the computations gave; for each caller anew."""
        raise NotImplementedError
