"""A database that reports read: its engine, its guarded connections and its clock."""

import math
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event

from flask_powerauth_telemetry.guard import guarded
from flask_powerauth_telemetry.tables import PowerAuthTables

_LIBPQ_DRIVERS = frozenset({"psycopg", "psycopg2"})
_LIBPQ_ARGUMENTS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Database:
    """One database, as reports see it.

    ``engine`` is called for each connection. ``timezone`` is the zone of the wall clock that its
    timestamps were written by. ``statement_timeout`` is in seconds, 0 for none. ``ours`` tells
    that the engine was made by ``create_read_only_engine``.
    """

    engine: Callable[[], Engine]
    timezone: tzinfo
    tables: PowerAuthTables
    statement_timeout: float
    ours: bool

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A guarded connection; what was begun on it is rolled back at the end."""
        with (
            self.engine().connect() as connection,
            guarded(connection, self.statement_timeout, ours=self.ours),
        ):
            yield connection

    def close(self) -> None:
        """Close the pooled connections, if the engine is ours; it opens new ones when used."""
        if self.ours:
            self.engine().dispose()

    def forget_connections(self) -> None:
        """Leave pooled connections that may hang and open new ones, if the engine is ours."""
        if self.ours:
            self.engine().dispose(close=False)

    @property
    def time_limit(self) -> float:
        """The time limit of a statement in seconds, infinite for none."""
        return self.statement_timeout or math.inf

    def wall_clock(self, time: datetime) -> datetime:
        """The naive time that the database's clock shows at an aware time."""
        return time.astimezone(self.timezone).replace(tzinfo=None)


def create_read_only_engine(url: URL, options: Mapping[str, Any]) -> Engine:
    """An engine of our own; ``options`` are ``create_engine``'s and win over our defaults.

    Raises what ``create_engine`` raises: ``ArgumentError`` or ``TypeError`` for a wrong URL or
    option, ``ImportError`` for a driver that is not installed.
    """
    connect_args = _connect_args(url) | dict(options.get("connect_args", {}))
    defaults = {"pool_pre_ping": True, "hide_parameters": True}
    engine = create_engine(url, **{**defaults, **options, "connect_args": connect_args})
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", _open_read_only)
    _dispose_after_fork(engine)
    return engine


def _connect_args(url: URL) -> dict[str, Any]:
    if url.get_dialect().name == "postgresql" and url.get_driver_name() in _LIBPQ_DRIVERS:
        return dict(_LIBPQ_ARGUMENTS)
    return {}


def _open_read_only(
    dialect: object, record: object, arguments: list[Any], options: dict[str, Any]
) -> None:
    """Have SQLite open the file read-only, and not create it when it is missing."""
    path = arguments[0]
    if path == ":memory:" or options.get("uri"):
        return
    arguments[0] = f"file:{quote(os.fspath(path))}?mode=ro"
    options["uri"] = True


def _dispose_after_fork(engine: Engine) -> None:
    """Have a child process open connections of its own, for servers that load before they fork."""
    reference = weakref.ref(engine)

    def dispose() -> None:
        inherited = reference()
        if inherited is not None:
            inherited.dispose(close=False)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=dispose)
