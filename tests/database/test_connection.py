"""Connections of reports: how they are opened, held to one deadline, interrupted and closed."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from flask_powerauth_telemetry import Unavailable
from flask_powerauth_telemetry.database.connection import (
    Database,
    always,
    translated_errors,
    wrapped_driver_errors,
)
from flask_powerauth_telemetry.database.engine import create_read_only_engine, create_writing_engine
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.exceptions import DatabaseFault, TelemetryError, TooSlow
from flask_powerauth_telemetry.providers import ReportContext
from tests.database.test_guard import SLOW
from tests.support.held import eventually
from tests.support.proxy import Proxy, proxied
from tests.support.service import NOW

LIMIT = 1.0
SOON_SECONDS = 10.0
"""How long what was ended may take to end; all that is ended here would take longer."""
DRIVERS = ("psycopg", "psycopg2")
NOWHERE = "postgresql+psycopg://telemetry@127.0.0.1:1/powerauth"
FIRST_STATEMENT = b"pg_catalog.version"
GUARD = b"SET TRANSACTION READ ONLY"
NUMBERS = "SELECT value FROM number"


def _database(engine: Engine, *, limit: float = 0, ours: bool = True) -> Database:
    return Database(
        engine=always(engine),
        timezone=UTC,
        tables=PowerAuthTables(),
        statement_timeout=limit,
        ours=ours,
    )


Open = Callable[..., Database]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Makes databases by engines of ours, which are closed in the end."""
    with ExitStack() as resources:

        def make(url: URL | str, *, limit: float = 0, **options: Any) -> Database:
            database = _database(create_read_only_engine(make_url(url), options), limit=limit)
            resources.callback(database.close)
            return database

        yield make


@pytest.fixture
def proxy(postgresql: Engine) -> Iterator[Proxy]:
    with proxied(postgresql) as proxy:
        yield proxy


def _tries(database: Database) -> list[object]:
    """What grows by one for each connection that a driver is told to open."""
    tries: list[object] = []
    event.listen(database.engine(), "do_connect", lambda *_: tries.append(1))
    return tries


# Opened


@pytest.mark.parametrize("create", [create_read_only_engine, create_writing_engine])
@pytest.mark.parametrize("driver", DRIVERS)
def test_libpq_gives_up_what_is_dead(postgresql: Engine, create: Any, driver: str) -> None:
    url = postgresql.url.set(drivername=f"postgresql+{driver}")
    url = url.update_query_dict({"keepalives_interval": "7", "application_name": "telemetry"})
    engine = create(url, {"connect_args": {"keepalives_count": 5}})
    with engine.connect() as connection:
        info = connection.connection.driver_connection.info
        given = info.get_parameters() if driver == "psycopg" else info.dsn_parameters
    engine.dispose()

    expected = {
        "connect_timeout": "5",
        "keepalives": "1",
        "keepalives_idle": "30",
        "keepalives_interval": "7",  # as the URL has it, instead of 10
        "keepalives_count": "5",  # as the options have it, instead of 3
    }
    assert {name: given[name] for name in expected} == expected


@pytest.mark.parametrize("url", [NOWHERE, "sqlite:///{folder}"])
def test_what_cannot_be_opened_is_tried_once(opened: Open, url: str, tmp_path: Path) -> None:
    database = opened(url.format(folder=tmp_path))
    tries = _tries(database)

    with pytest.raises(Unavailable), database.connect():
        pass

    assert len(tries) == 1


@pytest.mark.parametrize("driver", DRIVERS)
def test_pooled_connection_that_was_lost_is_replaced_once(
    postgresql: Engine, opened: Open, driver: str
) -> None:
    database = opened(postgresql.url.set(drivername=f"postgresql+{driver}"))
    tries = _tries(database)
    with database.connect() as connection:
        lost = connection.scalar(text("SELECT pg_backend_pid()"))
    with postgresql.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:lost)"), {"lost": lost})

    with database.connect() as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) != lost

    assert len(tries) == 2


def test_connection_that_is_lost_again_is_not_replaced(
    postgresql: Engine, proxy: Proxy, opened: Open
) -> None:
    database = opened(proxy.url(postgresql))
    with database.connect():
        pass
    opened_before = proxy.opened
    engine = database.engine()
    event.listen(engine, "checkout", lambda *_: proxy.close_all())

    with pytest.raises(Unavailable), database.connect():
        pass

    assert proxy.opened == opened_before + 1


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("isolation", ["AUTOCOMMIT", "SERIALIZABLE"])
@pytest.mark.parametrize("pool", [None, StaticPool])
def test_pooled_connection_of_another_isolation_is_replaced_once(
    postgresql: Engine, driver: str, isolation: Any, pool: Any
) -> None:
    """As setting it is the first thing that fails, in the driver and not in SQLAlchemy."""
    url = postgresql.url.set(drivername=f"postgresql+{driver}")
    options = {"isolation_level": isolation, **({"poolclass": pool} if pool else {})}
    ours = _database(create_read_only_engine(url, options))
    hosts = _database(create_engine(url, **options), ours=False)
    for database in (ours, hosts):
        with database.connect() as connection:
            lost = connection.scalar(text("SELECT pg_backend_pid()"))
        with postgresql.connect() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:lost)"), {"lost": lost})

        with database.connect() as connection:
            assert connection.scalar(text("SELECT pg_backend_pid()")) != lost


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("ours", [True, False])
def test_raw_error_of_a_driver_is_translated(postgresql: Engine, driver: str, ours: bool) -> None:
    """A provider may use the driver's own cursor; and the session may be gone by then."""
    engine = create_engine(postgresql.url.set(drivername=f"postgresql+{driver}"))
    database = _database(engine, ours=ours)
    for statement, meant in (
        ("SELECT * FROM nowhere", DatabaseFault),
        ("SELECT pg_terminate_backend(pg_backend_pid())", Unavailable),
    ):
        with pytest.raises(meant), database.connect() as connection:
            connection.connection.cursor().execute(statement)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_stops_a_statement_is_not_hidden_by_the_rollback(
    database: Engine, opened: Open, stop: type[BaseException]
) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE is_there (id INTEGER)")

    def stopped() -> None:
        with opened(database.url).connect() as connection:
            connection.execute(text("SELECT 1"))
            driver: Any = connection.connection.driver_connection
            driver.close()
            raise stop

    with pytest.raises(stop):
        stopped()


def test_error_whose_contexts_go_round_is_translated() -> None:
    error, other = SQLAlchemyError("one"), ValueError("another")
    error.__context__, other.__context__ = other, error

    with pytest.raises(DatabaseFault, match="one"), translated_errors():
        raise error


# Held to reading, and to one deadline


@pytest.mark.parametrize("query", ["uri=true", "uri=true&mode=rwc", "mode=rw&uri=true"])
def test_file_uri_of_sqlite_is_read_and_never_written(
    sqlite: Engine, opened: Open, query: str
) -> None:
    path = Path(str(sqlite.url.database))
    with pytest.raises(Unavailable), opened(f"sqlite:///file:{path}?{query}").connect():
        pass
    assert not path.exists()
    with sqlite.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE number AS SELECT 7 AS value")

    with opened(f"sqlite:///file:{path}?{query}").connect() as connection:
        assert connection.scalar(text("SELECT value FROM number")) == 7
    for uri in (f"file:{path}", f"file:{path}#fragment"):
        with (
            pytest.raises(DatabaseFault, match="readonly"),
            opened(f"sqlite:///{uri}?{query}").connect() as connection,
        ):
            connection.execute(text("DELETE FROM number"))


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(
    "read",
    [
        lambda connection: connection.execute(text(NUMBERS)),
        lambda connection: connection.scalars(text(NUMBERS)),
        lambda connection: connection.exec_driver_sql(NUMBERS),
        lambda connection: connection.execute(text(NUMBERS)).mappings(),
        lambda connection: connection.execution_options(yield_per=2).execute(text(NUMBERS)),
        lambda connection: connection.execute(text(NUMBERS)).partitions(2),
        lambda connection: (row for row in connection.execute(text(NUMBERS))),
    ],
)
def test_error_that_is_kept_keeps_nobody_from_writing_to_a_file_of_sqlite(
    sqlite: Engine, read: Callable[[Connection], Iterator[Any]], ours: bool
) -> None:
    with sqlite.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE number (value)")
        connection.exec_driver_sql("INSERT INTO number VALUES (1), (2), (3), (4), (5)")
    reader = create_read_only_engine(sqlite.url, {}) if ours else create_engine(sqlite.url)
    database = _database(reader, ours=ours)

    def fail() -> None:
        with database.connect() as connection:
            complete = connection.scalars(text(NUMBERS)).all()
            rows = read(connection)
            for row in rows:
                raise LookupError(complete, row)

    with pytest.raises(LookupError) as kept:  # as a log's handler keeps it, with its frames
        fail()
    with create_engine(sqlite.url, connect_args={"timeout": 0.1}).begin() as connection:
        connection.execute(text("DELETE FROM number"))
    assert kept.tb is not None
    with database.connect() as connection:
        assert connection.scalars(text(NUMBERS)).all() == []


def _be_slow(connection: Connection, statement: str) -> None:
    time.sleep(0.6 * LIMIT)
    connection.execute(text("SELECT 1"))
    connection.execute(text(statement))


def test_all_statements_together_keep_the_time_limit(database: Engine, opened: Open) -> None:
    database.connect().close()  # SQLite's file has to be there
    started = time.monotonic()

    with pytest.raises(TooSlow), opened(database.url, limit=LIMIT).connect() as connection:
        _be_slow(connection, SLOW[database.dialect.name])

    # With a time limit of its own, the last statement would end later.
    assert LIMIT <= time.monotonic() - started < 1.5 * LIMIT


# Interrupted


class Hanging:
    """A statement on a thread of its own, and what ends it from outside."""

    def __init__(self, database: Database, statement: str) -> None:
        self.error: TelemetryError | None = None
        self._database = database
        self._statement = statement
        self._interrupt: Callable[[], None] | None = None
        self._is_sent = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._database.connect(self._interrupted_by) as connection:
                self._is_sent.set()
                connection.execute(text(self._statement))
        except TelemetryError as error:
            self.error = error

    def _interrupted_by(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt

    def wait_until_it_runs(self) -> None:
        """Wait until the database is at it."""
        assert self._is_sent.wait(SOON_SECONDS)
        time.sleep(0.3)

    def interrupt(self) -> None:
        """End it, and wait until it has ended."""
        assert self._interrupt is not None
        assert self._thread.is_alive()
        self._interrupt()
        self._thread.join(SOON_SECONDS)
        assert not self._thread.is_alive()


def test_context_tells_what_ends_what_runs_now(sqlite: Engine, opened: Open) -> None:
    sqlite.connect().close()
    database = opened(sqlite.url)
    told: list[Callable[[], None] | None] = []
    with ReportContext(database, NOW, told.append, history=database) as context:
        context.connection.execute(text("SELECT 1"))
        own = told[-1]
        with context.history_connection():
            assert told[-1] not in (own, None)
        assert own is not None
        assert told[-1] is own

    assert told[-1] is None  # the connection may be somebody else's by now


def test_interrupt_is_told_before_a_host_looks_for_its_engine(opened: Open, sqlite: Engine) -> None:
    sqlite.connect().close()
    told: list[Callable[[], None] | None] = []

    def look() -> Engine:
        (interrupt,) = told
        assert interrupt is not None
        interrupt()
        return sqlite

    database = replace(opened(sqlite.url), engine=look, ours=False)
    with database.connect(told.append) as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def test_statement_that_runs_is_interrupted(database: Engine, opened: Open) -> None:
    database.connect().close()
    hanging = Hanging(opened(database.url), SLOW[database.dialect.name])
    hanging.wait_until_it_runs()

    hanging.interrupt()

    assert isinstance(hanging.error, Unavailable)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("trigger", [FIRST_STATEMENT, GUARD, b"pg_sleep"])
def test_new_connection_that_hangs_is_interrupted(
    postgresql: Engine, proxy: Proxy, opened: Open, driver: str, trigger: bytes
) -> None:
    """In SQLAlchemy's first statement, in the guard's, in the report's; and it is not replaced."""
    database = opened(proxy.url(postgresql).set(drivername=f"postgresql+{driver}"))
    proxy.swallow(trigger)
    hanging = Hanging(database, SLOW["postgresql"])
    eventually(proxy.is_silent)

    hanging.interrupt()

    assert isinstance(hanging.error, Unavailable)
    assert proxy.opened == 1


def test_errors_of_a_driver_are_wrapped_and_a_lost_connection_is_left(postgresql: Engine) -> None:
    for statement, is_lost in (
        ("SELECT no_such_column", False),
        ("SELECT pg_terminate_backend(pg_backend_pid())", True),
    ):
        with postgresql.connect() as connection:
            driver: Any = connection.connection.driver_connection
            with (
                pytest.raises(DBAPIError) as wrapped,
                wrapped_driver_errors(postgresql, connection),
            ):
                driver.execute(statement)

            assert wrapped.value.connection_invalidated is is_lost
            assert connection.invalidated is is_lost


def test_new_connection_of_a_host_that_hangs_is_interrupted(
    postgresql: Engine, proxy: Proxy
) -> None:
    host = create_engine(proxy.url(postgresql))
    proxy.swallow(FIRST_STATEMENT)
    hanging = Hanging(_database(host, ours=False), SLOW["postgresql"])
    eventually(proxy.is_silent)

    hanging.interrupt()

    assert isinstance(hanging.error, Unavailable)
    host.dispose()


@pytest.mark.parametrize("trigger", [b"", GUARD])
def test_pooled_connection_that_hangs_is_not_replaced(
    postgresql: Engine, proxy: Proxy, opened: Open, trigger: bytes
) -> None:
    """At once, so that a check of the pool's before use would hang too, or in the guard's."""
    database = opened(proxy.url(postgresql))
    with database.connect():
        pass
    proxy.swallow(trigger)
    hanging = Hanging(database, SLOW["postgresql"])
    eventually(proxy.is_silent)
    time.sleep(0.3)

    hanging.interrupt()

    assert isinstance(hanging.error, Unavailable)
    assert proxy.opened == 1


def test_connections_of_a_pool_are_forgotten_when_one_hangs(
    postgresql: Engine, opened: Open
) -> None:
    database = opened(postgresql.url)
    with database.connect() as first, database.connect() as second:
        pooled: list[Any] = [one.connection.driver_connection for one in (first, second)]
    hanging = Hanging(database, SLOW["postgresql"])
    hanging.wait_until_it_runs()

    hanging.interrupt()

    assert all(driver.closed for driver in pooled)


# Closed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_process_that_is_forked_has_connections_of_its_own(
    postgresql: Engine, opened: Open
) -> None:
    def session() -> Any:
        with database.connect() as connection:
            return connection.scalar(text("SELECT pg_backend_pid()"))

    database = opened(postgresql.url)
    ours = session()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 2 if session() == ours else 0
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert session() == ours


def test_connection_in_use_is_closed_after_all_were_forgotten(
    database: Engine, opened: Open
) -> None:
    database.connect().close()
    target = opened(database.url)
    with target.connect() as connection:
        used: Any = connection.connection.driver_connection
        target.forget_connections()

    with pytest.raises(target.engine().dialect.loaded_dbapi.Error):
        used.cursor().close()


@pytest.mark.parametrize("ours", [True, False])
def test_close_closes_what_is_pooled_by_an_engine_of_ours(
    database: Engine, opened: Open, ours: bool
) -> None:
    database.connect().close()
    engine = opened(database.url).engine()
    target = _database(engine, ours=ours)
    with engine.connect() as connection:
        pooled: Any = connection.connection.driver_connection
    pooled.cursor().close()

    target.close()

    closed = pytest.raises(engine.dialect.loaded_dbapi.Error)
    with closed if ours else nullcontext():
        pooled.cursor().close()
    with target.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
