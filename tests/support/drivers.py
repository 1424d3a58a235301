"""Stand-ins for drivers that bring their own dialect, each on a SQLite file.

They tell what a driver is given, and fail as a test says; their SQL is SQLite's.
"""

import sqlite3
import threading
from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.base import SQLiteExecutionContext
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

FAULT = "SELECT 'fault'"
"""The statement at which a driver does as ``StandIn.fault`` says."""


class StandIn:
    """A driver: what it was given, and what ``fault`` and ``refusal`` have it do."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.connected: list[dict[str, Any]] = []
        self.cursors: list[dict[str, Any]] = []
        self.connections: list[Connection] = []
        self.fault: Callable[[Connection], object] = lambda _: None
        self.refusal: Exception | None = None
        self.module = ModuleType(dialect)
        for name in ("sqlite_version_info", "paramstyle", "Binary"):
            setattr(self.module, name, getattr(sqlite3, name))
        own = {"__module__": f"{dialect}.error"}
        base = type("Error", (Exception,), own)
        vars(self.module).update(
            Error=base,
            OperationalError=type("OperationalError", (base,), own),
            ProgrammingError=type("ProgrammingError", (base,), own),
            connect=self._connect,
        )

    def _connect(self, file: str, **options: Any) -> "Connection":
        self.connected.append(options)
        if self.refusal is not None:
            raise self.refusal
        self.connections.append(Connection(self, sqlite3.connect(file, check_same_thread=False)))
        return self.connections[-1]


class Connection:
    """One that has what the dialects reach for in those of Spark's driver and ClickHouse's.

    ``cut`` is set once the network below it is cut off.
    """

    def __init__(self, driver: StandIn, file: sqlite3.Connection) -> None:
        self._driver = driver
        self._file = file
        self.cut = threading.Event()
        self.transport = SimpleNamespace(open=lambda: None, close=self.cut.set)
        client = SimpleNamespace(_iprot=SimpleNamespace(trans=self.transport))
        self.service = SimpleNamespace(client=client)
        self.client = SimpleNamespace(timeout=Timeout(connect=5, read=300))

    def cursor(self, **options: Any) -> "Cursor":
        self._driver.cursors.append(options)
        cursor = self._file.cursor(Cursor)
        cursor.connection_of = self
        cursor.driver = self._driver
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Cursor(sqlite3.Cursor):
    """One that does what its driver is told to."""

    connection_of: Connection
    driver: StandIn

    def execute(self, statement: str, parameters: Any = ()) -> "Cursor":
        if statement == FAULT:
            self.driver.fault(self.connection_of)
        super().execute(statement, parameters)
        return self


class Timeout:
    """The seconds that a client waits to connect, and for an answer."""

    def __init__(self, connect: float, read: float) -> None:
        self.connect_timeout = connect
        self.read_timeout = read


class _Context(SQLiteExecutionContext):
    """Gives a cursor the settings that the connection has for it."""

    def create_default_cursor(self) -> Any:
        given = {
            name.removeprefix("cursor_"): dict(value)
            for name, value in self.execution_options.items()
            if name in ("cursor_configuration", "settings")
        }
        return self._dbapi_connection.cursor(**given)


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str) -> StandIn:
    """A driver whose dialect has this ``name``."""
    driver = StandIn(name)

    def create_connect_args(self: Any, url: URL) -> tuple[list[Any], Mapping[str, Any]]:
        return [url.database], dict(url.query)

    dialect = type(
        "Dialect",
        (SQLiteDialect_pysqlite,),
        {
            "name": name,
            "supports_statement_cache": True,
            "execution_ctx_cls": _Context,
            "import_dbapi": classmethod(lambda cls: driver.module),
            "create_connect_args": create_connect_args,
        },
    )
    monkeypatch.setitem(registry.impls, name, lambda: dialect)
    return driver
