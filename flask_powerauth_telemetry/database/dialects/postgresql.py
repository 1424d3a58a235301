"""PostgreSQL, by psycopg or psycopg2."""

import math
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, event
from sqlalchemy.sql.compiler import SQLCompiler

from flask_powerauth_telemetry.database.dialects.base import (
    SESSION_LABEL,
    DatabaseDialect,
    Function,
    Limits,
)

_LIBPQ_DRIVERS = frozenset({"psycopg", "psycopg2"})
_LIBPQ_ARGUMENTS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
# A statement that had to wait for a lock sees what was committed meanwhile. A snapshot of the
# whole transaction would be taken before, and a table that was rewritten would look empty.
_ISOLATION = "READ COMMITTED"
_QUERY_CANCELED = "57014"  # also raised by statement_timeout
_SLACK_SECONDS = 0.1
_SHORTEST_IDLE_SECONDS = 10.0
_WITH_IO_WORKERS = (18,)


class PostgreSQL(DatabaseDialect):
    """PostgreSQL, and what speaks its protocol and its SQL."""

    extras: Mapping[str, str] = {"psycopg": "postgresql"}
    engine_options: Mapping[str, Any] = {
        # The guard's own statement is the check, as a ping can't be interrupted.
        "pool_pre_ping": False,
        # For SQLAlchemy's own first statements: a standby refuses a role's SERIALIZABLE.
        "isolation_level": _ISOLATION,
    }
    closing_waits = False

    def whole_days(self, element: Function, compiler: SQLCompiler, **options: Any) -> str:
        end, start = (compiler.process(clause, **options) for clause in element.clauses)
        # Subtracting timestamps gives an interval of days and a time below 24 hours. date_part was
        # measured faster than extract, which computes with numeric since PostgreSQL 14.
        return f"date_part('day', {end} - {start})"

    def whole_slots(self, element: Function, compiler: SQLCompiler, **options: Any) -> str:
        end, start, seconds = (compiler.process(clause, **options) for clause in element.clauses)
        # A double holds the microseconds of 285 years exactly.
        return f"floor(date_part('epoch', {end} - {start}) / {seconds})"

    def connect_args(self, url: URL) -> Mapping[str, Any]:
        driver = url.get_driver_name()
        if driver not in _LIBPQ_DRIVERS:
            return {}
        # A pooler may give the next transaction to another session, which knows no statement
        # that was prepared.
        prepared = {"prepare_threshold": None} if driver == "psycopg" else {}
        return {**_LIBPQ_ARGUMENTS, **prepared}

    @contextmanager
    def guard(self, connection: Connection, limits: Limits) -> Iterator[None]:
        # Set on the connection, because SET LOCAL does nothing in a host's autocommit.
        connection.execution_options(isolation_level=_ISOLATION)
        guard = _Guard(connection, limits)
        guard.begin()
        event.listen(connection, "commit", guard.end)
        event.listen(connection, "rollback", guard.end)
        event.listen(connection, "before_cursor_execute", guard.hold)
        yield

    def interrupt(self, driver: Any) -> None:
        # Its drivers' own ways to cancel need the network, which may be the trouble.
        with socket.socket(fileno=os.dup(driver.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)

    def timed_out(self, cause: BaseException) -> bool:
        # psycopg's attribute, and psycopg2's
        states = (getattr(cause, name, None) for name in ("sqlstate", "pgcode"))
        return _QUERY_CANCELED in states


class _Guard:
    """Holds each transaction of a connection to what reports may do, whoever begins it.

    All statements together keep the time limit: one that begins late may take less. Otherwise a
    report of several slow statements would be given up from outside as if it hung, which is not
    remembered as too slow, and be begun again by every caller.
    """

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._connection = connection
        self._limits = limits
        self._held = limits.seconds
        self._has_ended = self._is_busy = False

    def begin(self) -> None:
        """Begin a transaction that only reads, by settings that end with it."""
        settings = _settings(self._connection, self._limits, self._held)
        texts = (f"SET LOCAL {name} = '{value}'" for name, value in settings)
        self._execute("; ".join(["SET TRANSACTION READ ONLY", *texts]))

    def end(self, _: Connection) -> None:
        """Note that a provider has ended the transaction."""
        self._has_ended = True

    def hold(self, *_: object) -> None:
        """Before each statement: begin anew after an end, and leave what is left of the time."""
        if self._is_busy:
            return
        if self._limits.seconds:
            left = max(self._limits.deadline - time.monotonic(), 0.001)
            is_late = self._held - left > _SLACK_SECONDS
            self._held = left if is_late or self._has_ended else self._held
            if is_late and not self._has_ended:
                self._execute(f"SET LOCAL statement_timeout = {_milliseconds(left)}")
        if self._has_ended:
            self._has_ended = False
            self.begin()

    def _execute(self, statement: str) -> None:
        self._is_busy = True
        try:
            self._connection.exec_driver_sql(statement)
        finally:
            self._is_busy = False


def _settings(connection: Connection, limits: Limits, seconds: float) -> Iterator[tuple[str, str]]:
    yield "statement_timeout", f"{_milliseconds(seconds)}ms"
    idle = max(limits.seconds, _SHORTEST_IDLE_SECONDS) if limits.seconds else 0
    yield "idle_in_transaction_session_timeout", f"{_milliseconds(idle)}ms"
    yield "application_name", SESSION_LABEL
    # A number may depend on these: what a column with a zone is compared by, and rows that a
    # policy would leave out, which are an error this way.
    yield "timezone", limits.timezone
    yield "row_security", "off"
    yield "plan_cache_mode", "force_custom_plan"
    # None by default, so that a pass takes one core, and no files for its groups:
    # docs/performance.md has the figures.
    yield "max_parallel_workers_per_gather", str(limits.workers)
    yield "work_mem", "64MB"
    version = connection.dialect.server_version_info
    if version and version >= _WITH_IO_WORKERS:
        yield "effective_io_concurrency", "0"


def _milliseconds(seconds: float) -> int:
    """Rounded up, because 0 would mean no limit."""
    return math.ceil(seconds * 1000)
