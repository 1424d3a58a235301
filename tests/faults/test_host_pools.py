"""A host's pool of connections that the callers who wait for a report hold themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g
from sqlalchemy import (
    AssertionPool,
    Engine,
    NullPool,
    Pool,
    SingletonThreadPool,
    StaticPool,
    create_engine,
    event,
    text,
)

from tests.support import held, powerauth
from tests.support.databases import Databases
from tests.support.held import Crowd, answer_of
from tests.support.service import create_app

LIMIT = 5.0
DEFAULT_POOL = 15
"""The connections that SQLAlchemy lends at most, unless a host says otherwise."""


@pytest.fixture(scope="module")
def owner(databases: Databases) -> Engine:
    engine = databases.create("postgresql-18", Path())
    held.create_held_database(engine)
    return engine


@contextmanager
def _host(owner: Engine, **options: Any) -> Iterator[tuple[Flask, Engine]]:
    """A host that uses a connection before each request, as a login hook does, and keeps it."""
    engine = create_engine(owner.url, **options)
    app = create_app(
        MAX_WAITING=0,
        arguments={"engine": lambda: engine},
        STATEMENT_TIMEOUT=LIMIT,
        TABLES=held.TABLES,
    )

    @app.before_request
    def use_session() -> None:
        g.session = engine.connect()
        g.session.execute(text("SELECT 1"))

    @app.teardown_request
    def close_session(_: BaseException | None) -> None:
        g.session.close()

    yield app, engine
    engine.dispose()


@pytest.mark.parametrize("overflow", [0, 1])
def test_pool_of_one(owner: Engine, overflow: int) -> None:
    with _host(owner, pool_size=1, max_overflow=overflow, pool_timeout=3) as (app, _):
        assert [answer_of(app).status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("pool", [SingletonThreadPool, AssertionPool, NullPool])
def test_pool_of_another_kind(owner: Engine, pool: type[Pool]) -> None:
    with _host(owner, poolclass=pool) as (app, engine):
        opened: list[Any] = []
        event.listen(engine, "connect", lambda driver, _: opened.append(driver))
        assert [answer_of(app).status for _ in range(3)] == [200] * 3
        engine.dispose()
        assert [driver for driver in opened if not driver.closed] == []


def test_as_many_callers_as_the_pool_lends(owner: Engine) -> None:
    parameters = [{"application": f"application-{number}"} for number in range(DEFAULT_POOL)]
    with _host(owner) as (app, engine):
        answers = Crowd(app, parameters).answers()

        assert [answer.status for answer in answers] == [200] * DEFAULT_POOL
        assert max(answer.seconds for answer in answers) < LIMIT
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_recipe_is_the_hosts_and_nothing_stays_open(owner: Engine) -> None:
    """Its tokens and its settings of a session, added late, are those of our connections, too."""
    with _host(owner, connect_args={"application_name": "the host's"}) as (app, engine):
        opened: list[Any] = []
        event.listen(engine, "do_connect", lambda *given: opened.append(given[3]))
        event.listen(engine, "connect", lambda driver, _: opened.append(driver))
        assert answer_of(app).status == 200

        (options, hosts, again, ours) = opened
        assert options["application_name"] == again["application_name"] == "the host's"
        assert ours.closed
        assert not hosts.closed


def test_in_memory_database_of_a_host_is_its_very_own() -> None:
    """Another connection would find it empty."""
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    app = create_app(arguments={"engine": engine})
    powerauth.create_schema(engine)
    powerauth.add_applications(engine, ["retail"])

    assert answer_of(app).status == 200
