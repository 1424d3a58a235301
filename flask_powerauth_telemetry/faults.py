"""What an error of SQLAlchemy means to a caller: try again later, or someone must repair it."""

import re

from sqlalchemy import exc

from flask_powerauth_telemetry import spark
from flask_powerauth_telemetry.exceptions import DatabaseFault, TelemetryError, TooSlow, Unavailable

# SQLSTATE query_canceled, which PostgreSQL also uses for statement_timeout; ODBC's time-outs.
_TIMED_OUT_STATES = frozenset({"57014", "HYT00", "HYT01"})
# ClickHouse's TIMEOUT_EXCEEDED; and TOO_MANY_SIMULTANEOUS_QUERIES, SOCKET_TIMEOUT, NETWORK_ERROR,
# MEMORY_LIMIT_EXCEEDED, ALL_CONNECTION_TRIES_FAILED, ALL_REPLICAS_LOST.
_CLICKHOUSE_TIMED_OUT = 159
_CLICKHOUSE_PASSING = frozenset({202, 209, 210, 241, 279, 415})
# Spark's driver calls every error operational. A table read by JDBC has PostgreSQL's own errors.
_REFUSED_BY_SPARK = re.compile(
    r"AnalysisException|ParseException|SQLSTATE: (22|42)|ERROR: permission denied"
)


def fault_of(error: exc.SQLAlchemyError) -> TelemetryError:
    """The error to raise in place of one of SQLAlchemy's; its message is for the log."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else None
    text = f"{type(error).__name__}: {_message(cause) if cause is not None else error}"
    if cause is not None and _timed_out(cause):
        return TooSlow(text)
    if _passing(error, cause):
        return Unavailable(text)
    return DatabaseFault(text)


def _message(cause: BaseException) -> str:
    """What the driver says; of Spark without the plan, which holds values, and the stack."""
    text = str(cause)
    return text.strip().partition("\n")[0] if _from_spark(cause) else text


def _from_spark(cause: BaseException) -> bool:
    return type(cause).__module__ == "impala.error"


def _timed_out(cause: BaseException) -> bool:
    return (
        getattr(cause, "sqlstate", None) in _TIMED_OUT_STATES  # psycopg
        or getattr(cause, "pgcode", None) in _TIMED_OUT_STATES  # psycopg2
        or getattr(cause, "sqlite_errorname", None) == "SQLITE_INTERRUPT"
        or (bool(cause.args) and cause.args[0] in _TIMED_OUT_STATES)  # pyodbc
        or "DPY-4024" in str(cause)  # python-oracledb's call_timeout
        or _clickhouse_code(cause) == _CLICKHOUSE_TIMED_OUT
        or (_from_spark(cause) and spark.TIMED_OUT in str(cause))
    )


def _passing(error: exc.SQLAlchemyError, cause: BaseException | None) -> bool:
    if getattr(cause, "sqlite_errorname", None) == "SQLITE_ERROR":
        return False  # a missing table, which other drivers don't call operational
    if cause is not None and _from_spark(cause):
        return not _REFUSED_BY_SPARK.search(str(cause))
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    if _clickhouse_code(cause) in _CLICKHOUSE_PASSING:
        return True
    return isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError)


def _clickhouse_code(cause: BaseException | None) -> int | None:
    ours = type(cause).__module__.startswith("clickhouse_connect.")
    return getattr(cause, "code", None) if ours else None
