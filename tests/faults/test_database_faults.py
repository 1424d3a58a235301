"""Faults of PostgreSQL itself: what is answered, how soon, what is logged, and that it heals."""

import logging
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.database.engine import create_read_only_engine
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.responses import LOG_AGAIN_SECONDS
from tests.database.test_guard import Statement
from tests.support import held
from tests.support.databases import Databases, PostgresqlServer
from tests.support.held import GRACE_SECONDS, answer_of, hold
from tests.support.service import create_app

LIMIT = 1.0


@pytest.fixture(scope="module")
def owner(databases: Databases) -> Engine:
    engine = databases.create("postgresql-18", Path())
    held.create_held_database(engine)
    return engine


@pytest.fixture
def reader(owner: Engine) -> Iterator[Engine]:
    """The engine of an account that may read what reports need."""
    hold(owner)
    with owner.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE fault_reader LOGIN")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO fault_reader")
    yield create_engine(owner.url.set(username="fault_reader"), poolclass=NullPool)
    hold(owner)
    with owner.begin() as connection:
        connection.exec_driver_sql("DROP OWNED BY fault_reader")
        connection.exec_driver_sql("DROP ROLE fault_reader")


@pytest.fixture
def app(reader: Engine) -> Flask:
    return app_of(reader, TABLES=held.TABLES)


def app_of(engine: Engine, **keys: Any) -> Flask:
    return create_app(engine, STATEMENT_TIMEOUT=LIMIT, CACHE_SECONDS=0, **keys)


def run(owner: Engine, statement: str) -> None:
    with owner.begin() as connection:
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize("table", ["pa_activation", "pa_application"])
def test_lock_of_somebody_else_is_over_as_soon_as_it_is_gone(
    owner: Engine, app: Flask, table: str
) -> None:
    with owner.begin() as connection:
        connection.exec_driver_sql(f"LOCK {table} IN ACCESS EXCLUSIVE MODE")
        answers = [answer_of(app) for _ in range(3)]

    for answer in answers:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert answer.seconds < LIMIT / 2
    assert answer_of(app).status == 200


@pytest.mark.parametrize(("lock_timeout", "most"), [(0, LIMIT), (300, 0.3)])
def test_login_behind_a_migration_behind_a_pass(
    owner: Engine, app: Flask, lock_timeout: int, most: float
) -> None:
    """What docs/migration.md says of a lock that waits, with and without a limit of its own."""
    hold(owner, 60)
    tried = threading.Event()

    def migrate() -> None:
        with suppress(DBAPIError), owner.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {lock_timeout}")
            tried.set()
            connection.exec_driver_sql("ALTER TABLE pa_activation ALTER extras SET NOT NULL")

    with ThreadPoolExecutor() as pool:
        passing = pool.submit(answer_of, app)
        held.eventually(lambda: held.running_passes(owner) == 1)
        migrating = pool.submit(migrate)
        assert tried.wait(10)
        time.sleep(0.1)
        started = time.monotonic()
        run(owner, "UPDATE pa_activation SET counter = 1 WHERE activation_id = 'a-1'")
        waited = time.monotonic() - started
        assert passing.result().status == 503
        migrating.result()

    assert waited < most + 0.3


def test_lock_that_a_late_statement_meets_is_not_taken_for_slowness(owner: Engine) -> None:
    """Little of the time is left by then, and the lock is none of the provider's doing."""

    class Late(Statement):
        def generate(self, context: Any) -> Any:
            context.connection.execute(text("SELECT pg_sleep(0.7)"))
            return super().generate(context)

    providers = [Late("SELECT count(*) FROM pa_activation")]
    app = create_app(owner, arguments={"providers": providers}, STATEMENT_TIMEOUT=LIMIT)
    with owner.begin() as connection:
        connection.exec_driver_sql("LOCK pa_activation IN ACCESS EXCLUSIVE MODE")
        locked = answer_of(app, {}, "STATEMENT")

    assert (locked.status, locked.headers["Retry-After"]) == (503, "5")
    assert answer_of(app, {}, "STATEMENT").status == 200


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("40001", 503),  # cancelled by a standby that has to go on
        ("40P01", 503),
        ("53100", 503),
        ("53200", 503),
        ("57P01", 503),
        ("XX001", 500),
        ("22012", 500),
    ],
)
def test_error_of_the_server(
    owner: Engine, app: Flask, state: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    hold(owner, state=state)
    answer = answer_of(app)
    assert answer.status == status
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert "injected" in caplog.text
    assert "injected" not in str(answer.body)

    hold(owner)

    assert answer_of(app).status == 200


def test_what_is_cancelled_now_and_then_is_not_too_slow(owner: Engine, app: Flask) -> None:
    for _ in range(3):
        hold(owner, state="40001")
        cancelled = answer_of(app)
        assert (cancelled.status, cancelled.headers["Retry-After"]) == (503, "5")
        hold(owner)
        assert answer_of(app).status == 200


@pytest.mark.parametrize("state", ["40001", "53100", "53200", "53400"])
def test_what_finds_no_room_twice_is_not_begun_by_every_caller(
    owner: Engine, app: Flask, state: str
) -> None:
    hold(owner, state=state)
    waits = [int(answer_of(app).headers["Retry-After"]) for _ in range(3)]
    assert waits[:2] == [5, 60]
    assert 50 < waits[2] <= 60


def test_no_connection_left_for_the_account(owner: Engine, reader: Engine) -> None:
    run(owner, "ALTER ROLE fault_reader CONNECTION LIMIT 1")
    app = app_of(reader)
    with reader.connect():
        refused = answer_of(app)
    assert refused.status == 503
    assert refused.seconds < LIMIT + GRACE_SECONDS

    held.eventually(lambda: sessions(owner) == 0)

    assert answer_of(app).status == 200


def sessions(owner: Engine) -> int:
    with owner.connect() as connection:
        statement = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'fault_reader'"
        return int(connection.exec_driver_sql(statement).scalar_one())


@pytest.mark.parametrize(
    ("fault", "cure", "cause"),
    [
        (
            "ALTER TABLE pa_activation RENAME TO elsewhere",
            "ALTER TABLE elsewhere RENAME TO pa_activation",
            'relation "pa_activation" does not exist',
        ),
        (
            "REVOKE SELECT ON pa_activation FROM fault_reader",
            "GRANT SELECT ON pa_activation TO fault_reader",
            "permission denied for table pa_activation",
        ),
        (
            "REVOKE SELECT ON pa_application FROM fault_reader",
            "GRANT SELECT ON pa_application TO fault_reader",
            "permission denied for table pa_application",
        ),
    ],
)
def test_table_lost_while_running(
    owner: Engine,
    reader: Engine,
    fault: str,
    cure: str,
    cause: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = app_of(reader)
    assert answer_of(app).status == 200
    run(owner, fault)
    answer = answer_of(app)
    assert answer.status == 500
    assert cause in caplog.text
    assert "pa_a" not in str(answer.body)

    run(owner, cure)

    assert answer_of(app).status == 200


def test_several_slow_statements_keep_one_limit(owner: Engine) -> None:
    """None of them runs into the limit, all of them do: too slow, and remembered as such."""

    class Slow(Statement):
        def generate(self, context: Any) -> Any:
            for _ in range(4):
                context.connection.execute(text("SELECT pg_sleep(0.4)"))
            return super().generate(context)

    app = create_app(owner, arguments={"providers": [Slow("SELECT 1")]}, STATEMENT_TIMEOUT=LIMIT)
    first, again = (answer_of(app, {}, "STATEMENT") for _ in range(2))

    assert (first.status, first.headers["Retry-After"]) == (503, "60")
    assert LIMIT <= first.seconds < LIMIT + 0.4
    assert again.seconds < LIMIT / 2


def test_stopped_server_is_logged_once_for_a_crowd(caplog: pytest.LogCaptureFixture) -> None:
    server = PostgresqlServer(18)
    try:
        database = server.create_database()
        held.create_held_database(database)
        app = app_of(database, TABLES=held.TABLES, MAX_WAITING=0)
        with ThreadPoolExecutor(8) as pool:
            before = list(pool.map(lambda _: answer_of(app).status, range(8)))
            server.stop()
            caplog.clear()
            started = time.monotonic()
            after = list(pool.map(lambda _: answer_of(app).status, range(200)))
            seconds = time.monotonic() - started
    finally:
        server.stop()

    assert (set(before), set(after)) == ({200}, {503})
    errors = [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]
    causes = {re.sub(r"\d+|\(and .*", "", error) for error in errors}
    assert all("database main: " in cause for cause in causes)
    assert 1 <= len(causes) <= 4  # pooled sessions end otherwise than new ones
    assert len(errors) <= len(causes) * (1 + seconds // LOG_AGAIN_SECONDS)
    assert sum("report failed: " in one.getMessage() for one in caplog.records) == 200


def test_connection_lent_by_a_forgotten_pool_is_closed(owner: Engine) -> None:
    engine = create_read_only_engine(owner.url, {})
    database = Database(
        engine=lambda: engine,
        timezone=UTC,
        tables=PowerAuthTables(),
        statement_timeout=LIMIT,
        ours=True,
    )
    with database.connect() as connection:
        lent = connection.connection.driver_connection
        database.forget_connections()  # because another one hung
        connection.exec_driver_sql("SELECT 1")
    with database.connect() as connection:
        kept = connection.connection.driver_connection

    assert lent is not None
    assert lent.closed
    assert kept is not None
    assert not kept.closed
    database.close()
