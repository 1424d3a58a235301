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
    whens,
)

_LIBPQ_DRIVERS = frozenset({"psycopg", "psycopg2"})
_LIBPQ_ARGUMENTS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_QUERY_CANCELED = "57014"  # also raised by statement_timeout
_SLACK_SECONDS = 0.1
_SHORTEST_IDLE_SECONDS = 10.0
_WITH_IO_WORKERS = (18,)


class PostgreSQL(DatabaseDialect):
    """PostgreSQL, and what speaks its protocol and its SQL."""

    extras: Mapping[str, str] = {"psycopg": "postgresql"}
    # The guard's own statement is the check, as a ping can't be interrupted.
    engine_options: Mapping[str, Any] = {"pool_pre_ping": False}
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

    def any_bits(self, element: Function, compiler: SQLCompiler, **options: Any) -> str:
        # One state for each group, where the sum has one for each condition: for ten of them it was
        # measured to take a quarter less CPU and a third of the memory. So more users fit into it.
        return f"bit_or(CASE {' '.join(whens(element, compiler, **options))} ELSE 0 END)"

    def connect_args(self, url: URL) -> Mapping[str, Any]:
        return _LIBPQ_ARGUMENTS if url.get_driver_name() in _LIBPQ_DRIVERS else {}

    @contextmanager
    def guard(self, connection: Connection, limits: Limits) -> Iterator[None]:
        # An isolation level is set on the connection because SET LOCAL does nothing in autocommit;
        # repeatable read, so that all statements of a report see one instant.
        connection.execution_options(isolation_level="REPEATABLE READ")
        settings = (
            f"SET LOCAL {name} = '{value}'" for name, value in _settings(connection, limits)
        )
        connection.exec_driver_sql("; ".join(["SET TRANSACTION READ ONLY", *settings]))
        if limits.seconds:
            _hold_deadline(connection, limits)
        yield

    def interrupt(self, driver: Any) -> None:
        # Its drivers' own ways to cancel need the network, which may be the trouble.
        with socket.socket(fileno=os.dup(driver.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)

    def timed_out(self, cause: BaseException) -> bool:
        # psycopg's attribute, and psycopg2's
        states = (getattr(cause, name, None) for name in ("sqlstate", "pgcode"))
        return _QUERY_CANCELED in states


def _settings(connection: Connection, limits: Limits) -> Iterator[tuple[str, str]]:
    seconds = limits.seconds
    yield "statement_timeout", f"{_milliseconds(seconds)}ms"
    idle = max(seconds, _SHORTEST_IDLE_SECONDS) if seconds else 0
    yield "idle_in_transaction_session_timeout", f"{_milliseconds(idle)}ms"
    yield "application_name", SESSION_LABEL
    yield "plan_cache_mode", "force_custom_plan"
    # None by default, so that a pass takes one core, and no files for its groups:
    # docs/performance.md has the figures.
    yield "max_parallel_workers_per_gather", str(limits.workers)
    yield "work_mem", "64MB"
    version = connection.dialect.server_version_info
    if version and version >= _WITH_IO_WORKERS:
        yield "effective_io_concurrency", "0"


def _hold_deadline(connection: Connection, limits: Limits) -> None:
    """Have a statement that begins late take less, so that all together keep the time limit.

    Otherwise a report of several slow statements would be given up from outside as if it hung,
    which is not remembered as too slow, and be begun again by every caller.
    """
    held = limits.seconds

    def shorten(*_: object) -> None:
        nonlocal held
        left = limits.deadline - time.monotonic()
        if held - left > _SLACK_SECONDS:
            held = left
            milliseconds = _milliseconds(max(left, 0.001))
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")

    event.listen(connection, "before_execute", shorten)


def _milliseconds(seconds: float) -> int:
    """Rounded up, because 0 would mean no limit."""
    return math.ceil(seconds * 1000)
