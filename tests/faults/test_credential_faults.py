"""Faults of the database that application credentials are read from, pa_integration."""

import time
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine

from flask_powerauth_telemetry.auth.pa_integration import (
    REFRESH_SECONDS,
    RETRY_SECONDS,
    IntegrationCredentials,
)
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.database.engine import create_read_only_engine
from flask_powerauth_telemetry.database.tables import PowerAuthTables, integration_table
from tests.support import held, powerauth
from tests.support.callers import Clock, threads_of_ours
from tests.support.databases import Databases
from tests.support.held import GRACE_SECONDS, Crowd, answer_of, eventually
from tests.support.proxy import Proxy, proxied
from tests.support.service import USER, create_app

LIMIT = 1.0
NEXT = ("next-token", "next-secret")
NOTHING = ("no-secret", "")


@pytest.fixture(scope="module")
def owner(databases: Databases) -> Engine:
    engine = databases.create("postgresql-18", Path())
    held.create_held_database(engine)
    powerauth.add_integrations(
        engine,
        [powerauth.Integration("1", "b", *USER), powerauth.Integration("2", "n", *NOTHING)],
    )
    return engine


@pytest.fixture
def proxy(owner: Engine) -> Iterator[Proxy]:
    with proxied(owner) as proxy:
        yield proxy
        proxy.close_all()
        eventually(lambda: not threads_of_ours())
    with owner.begin() as connection:
        connection.exec_driver_sql("DELETE FROM pa_integration WHERE id = '3'")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(owner: Engine, proxy: Proxy, clock: Clock) -> Iterator[Flask]:
    """Reads credentials through the proxy, and reports without it."""
    engine = create_read_only_engine(proxy.url(owner), {"pool_size": 1, "max_overflow": 0})
    database = Database(
        engine=lambda: engine,
        timezone=UTC,
        tables=PowerAuthTables(),
        statement_timeout=LIMIT,
        ours=True,
    )
    store = IntegrationCredentials(database, integration_table(database.tables), clock=clock)
    yield create_app(owner, arguments={"credentials": store})
    database.close()


def test_down_at_start_up(app: Flask, proxy: Proxy, clock: Clock) -> None:
    proxy.refuse()
    answers = Crowd(app, [held.RETAIL] * 20).answers()
    assert {answer.status for answer in answers} == {503}
    assert max(answer.seconds for answer in answers) < LIMIT + GRACE_SECONDS

    proxy.accept()
    clock.now += RETRY_SECONDS

    assert answer_of(app).status == 200


@pytest.mark.parametrize("trigger", [b"", b"pg_catalog.version", b"SET TRANSACTION", b"client_"])
def test_hanging_at_start_up(app: Flask, proxy: Proxy, clock: Clock, trigger: bytes) -> None:
    proxy.swallow(trigger)
    answers = Crowd(app, [held.RETAIL] * 20).answers()
    assert {answer.status for answer in answers} == {503}
    assert max(answer.seconds for answer in answers) < LIMIT + GRACE_SECONDS

    proxy.resume()
    clock.now += RETRY_SECONDS

    assert answer_of(app).status == 200


@pytest.mark.parametrize("trigger", [b"", b"client_"])
def test_hanging_later_leaves_the_old_ones_valid(
    app: Flask,
    owner: Engine,
    proxy: Proxy,
    clock: Clock,
    trigger: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert answer_of(app).status == 200
    powerauth.add_integrations(owner, [powerauth.Integration("3", "next", *NEXT)])
    clock.now += REFRESH_SECONDS
    proxy.swallow(trigger)
    answers = Crowd(app, [held.RETAIL] * 20).answers()

    assert {answer.status for answer in answers} == {200}
    assert max(answer.seconds for answer in answers) < LIMIT + GRACE_SECONDS
    assert sum(answer.seconds > LIMIT for answer in answers) == 1
    assert "credentials from the database main, using the old ones: " in caplog.text

    proxy.resume()
    clock.now += REFRESH_SECONDS

    assert answer_of(app, user=NEXT).status == 200


def test_table_lost_later_lets_nobody_in(
    app: Flask, owner: Engine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert answer_of(app).status == 200
    with owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE pa_integration RENAME TO elsewhere")
    try:
        clock.now += REFRESH_SECONDS
        started = time.monotonic()
        assert [answer_of(app).status for _ in range(3)] == [500] * 3
        assert time.monotonic() - started < LIMIT
    finally:
        with owner.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO pa_integration")

    assert 'relation "pa_integration" does not exist' in caplog.text


def test_integration_without_a_secret_is_not_let_in(app: Flask) -> None:
    assert answer_of(app, user=NOTHING).status == 401
