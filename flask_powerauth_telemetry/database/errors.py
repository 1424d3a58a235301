"""What an error of SQLAlchemy means to a caller: try again later, or someone must repair it."""

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from flask_powerauth_telemetry.database.dialects.base import DatabaseDialect
from flask_powerauth_telemetry.exceptions import (
    Cancelled,
    DatabaseFault,
    TelemetryError,
    TooSlow,
    Unavailable,
)


def translate(error: SQLAlchemyError, dialect: DatabaseDialect) -> TelemetryError:
    """The error to raise in place of one of SQLAlchemy's; its message is for the log.

    ``TooSlow`` for a statement that ran into its time limit, ``Cancelled`` for one that had to make
    room, ``Unavailable`` for what else may be gone at the next try, ``DatabaseFault`` for the rest.
    """
    cause = error.orig if isinstance(error, DBAPIError) else None
    text = f"{type(error).__name__}: {error if cause is None else dialect.message(cause)}"
    if cause is not None and dialect.timed_out(cause):
        return TooSlow(text)
    if cause is not None and dialect.cancelled(cause):
        return Cancelled(text)
    if dialect.passes(error, cause):
        return Unavailable(text)
    return DatabaseFault(text)
