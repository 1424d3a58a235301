"""Faults between the package and PostgreSQL: what is answered, how soon, and that it heals."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import URL, Engine

from tests.support import held
from tests.support.databases import Databases
from tests.support.held import GRACE_SECONDS, RETAIL, Answer, Crowd, answer_of, eventually, hold
from tests.support.proxy import Proxy, proxied
from tests.support.service import create_app

LIMIT = 1.0
DRIVERS = ("psycopg", "psycopg2")
FIRST_STATEMENT = b"pg_catalog.version"
GUARD = b"SET TRANSACTION READ ONLY"
SECRET = "proxy-password"


@pytest.fixture(scope="module")
def owner(databases: Databases) -> Engine:
    engine = databases.create("postgresql-18", Path())
    held.create_held_database(engine)
    return engine


@pytest.fixture
def proxy(owner: Engine) -> Iterator[Proxy]:
    hold(owner)
    with proxied(owner) as proxy:
        yield proxy
        proxy.resume()
        proxy.close_all()
        eventually(lambda: not computing())
    hold(owner)


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


AppBehind = Callable[..., Flask]


@pytest.fixture
def app_behind(owner: Engine, proxy: Proxy) -> AppBehind:
    """Makes an application that reaches the database through the proxy and keeps no result."""

    def create(driver: str = "psycopg", **keys: Any) -> Flask:
        url = proxy.url(owner).set(drivername=f"postgresql+{driver}", password=SECRET)
        settings = {"STATEMENT_TIMEOUT": LIMIT, "CACHE_SECONDS": 0, "TABLES": held.TABLES}
        return create_app(DATABASE_URL=shown(url), **{**settings, **keys})

    return create


def shown(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def computing() -> bool:
    return any(thread.name == "telemetry-computation" for thread in threading.enumerate())


@pytest.fixture
def check(record_property: Callable[[str, object], None]) -> Callable[[Answer, int], None]:
    """Checks an answer: its status, the promised time, the envelope, and that it tells nothing."""

    def check(answer: Answer, status: int) -> None:
        record_property("seconds", round(answer.seconds, 2))
        assert answer.status == status
        assert answer.seconds < LIMIT + GRACE_SECONDS
        if status != 200:
            assert answer.body["responseObject"]["code"] == "ERROR_GENERIC"
            assert set(answer.body["responseObject"]) == {"code", "message"}
            for secret in (SECRET, held.VIEW, "127.0.0.1", "psycopg"):
                assert secret not in str(answer.body)
        if status == 503:
            assert int(answer.headers["Retry-After"]) > 0

    return check


Check = Callable[[Answer, int], None]


def fill_pool(app: Flask, owner: Engine) -> None:
    """Leave two connections in the pool."""
    hold(owner, 0.2)
    two = [{"application": name} for name in held.APPLICATIONS[:2]]
    assert [answer.status for answer in Crowd(app, two).answers()] == [200, 200]
    hold(owner)


def test_down_at_start_up(
    app_behind: AppBehind,
    proxy: Proxy,
    driver: str,
    check: Check,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy.refuse()
    app = app_behind(driver)
    for _ in range(2):
        check(answer_of(app), 503)
    assert "OperationalError" in caplog.text
    assert SECRET not in caplog.text

    proxy.accept()

    check(answer_of(app), 200)


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_is_logged_stays_on_its_line(
    app_behind: AppBehind, proxy: Proxy, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_behind(driver)
    proxy.refuse()

    assert answer_of(app).status == 503
    (message,) = (one.getMessage() for one in caplog.records if "not available" in one.getMessage())
    assert "Is the server running" in message  # libpq's second line
    assert message.isprintable()
    proxy.accept()


def test_killed_in_mid_query(
    app_behind: AppBehind, owner: Engine, driver: str, check: Check
) -> None:
    app = app_behind(driver, STATEMENT_TIMEOUT=10)
    hold(owner, 30)
    crowd = Crowd(app, [RETAIL])
    eventually(lambda: held.running_passes(owner) == 1)
    held.terminate_passes(owner)
    check(crowd.answers()[0], 503)

    hold(owner)

    check(answer_of(app), 200)


def test_server_restarted_between_requests(
    app_behind: AppBehind, owner: Engine, databases: Databases, driver: str, check: Check
) -> None:
    app = app_behind(driver)
    fill_pool(app, owner)

    databases.postgresql_server(18).restart()

    check(answer_of(app), 200)


def test_connections_lost_between_requests(
    app_behind: AppBehind, owner: Engine, proxy: Proxy, driver: str, check: Check
) -> None:
    app = app_behind(driver)
    fill_pool(app, owner)

    proxy.close_all()

    check(answer_of(app), 200)


@pytest.mark.parametrize("trigger", [b"", FIRST_STATEMENT, GUARD, held.VIEW.encode()])
def test_packets_vanish_on_a_new_connection(
    app_behind: AppBehind, proxy: Proxy, trigger: bytes, driver: str, check: Check
) -> None:
    """While connecting, in SQLAlchemy's first statement, in the guard's, in mid-query."""
    app = app_behind(driver)
    proxy.swallow(trigger)
    check(answer_of(app), 503)

    proxy.resume()

    check(answer_of(app), 200)
    eventually(lambda: not computing())


@pytest.mark.parametrize("trigger", [b"", held.VIEW.encode(), b"ROLLBACK"])
def test_packets_vanish_on_a_pooled_connection(
    app_behind: AppBehind, owner: Engine, proxy: Proxy, trigger: bytes, driver: str, check: Check
) -> None:
    """Both connections in the pool stay silent; the first request afterwards takes neither."""
    app = app_behind(driver)
    fill_pool(app, owner)
    proxy.swallow(trigger)
    check(answer_of(app), 503)

    proxy.resume()

    check(answer_of(app), 200)
    eventually(lambda: not computing())


def test_packets_vanish_for_many_callers(app_behind: AppBehind, proxy: Proxy, check: Check) -> None:
    app = app_behind()
    proxy.swallow()
    parameters = [{"application": name} for name in held.APPLICATIONS[:30]]
    for answer in Crowd(app, parameters).answers():
        check(answer, 503)

    proxy.resume()
    eventually(lambda: not computing())  # else this caller might join one of those that hang

    check(answer_of(app), 200)


def test_network_slower_than_the_limit(app_behind: AppBehind, proxy: Proxy, check: Check) -> None:
    app = app_behind()
    proxy.delay_seconds = 0.8
    check(answer_of(app), 503)

    proxy.delay_seconds = 0

    check(answer_of(app), 200)


def test_unused_connections_are_not_kept_after_a_hang(
    app_behind: AppBehind, owner: Engine, proxy: Proxy, check: Check
) -> None:
    app = app_behind()
    fill_pool(app, owner)
    proxy.swallow()
    check(answer_of(app), 503)
    proxy.resume()
    eventually(lambda: not computing())  # its end invalidates what the pool has by then
    opened = proxy.opened

    check(answer_of(app), 200)
    check(answer_of(app), 200)

    assert proxy.opened == opened + 1


def test_slow_connection_leaves_less_time_for_the_report(
    app_behind: AppBehind, owner: Engine, proxy: Proxy, check: Check
) -> None:
    """So that the database ends it in time, and that it was too slow is known."""
    app = app_behind()
    proxy.delay_seconds = 0.02
    hold(owner, 30)
    answer = answer_of(app)
    check(answer, 503)

    assert answer.headers["Retry-After"] == "60"
    assert held.running_passes(owner) == 0
