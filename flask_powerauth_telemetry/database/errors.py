"""What an error of SQLAlchemy means to a caller: try again later, or someone must repair it."""

from sqlalchemy import exc

from flask_powerauth_telemetry.database.dialects import clickhouse, spark
from flask_powerauth_telemetry.exceptions import DatabaseFault, TelemetryError, TooSlow, Unavailable

# SQLSTATE query_canceled, which PostgreSQL also uses for statement_timeout; ODBC's time-outs.
_TIMED_OUT_STATES = frozenset({"57014", "HYT00", "HYT01"})


def fault_of(error: exc.SQLAlchemyError) -> TelemetryError:
    """The error to raise in place of one of SQLAlchemy's; its message is for the log."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else None
    text = f"{type(error).__name__}: {spark.message(cause) if cause is not None else error}"
    if cause is not None and _timed_out(cause):
        return TooSlow(text)
    if _passing(error, cause):
        return Unavailable(text)
    return DatabaseFault(text)


def _timed_out(cause: BaseException) -> bool:
    return (
        getattr(cause, "sqlstate", None) in _TIMED_OUT_STATES  # psycopg
        or getattr(cause, "pgcode", None) in _TIMED_OUT_STATES  # psycopg2
        or getattr(cause, "sqlite_errorname", None) == "SQLITE_INTERRUPT"
        or (bool(cause.args) and cause.args[0] in _TIMED_OUT_STATES)  # pyodbc
        or "DPY-4024" in str(cause)  # python-oracledb's call_timeout
        or clickhouse.timed_out(cause)
        or spark.timed_out(cause)
    )


def _passing(error: exc.SQLAlchemyError, cause: BaseException | None) -> bool:
    if getattr(cause, "sqlite_errorname", None) == "SQLITE_ERROR":
        return False  # a missing table, which other drivers don't call operational
    if spark.raised(cause):
        return not spark.refused(cause)
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    if clickhouse.passing(cause):
        return True
    return isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError)
