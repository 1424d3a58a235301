"""ClickHouse, by its own driver."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    URL,
    BindParameter,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    TypeDecorator,
    func,
    literal_column,
    type_coerce,
)
from sqlalchemy.exc import SQLAlchemyError

from flask_powerauth_telemetry.database.dialects.base import (
    MISSING_COLUMN,
    MISSING_TABLE,
    SESSION_LABEL,
    DatabaseDialect,
    Limits,
    held_attribute,
)

# A time limit has to bound all tries together; and a session is locked by what hangs in it.
_CONNECT_ARGS: Mapping[str, Any] = {
    "connect_timeout": 5,
    "query_retries": 0,
    "autogenerate_session_id": False,
}
_SETTINGS: Mapping[str, Any] = {
    "readonly": 2,
    # Each of these could otherwise turn a count into one of a part of the rows.
    "skip_unavailable_shards": 0,
    "timeout_overflow_mode": "throw",
    "read_overflow_mode": "throw",
    "read_overflow_mode_leaf": "throw",
    "group_by_overflow_mode": "throw",
    "join_overflow_mode": "throw",
    "result_overflow_mode": "throw",
    "log_comment": SESSION_LABEL,
}
_HANGS_AFTER_SECONDS = 0.5
_TIMEOUT_EXCEEDED = 159
_CANCELLED = frozenset({241, 243})  # MEMORY_LIMIT_EXCEEDED, NOT_ENOUGH_SPACE
# TOO_MANY_SIMULTANEOUS_QUERIES, SOCKET_TIMEOUT, NETWORK_ERROR, ALL_CONNECTION_TRIES_FAILED,
# ALL_REPLICAS_LOST.
_PASSING = frozenset({202, 209, 210, 279, 415})


class _DateTime64(TypeDecorator[datetime]):
    """A wall clock in ClickHouse's ``DateTime64(6, 'UTC')``, whatever the zone of the server.

    Its driver would cut a plain DateTime to whole seconds.
    """

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return value and value.isoformat(" ", "microseconds")

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        # Its driver can be told to give UTC, in which the wall clock is kept, as a zone.
        return value.astimezone(UTC).replace(tzinfo=None) if value and value.tzinfo else value

    def bind_expression(self, bindvalue: BindParameter[datetime]) -> ColumnElement[Any]:
        return func.toDateTime64(type_coerce(bindvalue, self), literal_column("6, 'UTC'"))


class ClickHouse(DatabaseDialect):
    """ClickHouse; the driver brings the dialect."""

    server_clock = "SELECT toUnixTimestamp64Micro(now64(6)) / 1000000"
    server = "a copy: PowerAuth itself runs on other databases; see that it is filled without a gap"
    writing = "each statement is sent with readonly = 2, so the server refuses to write"
    indexes = "ClickHouse reads whole columns, in the order of the table's key"
    wall_clock = _DateTime64()
    cures: Mapping[str, str] = {
        "UNKNOWN_TABLE": MISSING_TABLE,
        "UNKNOWN_IDENTIFIER": MISSING_COLUMN,
    }

    def whole_slots(self, end: str, start: str, seconds: str = "86400") -> str:
        microseconds = f"toUnixTimestamp64Micro({end}) - toUnixTimestamp64Micro({start})"
        # intDiv cuts a fraction off, of either sign; dateDiff counts midnights.
        return f"intDiv({microseconds}, {seconds} * 1000000)"

    whole_days = whole_slots

    def connect_args(self, url: URL) -> Mapping[str, Any]:
        return _CONNECT_ARGS

    @contextmanager
    def guard(self, connection: Connection, limits: Limits) -> Iterator[None]:
        seconds = limits.seconds
        connection.execution_options(settings={**_SETTINGS, "max_execution_time": seconds})
        driver: Any = connection.connection.driver_connection
        waits = driver.client.timeout
        if seconds:
            # The server ends it first, unless the network is the trouble.
            waits = type(waits)(connect=waits.connect_timeout, read=seconds + _HANGS_AFTER_SECONDS)
        with held_attribute(driver.client, "timeout", waits):
            yield

    def timed_out(self, cause: BaseException) -> bool:
        return _code(cause) == _TIMEOUT_EXCEEDED

    def cancelled(self, cause: BaseException) -> bool:
        return _code(cause) in _CANCELLED

    def passes(self, error: SQLAlchemyError, cause: BaseException | None) -> bool:
        return _code(cause) in _PASSING or super().passes(error, cause)


def _code(cause: BaseException | None) -> int | None:
    """The server's code of an error of this driver's."""
    own = type(cause).__module__.startswith("clickhouse_connect.")
    return getattr(cause, "code", None) if own else None
