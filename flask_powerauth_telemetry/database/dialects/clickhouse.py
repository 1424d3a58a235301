"""ClickHouse by its own driver: settings of statements, and what the server's errors mean."""

from collections.abc import Mapping
from typing import Any

DIALECT = "clickhousedb"
# A time limit has to bound all tries together; and a session is locked by what hangs in it.
CONNECT_ARGS: Mapping[str, Any] = {
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
}
_TIMEOUT_EXCEEDED = 159
# TOO_MANY_SIMULTANEOUS_QUERIES, SOCKET_TIMEOUT, NETWORK_ERROR, MEMORY_LIMIT_EXCEEDED,
# ALL_CONNECTION_TRIES_FAILED, ALL_REPLICAS_LOST.
_PASSING = frozenset({202, 209, 210, 241, 279, 415})


def statement_settings(seconds: float, label: str) -> Mapping[str, Any]:
    """The settings of statements that may take so many seconds, 0 for no limit."""
    return {**_SETTINGS, "max_execution_time": seconds, "log_comment": label}


def timed_out(cause: BaseException | None) -> bool:
    """Whether a driver's error is that of a statement that took too long."""
    return _code(cause) == _TIMEOUT_EXCEEDED


def passing(cause: BaseException | None) -> bool:
    """Whether a driver's error may be gone at the next try."""
    return _code(cause) in _PASSING


def _code(cause: BaseException | None) -> int | None:
    ours = type(cause).__module__.startswith("clickhouse_connect.")
    return getattr(cause, "code", None) if ours else None
