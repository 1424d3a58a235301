"""Reports on a hot standby."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import URL, Engine, create_engine

from tests.database.test_guard import Statement
from tests.support.databases import POSTGRESQL_VERSIONS, PostgresqlServer
from tests.support.held import Answer, answer_of, eventually
from tests.support.questions import LIVE, answers, fill, questions
from tests.support.service import NOW, ask, create_app
from tests.support.standby import caught_up, standby

SERIALIZABLE = (
    "CREATE ROLE reader LOGIN",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    "ALTER ROLE reader SET default_transaction_isolation = 'serializable'",
)


@pytest.fixture(scope="module", params=POSTGRESQL_VERSIONS)
def primary(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A server of its own, as a standby copies all of it."""
    server = PostgresqlServer(request.param)
    engine = server.create_database()
    fill(engine)
    with engine.begin() as connection:
        for statement in SERIALIZABLE:
            connection.exec_driver_sql(statement)
    yield engine
    server.stop()


@pytest.fixture(scope="module")
def replica(primary: Engine) -> Iterator[URL]:
    with standby(primary) as url:
        eventually(lambda: caught_up(primary, url))
        yield url


def _url(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_role_whose_transactions_are_serializable(
    primary: Engine, replica: URL, driver: str
) -> None:
    """A standby refuses such a transaction, and so SQLAlchemy's first statements on a session."""
    url = replica.set(drivername=f"postgresql+{driver}", username="reader")
    expected = answers("UTC", NOW, DATABASE_URL=_url(primary.url))

    given = answers("UTC", NOW, DATABASE_URL=_url(url))

    assert given == expected
    assert {status for status, _ in given} == {200}


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_engine_of_a_host(replica: URL, driver: str) -> None:
    """One that can be used there at all."""
    url = replica.set(drivername=f"postgresql+{driver}", username="reader")
    engine = create_engine(url, isolation_level="READ COMMITTED", use_native_hstore=False)
    client = create_app(arguments={"engine": engine}, REPORTS=LIVE).test_client()

    assert {ask(client, *question).status_code for question in questions(NOW)} == {200}


def _cancel(primary: Engine, asked: "Future[Answer]") -> Answer:
    """Lock what a pass reads until the standby, which has to follow, ends it."""
    while not asked.done():
        with primary.begin() as connection:
            connection.exec_driver_sql("LOCK pa_activation IN ACCESS EXCLUSIVE MODE")
        time.sleep(0.1)
    return asked.result()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_pass_that_is_cancelled_each_time_is_too_slow(
    primary: Engine, replica: URL, driver: str
) -> None:
    """From the second time on; the first may have been by chance."""
    slow = Statement("SELECT pg_sleep(10) FROM (SELECT count(*) FROM pa_activation) AS counted")
    url = replica.set(drivername=f"postgresql+{driver}")
    app = create_app(arguments={"providers": [slow]}, DATABASE_URL=_url(url))
    with ThreadPoolExecutor() as pool:
        given = [_cancel(primary, pool.submit(answer_of, app, {}, "STATEMENT")) for _ in range(3)]

    assert [(answer.status, answer.headers["Retry-After"]) for answer in given] == [
        (503, "5"),
        (503, "60"),
        (503, "60"),
    ]
    assert given[2].seconds < 0.3
