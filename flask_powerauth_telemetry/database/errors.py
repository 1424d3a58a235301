"""What an error of SQLAlchemy means to a caller: try again later, or someone must repair it."""

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.dialects.base import DatabaseDialect
from flask_powerauth_telemetry.exceptions import DatabaseFault, TelemetryError, TooSlow, Unavailable


def translate(error: SQLAlchemyError, dialect: DatabaseDialect) -> TelemetryError:
    """The error to raise in place of one of SQLAlchemy's; its message is for the log.

    ``TooSlow`` for a statement that ran into its time limit, ``Unavailable`` for what may be gone
    at the next try, ``DatabaseFault`` for everything else.
    """
    cause = error.orig if isinstance(error, DBAPIError) else None
    text = f"{type(error).__name__}: {error if cause is None else dialect.message(cause)}"
    if cause is not None and dialect.timed_out(cause):
        return TooSlow(text)
    if dialect.passes(error, cause):
        return Unavailable(text)
    return DatabaseFault(text)


def fault_of(error: SQLAlchemyError) -> TelemetryError:
    """As ``translate``, by the driver's own error; until every caller leaves it to ``connect``."""
    driver = type(getattr(error, "orig", None)).__module__.partition(".")[0]
    return translate(error, dialect_named(_DIALECTS_OF_DRIVERS.get(driver, "postgresql")))


_DIALECTS_OF_DRIVERS = {
    "sqlite3": "sqlite",
    "oracledb": "oracle",
    "pyodbc": "mssql",
    "clickhouse_connect": "clickhousedb",
    "impala": "impala",
}
