"""Apache Spark, by impyla, the driver of a Spark Thrift server.

impyla opens a session of its own for each cursor, so settings are given with each cursor. What goes
wrong on the network, or by the server's time limit, it raises as errors that are none of a
database driver's; SQLAlchemy would let those through.
"""

import math
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, event
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from flask_powerauth_telemetry.database.dialects.base import (
    MISSING_COLUMN,
    MISSING_TABLE,
    SESSION_LABEL,
    DatabaseDialect,
    Limits,
)

# The seconds that each message to the server may take, and how often it is sent.
_CONNECT_ARGS = {"timeout": 10, "retries": 1}
_TIMEOUT = "set:hiveconf:spark.sql.thriftServer.queryTimeout"
_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",  # times are naive: no clock may be changed meanwhile
    "spark.sql.ansi.enabled": "true",  # what overflows or is no time is an error, never NULL
    "spark.sql.parser.escapedStringLiterals": "false",  # as impyla writes values
}
# The protocol's state of a statement that took too long, of which impyla has no name.
_TIMED_OUT_STATE = 8
_TIMED_OUT = "TIMEDOUT_STATE"
# The driver calls every error operational. A table read by JDBC has PostgreSQL's own errors.
_REFUSED = re.compile(
    r"AnalysisException|ParseException|SQLSTATE: (22|42)|ERROR: permission denied"
)


class Spark(DatabaseDialect):
    """Spark; the driver brings the dialect, made for Impala."""

    server = "a copy: PowerAuth itself runs on other databases; see that it is filled without a gap"
    writing = "Spark's own access control, if it is set up, is all that refuses to write"
    indexes = "Spark has none: a pass reads the columns in its files"
    driver = "impyla"
    cures: Mapping[str, str] = {
        "TABLE_OR_VIEW_NOT_FOUND": MISSING_TABLE,
        "UNRESOLVED_COLUMN": MISSING_COLUMN,
    }
    server_clock = "SELECT unix_micros(current_timestamp()) / 1000000"
    # No pool: each statement opens a session anyway, and no connection gets old.
    engine_options: Mapping[str, Any] = {"poolclass": NullPool}

    def whole_slots(self, end: str, start: str, seconds: str = "86400") -> str:
        microseconds = f"{_microseconds(end)} - {_microseconds(start)}"
        return f"(({microseconds}) DIV ({seconds} * 1000000L))"

    whole_days = whole_slots

    def connect_args(self, url: URL) -> Mapping[str, Any]:
        return _CONNECT_ARGS

    def prepare(self, engine: Engine) -> None:
        """Have the engine raise the errors of a driver, and name the user of its sessions."""
        event.listen(engine, "do_connect", partial(_connect, engine.url.username or SESSION_LABEL))
        event.listen(engine, "handle_error", _driver_error)

    @contextmanager
    def guard(self, connection: Connection, limits: Limits) -> Iterator[None]:
        settings = {f"set:hiveconf:{name}": value for name, value in _SETTINGS.items()}
        settings[_TIMEOUT] = _whole_seconds(limits.seconds) if limits.seconds else "0s"
        connection.execution_options(cursor_configuration=settings)

        def shorten(*_: object) -> None:
            settings[_TIMEOUT] = _whole_seconds(limits.deadline - time.monotonic())

        if limits.seconds:
            event.listen(connection, "before_execute", shorten)
        yield

    def interrupt(self, driver: Any) -> None:
        # The server then ends the session's statement.
        transport = driver.service.client._iprot.trans
        below = getattr(transport, "_trans", transport)
        if getattr(below, "handle", None) is not None:
            below.handle.shutdown(socket.SHUT_RDWR)
        else:
            transport.close()

    def timed_out(self, cause: BaseException) -> bool:
        return _is_own(cause) and _TIMED_OUT in str(cause)

    def passes(self, error: SQLAlchemyError, cause: BaseException | None) -> bool:
        if _is_own(cause):
            return _REFUSED.search(str(cause)) is None
        return super().passes(error, cause)

    def message(self, cause: BaseException) -> str:
        """Without the plan, which holds values, and the stack."""
        text = str(cause)
        return text.strip().partition("\n")[0] if _is_own(cause) else text


def _microseconds(time: str) -> str:
    # Values are bound as text, and a column may be a TIMESTAMP_NTZ.
    return f"unix_micros(CAST({time} AS TIMESTAMP))"


def _whole_seconds(limit: float) -> str:
    """A time limit as the server counts it.

    The driver hears of the end up to half a second late. So the limit is rounded down, or the
    statement would be taken to hang.
    """
    return f"{max(1, math.floor(limit))}s"


def _connect(
    user: str, dialect: Dialect, record: object, arguments: list[Any], options: dict[str, Any]
) -> Any:
    try:
        connection: Any = dialect.connect(*arguments, **options)
    except Exception as error:
        if not _is_of_network(error):
            raise
        raise dialect.loaded_dbapi.OperationalError(_text(error)) from error
    if not options.get("use_http_transport"):
        connection.service.client._iprot.trans.open = _stay_closed
    # Otherwise sessions are those of the process's account, and there may be no name of it.
    connection.cursor = partial(_cursor, connection.cursor, user)
    return connection


def _cursor(open_cursor: Callable[..., Any], user: str, **options: Any) -> Any:
    """A cursor that sends nothing when it is collected as garbage.

    impyla's would close itself then, in the middle of whatever another cursor of the connection has
    sent, and each would read the other's answer. Its session ends with the connection.
    """
    cursor = open_cursor(user=user, **options)
    kind = type(cursor)
    cursor.__class__ = type(kind.__name__, (kind,), {"__del__": lambda _: None})
    return cursor


def _stay_closed() -> None:
    """Refuse what impyla does on a closed connection: open it again, to end a session there."""
    raise EOFError("the connection is closed")


def _driver_error(context: ExceptionContext) -> BaseException | None:
    """An error of SQLAlchemy's in place of one that impyla lets through."""
    error = context.original_exception
    if isinstance(error, KeyError) and error.args == (_TIMED_OUT_STATE,):
        text = _TIMED_OUT
    elif _is_of_network(error):
        text = _text(error)
    else:
        return None
    dbapi = context.dialect.loaded_dbapi
    wrapped: BaseException = DBAPIError.instance(
        context.statement, None, dbapi.OperationalError(text), dbapi.Error
    )
    return wrapped


def _is_own(cause: BaseException | None) -> bool:
    """Whether an error is one of this driver's."""
    return type(cause).__module__ == "impala.error"


def _is_of_network(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, OSError | EOFError) or "TTransportException" in names


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
