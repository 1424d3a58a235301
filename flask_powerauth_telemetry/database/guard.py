"""The guard on a connection: it may only read, only so long, and by so many processes.

What holds on which engine is one table in docs/databases.md.
"""

import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event

from flask_powerauth_telemetry.database.dialects import clickhouse, spark

SESSION_LABEL = "flask_powerauth_telemetry"
_SQLITE_STEPS_BETWEEN_CHECKS = 10_000
_SLACK_SECONDS = 0.1
_HANGS_AFTER_SECONDS = 0.5
_SHORTEST_IDLE_SECONDS = 10.0
_POSTGRESQL_WITH_IO_WORKERS = (18,)


@dataclass(frozen=True)
class Limits:
    """What reports may take.

    - ``seconds``: the time of all statements of a report, 0 for no limit.
    - ``workers``: on PostgreSQL, parallel workers beside the session's own process.
    """

    seconds: float
    workers: int = 0


Guard = Callable[[Connection, Limits, float], AbstractContextManager[None]]


def guarded(
    connection: Connection, limits: Limits, *, ours: bool, passed: float = 0
) -> AbstractContextManager[None]:
    """Hold the guard on an idle connection for the length of a ``with`` block.

    Of the time limit ``passed`` seconds have passed. ``ours`` tells that the engine was made by
    this package: a host's SQLite connection may be shared with threads that write, so there it is
    left as it is.
    """
    dialect = connection.dialect.name
    guard = _unguarded if dialect == "sqlite" and not ours else _GUARDS.get(dialect, _unguarded)
    seconds = limits.seconds
    deadline = time.monotonic() + seconds - passed if seconds else math.inf
    return guard(connection, limits, deadline)


@contextmanager
def _unguarded(connection: Connection, limits: Limits, deadline: float) -> Iterator[None]:
    yield


@contextmanager
def _postgresql(connection: Connection, limits: Limits, deadline: float) -> Iterator[None]:
    # An isolation level is set on the connection because SET LOCAL does nothing in autocommit;
    # repeatable read, so that all statements of a report see one instant.
    connection.execution_options(isolation_level="REPEATABLE READ")
    connection.exec_driver_sql(
        "; ".join(
            [
                "SET TRANSACTION READ ONLY",
                *(
                    f"SET LOCAL {name} = '{value}'"
                    for name, value in _postgresql_settings(connection, limits)
                ),
            ]
        )
    )
    if limits.seconds:
        _hold_deadline(connection, limits.seconds, deadline)
    yield


def _postgresql_settings(connection: Connection, limits: Limits) -> Iterator[tuple[str, str]]:
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
    if version and version >= _POSTGRESQL_WITH_IO_WORKERS:
        yield "effective_io_concurrency", "0"


def _hold_deadline(connection: Connection, seconds: float, deadline: float) -> None:
    """Have a statement that begins late take less, so that all together keep the time limit.

    Otherwise a report of several slow statements would be given up from outside as if it hung,
    which is not remembered as too slow, and be begun again by every caller.
    """
    held = seconds

    def shorten(*_: object) -> None:
        nonlocal held
        left = deadline - time.monotonic()
        if held - left > _SLACK_SECONDS:
            held = left
            milliseconds = _milliseconds(max(left, 0.001))
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")

    event.listen(connection, "before_execute", shorten)


@contextmanager
def _sqlite(connection: Connection, limits: Limits, deadline: float) -> Iterator[None]:
    driver = _driver_connection(connection)
    driver.set_progress_handler(
        lambda: int(time.monotonic() > deadline), _SQLITE_STEPS_BETWEEN_CHECKS
    )
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


@contextmanager
def _oracle(connection: Connection, limits: Limits, deadline: float) -> Iterator[None]:
    driver = _driver_connection(connection)
    driver.module = SESSION_LABEL
    with _attribute(driver, "call_timeout", _milliseconds(limits.seconds)):
        yield


@contextmanager
def _mssql(connection: Connection, limits: Limits, deadline: float) -> Iterator[None]:
    driver = _driver_connection(connection)
    with _attribute(driver, "timeout", math.ceil(limits.seconds)):
        yield


@contextmanager
def _clickhouse(connection: Connection, limits: Limits, deadline: float) -> Iterator[None]:
    seconds = limits.seconds
    settings = clickhouse.statement_settings(seconds, SESSION_LABEL)
    connection.execution_options(settings=settings)
    client = _driver_connection(connection).client
    waits = client.timeout
    if seconds:
        # The server ends it first, unless the network is the trouble.
        waits = type(waits)(connect=waits.connect_timeout, read=seconds + _HANGS_AFTER_SECONDS)
    with _attribute(client, "timeout", waits):
        yield


@contextmanager
def _spark(connection: Connection, limits: Limits, deadline: float) -> Iterator[None]:
    settings = spark.session_settings(limits.seconds)
    connection.execution_options(cursor_configuration=settings)

    def shorten(*_: object) -> None:
        spark.limit_time(settings, max(deadline - time.monotonic(), 0.001))

    if limits.seconds:
        event.listen(connection, "before_execute", shorten)
    yield


@contextmanager
def _attribute(driver: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(driver, name)
    setattr(driver, name, value)
    try:
        yield
    finally:
        setattr(driver, name, before)


def interrupter(driver: Any) -> Callable[[], None]:
    """What ends the statement that runs on a driver's connection, callable from another thread.

    It closes the socket of PostgreSQL's drivers, whose own ways to cancel need the network that
    may be the trouble. What a driver can't do is left out.
    """

    def interrupt() -> None:
        with suppress(Exception):
            if hasattr(driver, "service"):
                spark.close_socket(driver)
            elif hasattr(driver, "fileno"):
                with socket.socket(fileno=os.dup(driver.fileno())) as own:
                    own.shutdown(socket.SHUT_RDWR)
            elif hasattr(driver, "interrupt"):
                driver.interrupt()
            elif hasattr(driver, "cancel"):
                driver.cancel()

    return interrupt


def _driver_connection(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _milliseconds(seconds: float) -> int:
    """Rounded up, because 0 would mean no limit."""
    return math.ceil(seconds * 1000)


_GUARDS: Mapping[str, Guard] = {
    "postgresql": _postgresql,
    "sqlite": _sqlite,
    "oracle": _oracle,
    "mssql": _mssql,
    clickhouse.DIALECT: _clickhouse,
    spark.DIALECT: _spark,
}
