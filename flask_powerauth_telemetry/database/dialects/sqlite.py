"""SQLite, by Python's own driver."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Dialect, Engine, event
from sqlalchemy.exc import SQLAlchemyError

from flask_powerauth_telemetry.database.dialects.base import (
    MISSING_COLUMN,
    MISSING_TABLE,
    DatabaseDialect,
    Limits,
)

_STEPS_BETWEEN_CHECKS = 10_000
_NO_FILE = "there is no file"


class SQLite(DatabaseDialect):
    """SQLite, whose times are text, as SQLAlchemy writes them."""

    scheme = "sqlite"
    # Each report opens the file anew: one that was replaced would be read on, and its old numbers.
    engine_options: Mapping[str, Any] = {"pool_recycle": 0}
    server = "not applicable: SQLite has no server"
    cures: Mapping[str, str] = {
        _NO_FILE: "correct the path; the file of a history is made by: flask telemetry snapshot",
        "no such table": MISSING_TABLE,
        "no such column": MISSING_COLUMN,
    }

    def whole_slots(self, end: str, start: str, seconds: str = "86400") -> str:
        return f"(({_microseconds(end)} - {_microseconds(start)}) / ({seconds} * 1000000))"

    whole_days = whole_slots

    def refusal(self, url: URL) -> tuple[str, str] | None:
        if url.database in (None, "", ":memory:"):
            return "an in-memory database would be empty", "Name a file, or pass engine="
        return None

    def file(self, url: URL) -> Path | None:
        name = url.database
        return None if not name or name.startswith("file:") else Path(name)

    def prepare(self, engine: Engine) -> None:
        event.listen(engine, "do_connect", _open_read_only)

    def begin_schema_change(self, connection: Connection) -> None:
        # Python's driver begins no transaction for statements that create tables.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @contextmanager
    def guard(self, connection: Connection, limits: Limits) -> Iterator[None]:
        driver: Any = connection.connection.driver_connection
        if limits.ours:  # a host's connections may be shared with threads that write
            # It stays until the next guard: what comes between takes fewer steps.
            driver.set_progress_handler(
                lambda: int(time.monotonic() > limits.deadline), _STEPS_BETWEEN_CHECKS
            )
        cursors: list[Any] = []
        event.listen(
            connection, "after_cursor_execute", lambda _, cursor, *__: cursors.append(cursor)
        )
        try:
            yield
        finally:
            # One that an error's frames hold would keep its lock, and nobody could write.
            for cursor in cursors:
                with suppress(Exception):
                    cursor.close()

    def interrupt(self, driver: Any) -> None:
        driver.interrupt()

    def timed_out(self, cause: BaseException) -> bool:
        return getattr(cause, "sqlite_errorname", None) == "SQLITE_INTERRUPT"

    def passes(self, error: SQLAlchemyError, cause: BaseException | None) -> bool:
        # A missing table, and what writes: other drivers don't call them operational.
        name = getattr(cause, "sqlite_errorname", None)
        return name not in ("SQLITE_ERROR", "SQLITE_READONLY") and super().passes(error, cause)


def _open_read_only(
    dialect: Dialect, record: object, arguments: list[Any], options: dict[str, Any]
) -> None:
    """Have the file opened read-only, and not created when it is missing."""
    path = os.fspath(arguments[0])
    if not options.get("uri") and not os.path.exists(path):
        raise dialect.loaded_dbapi.OperationalError(f"{_NO_FILE} {os.path.abspath(path)}")
    # SQLite leaves out what follows a #, and of a mode that is given twice the first.
    uri = path.partition("#")[0] if options.get("uri") else f"file:{quote(path)}"
    arguments[0] = f"{uri}{'&' if '?' in uri else '?'}mode=ro"
    options["uri"] = True


def _microseconds(time: str) -> str:
    # Seconds and fraction apart: SQLite's own time functions round to milliseconds.
    return (
        f"(CAST(strftime('%s', substr({time}, 1, 19)) AS INTEGER) * 1000000"
        f" + CAST(substr(substr({time}, 21) || '000000', 1, 6) AS INTEGER))"
    )
