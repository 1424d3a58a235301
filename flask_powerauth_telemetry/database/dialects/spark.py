"""What impyla, the driver of a Spark Thrift server, needs to be a driver like the others.

impyla opens a session of its own for each cursor, so settings are given with each cursor. What goes
wrong on the network, or by the server's time limit, it raises as errors that are none of a
database driver's; SQLAlchemy would let those through.
"""

import math
import re
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.exc import DBAPIError

DIALECT = "impala"
CONNECT_ARGS = {"timeout": 10, "retries": 1}
"""The seconds that each message to the server may take, and how often it is sent."""

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


def session_settings(seconds: float) -> dict[str, str]:
    """The settings of a session whose statement may take so many seconds, 0 for no limit."""
    settings = {f"set:hiveconf:{name}": value for name, value in _SETTINGS.items()}
    limit_time(settings, seconds)
    return settings


def limit_time(settings: dict[str, str], seconds: float) -> None:
    """Set the time limit in a session's settings, 0 for none.

    The server counts whole seconds, and the driver hears of the end up to half a second late. So it
    is rounded down, or the statement would be taken to hang.
    """
    settings[_TIMEOUT] = f"{max(1, math.floor(seconds)) if seconds else 0}s"


def prepare(engine: Engine, user: str) -> None:
    """Have an engine raise the errors of a driver; ``user`` is that of a URL without one."""
    name = engine.url.username or user
    event.listen(engine, "do_connect", partial(_connect, name))
    event.listen(engine, "handle_error", _driver_error, retval=True)


def close_socket(driver: Any) -> None:
    """End what runs on a connection of impyla's; the server then ends the session's statement."""
    transport = driver.service.client._iprot.trans
    below = getattr(transport, "_trans", transport)
    if getattr(below, "handle", None) is not None:
        below.handle.shutdown(socket.SHUT_RDWR)
    else:
        transport.close()


def raised(cause: BaseException | None) -> bool:
    """Whether an error is one of this driver's."""
    return type(cause).__module__ == "impala.error"


def timed_out(cause: BaseException | None) -> bool:
    """Whether a driver's error is that of a statement that took too long."""
    return raised(cause) and _TIMED_OUT in str(cause)


def refused(cause: BaseException | None) -> bool:
    """Whether a driver's error is there again at the next try: somebody must repair something."""
    return _REFUSED.search(str(cause)) is not None


def message(cause: BaseException) -> str:
    """What a driver says; Spark's without the plan, which holds values, and the stack."""
    text = str(cause)
    return text.strip().partition("\n")[0] if raised(cause) else text


def _connect(
    user: str, dialect: Dialect, record: object, arguments: list[Any], options: dict[str, Any]
) -> Any:
    try:
        connection: Any = dialect.connect(*arguments, **options)
    except Exception as error:
        if not _of_network(error):
            raise
        raise _dbapi(dialect).OperationalError(_text(error)) from error
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
    elif _of_network(error):
        text = _text(error)
    else:
        return None
    dbapi = _dbapi(context.dialect)
    wrapped: BaseException = DBAPIError.instance(
        context.statement, None, dbapi.OperationalError(text), dbapi.Error, hide_parameters=True
    )
    return wrapped


def _of_network(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, OSError | EOFError) or "TTransportException" in names


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _dbapi(dialect: Dialect) -> Any:
    return dialect.loaded_dbapi
