"""A database that reports read: its engine, its guarded connections and its clock."""

import math
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, NullPool, Pool, create_engine, event
from sqlalchemy.exc import DBAPIError

from flask_powerauth_telemetry.database.dialects import clickhouse, spark
from flask_powerauth_telemetry.database.guard import SESSION_LABEL, Limits, guarded, interrupter
from flask_powerauth_telemetry.database.tables import PowerAuthTables

_LIBPQ_DRIVERS = frozenset({"psycopg", "psycopg2"})
_LIBPQ_ARGUMENTS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}

Interrupt = Callable[[], None]
InterruptBy = Callable[[Interrupt], None]


def _interrupted_by_nobody(interrupt: Interrupt) -> None:
    pass


@dataclass(frozen=True, kw_only=True, eq=False)
class Database:
    """One database, as reports see it.

    ``engine`` is called for each connection. ``timezone`` is the zone of the wall clock that its
    timestamps were written by. ``statement_timeout`` is in seconds, 0 for none.
    ``parallel_workers`` are those that a statement may have on PostgreSQL. ``ours`` tells that the
    engine was made by ``create_read_only_engine``.
    """

    engine: Callable[[], Engine]
    timezone: tzinfo
    tables: PowerAuthTables
    statement_timeout: float
    ours: bool
    parallel_workers: int = 0

    @contextmanager
    def connect(self, interrupt_by: InterruptBy = _interrupted_by_nobody) -> Iterator[Connection]:
        """A guarded connection; what was begun on it is rolled back at the end.

        The time limit holds from now on, opening it included. ``interrupt_by`` is told, each time
        that it changes, what ends from another thread whatever hangs.
        """
        opening = _Opening(self, interrupt_by)
        with ExitStack() as resources:
            try:
                connection = self._opened(resources, opening)
            except DBAPIError as error:
                if not error.connection_invalidated or opening.interrupted:
                    raise
                # It came out of a pool, whose connections SQLAlchemy replaces from now on.
                connection = self._opened(resources, opening)
            yield connection

    def _opened(self, resources: ExitStack, opening: "_Opening") -> Connection:
        opening.interruptible_by(None)
        with ExitStack() as opened:
            token = _opening.set(opening)
            engine = self.engine()
            pool = engine.pool
            try:
                connection = opened.enter_context(engine.connect())
            finally:
                _opening.reset(token)
            opened.callback(_leave_forgotten_pool, connection, pool)
            driver_connection = connection.connection.driver_connection
            opening.interruptible_by(interrupter(driver_connection))
            passed = time.monotonic() - opening.started
            limits = Limits(self.statement_timeout, self.parallel_workers)
            opened.enter_context(guarded(connection, limits, ours=self.ours, passed=passed))
            resources.push(opened.pop_all())
        return connection

    def close(self) -> None:
        """Close the pooled connections, if the engine is ours; it opens new ones when used."""
        if self.ours:
            self.engine().dispose()

    def forget_connections(self) -> None:
        """Leave pooled connections, which may hang, and open new ones, if the engine is ours."""
        if self.ours:
            engine = self.engine()
            # Closing waits for the network with other drivers than PostgreSQL's.
            engine.dispose(close=engine.dialect.name == "postgresql")

    @property
    def time_limit(self) -> float:
        """The time limit in seconds, infinite for none."""
        return self.statement_timeout or math.inf

    def wall_clock(self, time: datetime) -> datetime:
        """The naive time that the database's clock shows at an aware time."""
        return time.astimezone(self.timezone).replace(tzinfo=None)


def _leave_forgotten_pool(connection: Connection, pool: Pool) -> None:
    """Have a connection closed that would go back to a pool that nobody takes from any more."""
    if connection.engine.pool is not pool and not connection.invalidated:
        connection.invalidate()


class _Opening:
    """Tells what ends a connection, from the moment on that it begins to open."""

    def __init__(self, database: Database, interrupt_by: InterruptBy) -> None:
        self.started = time.monotonic()
        self.interrupted = False
        self._database = database
        self._interrupt_by = interrupt_by

    def interruptible_by(self, end: Interrupt | None) -> None:
        """Have this end it, and no other connection taken that was open at the same time."""

        def interrupt() -> None:
            self.interrupted = True
            self._database.forget_connections()
            if end is not None:
                end()

        self._interrupt_by(interrupt)


_opening: ContextVar[_Opening | None] = ContextVar("opening", default=None)


def create_read_only_engine(url: URL, options: Mapping[str, Any]) -> Engine:
    """An engine of our own; ``options`` are ``create_engine``'s and win over our defaults.

    Raises what ``create_engine`` raises: ``ArgumentError`` or ``TypeError`` for a wrong URL or
    option, ``ImportError`` for a driver that is not installed.
    """
    # On PostgreSQL the guard's own statement is the check, as a ping can't be interrupted.
    pre_ping = url.get_backend_name() != "postgresql"
    engine = create_writing_engine(
        url, {"pool_pre_ping": pre_ping, **_pool_options(url), **options}
    )
    # Before SQLAlchemy's own first statements on a connection, which may hang too.
    event.listen(engine, "connect", _tell_interrupt, insert=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", _open_read_only)
    if engine.dialect.name == spark.DIALECT:
        spark.prepare(engine, SESSION_LABEL)
    _dispose_after_fork(engine)
    return engine


def _pool_options(url: URL) -> dict[str, Any]:
    """For Spark no pool: each statement opens a session anyway, and no connection gets old."""
    return {"poolclass": NullPool} if url.get_backend_name() == spark.DIALECT else {}


def create_writing_engine(url: URL, options: Mapping[str, Any]) -> Engine:
    """An engine for a database of ours, by the same ``options``; raises the same."""
    connect_args = _connect_args(url) | dict(options.get("connect_args", {}))
    defaults = {"pool_pre_ping": True, "hide_parameters": True}
    return create_engine(url, **{**defaults, **options, "connect_args": connect_args})


def _connect_args(url: URL) -> dict[str, Any]:
    if url.get_dialect().name == "postgresql" and url.get_driver_name() in _LIBPQ_DRIVERS:
        return dict(_LIBPQ_ARGUMENTS)
    if url.get_backend_name() == clickhouse.DIALECT:
        return dict(clickhouse.CONNECT_ARGS)
    if url.get_backend_name() == spark.DIALECT:
        return dict(spark.CONNECT_ARGS)
    return {}


def _tell_interrupt(driver_connection: Any, record: object) -> None:
    if (opening := _opening.get()) is not None:
        opening.interruptible_by(interrupter(driver_connection))


def _open_read_only(
    dialect: object, record: object, arguments: list[Any], options: dict[str, Any]
) -> None:
    """Have SQLite open the file read-only, and not create it when it is missing."""
    path = arguments[0]
    if path == ":memory:" or options.get("uri"):
        return
    arguments[0] = f"file:{quote(os.fspath(path))}?mode=ro"
    options["uri"] = True


def _dispose_after_fork(engine: Engine) -> None:
    """Have a child process open connections of its own, for servers that load before they fork."""
    reference = weakref.ref(engine)

    def dispose() -> None:
        inherited = reference()
        if inherited is not None:
            inherited.dispose(close=False)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=dispose)
