"""A database that reports read: its guarded connections, its errors and its clock."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

import sqlalchemy
from sqlalchemy import AssertionPool, Connection, Engine, Executable, Pool, QueuePool, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.dialects.base import DatabaseDialect, Limits
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.exceptions import DatabaseFault, TelemetryError, Unavailable
from flask_powerauth_telemetry.text import one_line

Interrupt = Callable[[], None]
InterruptBy = Callable[[Interrupt], None]

logger = logging.getLogger("flask_powerauth_telemetry.database")

MAIN = "main"
"""What the database without a bind is called."""

WATCH_SECONDS = 1.0
"""How often a pass looks whether somebody waits for its locks."""


def interrupted_by_nobody(_: Interrupt | None) -> None:
    """What is told what ends a connection, where nobody would end it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Database:
    """One database, as reports see it.

    ``engine`` is called for each connection. ``timezone`` is the zone of the wall clock that its
    timestamps were written by. ``statement_timeout`` is in seconds, 0 for none.
    ``parallel_workers`` are those that a statement may have on PostgreSQL. ``ours`` tells that the
    engine was made by ``create_read_only_engine``. ``name`` is that of its bind, or ``main``.
    """

    engine: Callable[[], Engine]
    timezone: tzinfo
    tables: PowerAuthTables
    statement_timeout: float
    ours: bool
    parallel_workers: int = 0
    name: str = MAIN

    @contextmanager
    def connect(self, interrupt_by: InterruptBy = interrupted_by_nobody) -> Iterator[Connection]:
        """A guarded connection; what was begun on it is rolled back at the end.

        The time limit holds from now on, opening it included. ``interrupt_by`` is told, each time
        that it changes, what ends from another thread whatever hangs. An error of SQLAlchemy's
        leaves the ``with`` block as the ``TelemetryError`` that it means, with our ``name``.
        """
        try:
            with self._connected(interrupt_by) as connection:
                yield connection
        except TelemetryError as error:
            self.name_in(error)
            raise

    def name_in(self, error: TelemetryError) -> None:
        """Have an error of a database name this one, if it names none."""
        if isinstance(error, Unavailable | DatabaseFault) and error.database is None:
            error.database = self.name

    @property
    def log_extra(self) -> Mapping[str, str]:
        """The attribute of log records that are about this database."""
        return {"telemetry_database": self.name}

    @contextmanager
    def _connected(self, interrupt_by: InterruptBy) -> Iterator[Connection]:
        opening = _Opening(self, interrupt_by)
        opening.interruptible_by(None)
        with translated_errors():  # a host's callable may ask a database itself
            engine = self.engine()
        with translated_errors(engine), ExitStack() as resources:
            try:
                connection = self._opened(engine, resources, opening)
            except DBAPIError as error:
                if not error.connection_invalidated or opening.interrupted:
                    raise
                # It came out of a pool, whose connections SQLAlchemy replaces from now on.
                opening.interruptible_by(None)
                connection = self._opened(engine, resources, opening)
            yield connection

    def _opened(self, engine: Engine, resources: ExitStack, opening: "_Opening") -> Connection:
        try:
            return self._guarded(engine, resources, opening)
        except Exception as error:
            raise _without_frames(error) from error.__cause__

    def _guarded(self, engine: Engine, resources: ExitStack, opening: "_Opening") -> Connection:
        dialect = dialect_named(engine.dialect.name)
        with ExitStack() as opened, wrapped_driver_errors(engine):
            token = _opening.set(opening)
            try:
                connection = self._taken(engine, opened)
            finally:
                _opening.reset(token)
            opening.interruptible_by(interrupter(dialect, connection.connection.driver_connection))
            limits = Limits(
                seconds=self.statement_timeout,
                workers=self.parallel_workers,
                deadline=opening.started + self.time_limit,
                timezone=str(self.timezone),
                ours=self.ours,
            )
            with wrapped_driver_errors(engine, connection):
                opened.enter_context(dialect.guard(connection, limits))
            resources.push(opened.pop_all())
        return connection

    def _taken(self, engine: Engine, opened: ExitStack) -> Connection:
        """A connection out of a pool of ours; or one by a host's recipe, beside the host's pool.

        Whoever waits for a report may hold the last connection of that pool.
        """
        pool = engine.pool
        if self.ours or not isinstance(pool, QueuePool | AssertionPool):
            connection = opened.enter_context(engine.connect())
            opened.callback(_leave_forgotten_pool, connection, pool)
            return connection
        own = pool.recreate()
        opened.callback(own.dispose)
        notice_interrupts(own, dialect_named(engine.dialect.name))
        return opened.enter_context(Connection(engine, own.connect()))

    def close(self) -> None:
        """Close the pooled connections, if the engine is ours; it opens new ones when used."""
        if self.ours:
            self.engine().dispose()

    def forget_connections(self) -> None:
        """Leave pooled connections, which may hang, and open new ones, if the engine is ours."""
        if self.ours:
            engine = self.engine()
            engine.dispose(close=not dialect_named(engine.dialect.name).closing_waits)

    @property
    def time_limit(self) -> float:
        """The time limit in seconds, infinite for none."""
        return self.statement_timeout or math.inf

    def wall_clock(self, time: datetime) -> datetime:
        """The naive time that the database's clock shows at an aware time."""
        return time.astimezone(self.timezone).replace(tzinfo=None)

    def instant(self, shown: datetime) -> datetime:
        """When the database's clock shows a naive time, in UTC; an aware time is an instant.

        ``shown.fold`` decides where it does twice. Raises ``ValueError`` where it never does.
        """
        if shown.tzinfo is not None:
            return shown.astimezone(UTC)
        with suppress(OverflowError):
            instant = shown.replace(tzinfo=self.timezone).astimezone(UTC)
            if self.wall_clock(instant) == shown:
                return instant
        raise ValueError(f"{shown} is a time that the clock of {self.timezone} never shows")


def always(engine: Engine) -> Callable[[], Engine]:
    """An engine that is known, as ``Database`` wants it."""
    return lambda: engine


@contextmanager
def translated_errors(engine: Engine | None = None) -> Iterator[None]:
    """Have a database's errors leave a ``with`` block as the ``TelemetryError`` that they mean.

    They are SQLAlchemy's, and those of the driver of ``engine``, None where it is not known. What
    stopped a statement, such as Ctrl-C, leaves it even where the rollback fails after that.
    """
    try:
        with nullcontext() if engine is None else wrapped_driver_errors(engine):
            yield
    except SQLAlchemyError as error:
        contexts: list[BaseException | None] = [error]
        for context in contexts:
            if isinstance(context, Exception) and context.__context__ not in contexts:
                contexts.append(context.__context__)
            elif context is not None and not isinstance(context, Exception):
                raise context from None
        name = "" if engine is None else engine.dialect.name
        raise dialect_named(name).translate(error) from error


@contextmanager
def wrapped_driver_errors(engine: Engine, connection: Connection | None = None) -> Iterator[None]:
    """Have errors of the driver leave a ``with`` block as SQLAlchemy's, which lets some through.

    A ``connection`` that is found to be lost is not used again.
    """
    base = engine.dialect.loaded_dbapi.Error
    try:
        yield
    except base as error:
        is_lost = False
        if connection is not None and not connection.invalidated:
            driver = connection.connection.dbapi_connection
            is_lost = engine.dialect.is_disconnect(error, driver, None)
            if is_lost:
                connection.invalidate(error)
        raise DBAPIError.instance(
            None, None, error, base, connection_invalidated=is_lost, dialect=engine.dialect
        ) from error


def _without_frames(error: Exception) -> Exception:
    """An error of a connection that can't be opened, and its causes, without their frames.

    Those of a driver that connects hold the password, and would be logged or sent away.
    """
    causes: list[BaseException | None] = [error]
    for cause in causes:
        if cause is not None and cause.__traceback__ is not None:
            cause.__traceback__ = None
            causes += [cause.__cause__, cause.__context__]
    return error


def _leave_forgotten_pool(connection: Connection, pool: Pool) -> None:
    """Have a connection closed that would go back to a pool that nobody takes from any more."""
    if connection.engine.pool is not pool:
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


def interrupter(dialect: DatabaseDialect, driver: Any) -> Interrupt:
    """What ends the statement that runs on a driver's connection, callable from another thread."""

    def interrupt() -> None:
        with suppress(Exception):
            dialect.interrupt(driver)

    return interrupt


def notice_interrupts(target: Engine | Pool, dialect: DatabaseDialect) -> None:
    """Have whoever opens a connection told what ends it, as soon as the driver has one.

    So before SQLAlchemy's own first statements on it, which may hang too.
    """

    def tell(driver: Any, record: object) -> None:
        if (opening := _opening.get()) is not None:
            opening.interruptible_by(interrupter(dialect, driver))

    event.listen(target, "connect", tell, insert=True)


@contextmanager
def giving_way(database: Database, connection: Connection) -> Iterator[None]:
    """Have the statement that runs in this block ended when somebody waits for its locks.

    After a second, and each second from then on, a connection beside the engine's pool looks for
    it. Then ``Unavailable`` is raised from the block.
    """
    end_if_waited_for = dialect_named(connection.dialect.name).end_if_waited_for
    if end_if_waited_for is None:
        yield
        return
    driver = connection.connection.driver_connection
    watch = _Watch(database, connection.engine, end_if_waited_for(driver))
    try:
        yield
    except DBAPIError as error:
        if watch.stop():
            raise Unavailable(
                "the pass gave way: somebody waited for a lock that it held"
            ) from error
        raise
    finally:
        watch.stop()


class _Watch:
    """A thread that ends what another connection runs, once somebody waits for it."""

    def __init__(self, database: Database, engine: Engine, end_if_waited_for: Executable) -> None:
        self._database = database
        self._engine = engine
        self._end_if_waited_for = end_if_waited_for
        self._has_ended_it = False
        self._has_told = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._go_on,), daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the system has no thread to give
            self._cant_see(error)

    def stop(self) -> bool:
        """Look no more; whether it has ended the statement."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join(WATCH_SECONDS)  # its own connection may hang
        return self._has_ended_it

    def _go_on(self) -> None:
        if self._done.wait(WATCH_SECONDS):
            return
        pool = self._engine.pool.recreate()
        engine = sqlalchemy.create_engine(self._engine.url, pool=pool, isolation_level="AUTOCOMMIT")
        try:
            while not self._has_ended_it:
                self._look(engine)
                if self._done.wait(WATCH_SECONDS):
                    return
        finally:
            engine.dispose()

    def _look(self, engine: Engine) -> None:
        try:
            with engine.connect() as connection:
                self._has_ended_it = bool(connection.scalar(self._end_if_waited_for))
        except Exception as error:
            self._cant_see(error)

    def _cant_see(self, error: Exception) -> None:
        if self._has_told:
            return
        self._has_told = True
        logger.warning(
            "It can't be seen whether somebody waits for a pass on the database %s: %s",
            self._database.name,
            one_line(str(error)),
            extra=self._database.log_extra,
        )
