"""Reports on a cluster of Spark: the numbers of PostgreSQL, and what happens when parts of it die.

The tests run in this order on one cluster, and each leaves it as whole as it was.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask

from tests.spark.cluster import Cluster
from tests.spark.conftest import FULL, Warehouse
from tests.spark.postgresql import APPLICATIONS
from tests.spark.tables import HELD, JDBC, PARQUET
from tests.support.commands import command
from tests.support.held import Answer, answer_of, eventually
from tests.support.service import create_app, error

FURTHER = (
    "USERS_BY_PAST_DAYS",
    "USERS_ACROSS_APPLICATIONS",
    "COMMITTED_USERS_IN_PAST_DAYS",
    "NEW_USERS_IN_PAST_DAYS",
    "SIGNATURES_IN_PAST_DAYS",
)
REPORTS = ("CURRENT_MAU", "USERS_IN_PAST_DAYS", *FURTHER)
RETAIL, CORPORATE, EMPTY = APPLICATIONS
QUESTIONS: tuple[tuple[str, dict[str, object]], ...] = (
    ("USERS_BY_PAST_DAYS", {"application": RETAIL}),
    ("CURRENT_MAU", {"application": CORPORATE}),
    ("CURRENT_MAU", {"application": EMPTY}),
    ("USERS_IN_PAST_DAYS", {"application": RETAIL, "days": 365}),
    ("USERS_ACROSS_APPLICATIONS", {"applications": [RETAIL, CORPORATE], "days": 90}),
    ("COMMITTED_USERS_IN_PAST_DAYS", {"application": RETAIL, "days": 30}),
    ("NEW_USERS_IN_PAST_DAYS", {"application": RETAIL, "days": 365}),
    ("SIGNATURES_IN_PAST_DAYS", {"application": RETAIL, "days": 365}),
    ("SIGNATURES_IN_PAST_DAYS", {"application": EMPTY, "days": 30}),
)
# The short form has each way to read and each zone once.
READ = [(PARQUET, "UTC"), (JDBC, "Europe/Prague")]
READ += [(PARQUET, "Europe/Prague"), (JDBC, "UTC")] if FULL else []
NOT_NOW = error("ERROR_GENERIC", "The report is not available now, try again later")
FAULT = error("ERROR_GENERIC", "The report could not be generated, see the log of the server")
MAU = {"application": RETAIL}


def app_on_spark(
    warehouse: Warehouse, schema: str, *, zone: str = "UTC", limit: float = 120, **keys: Any
) -> Flask:
    """PostgreSQL is the main database, and every report is sent to Spark."""
    bind = {"url": warehouse.cluster.url, "schema": schema, "timezone": zone}
    return create_app(
        warehouse.postgresql,
        BINDS={"spark": bind},
        REPORT_BINDS=dict.fromkeys(REPORTS, "spark"),
        **settings(zone, limit),
        **keys,
    )


def settings(zone: str, limit: float) -> dict[str, Any]:
    return {
        "REPORTS": FURTHER,
        "DATABASE_TIMEZONE": zone,
        "STATEMENT_TIMEOUT": limit,
        "CACHE_SECONDS": 0,
    }


def answers(app: Flask) -> list[Any]:
    """The whole answers to all questions."""
    given = [answer_of(app, parameters, name) for name, parameters in QUESTIONS]
    assert {answer.status for answer in given} == {200}, given
    return [answer.body for answer in given]


@contextmanager
def later(act: Any, seconds: float) -> Iterator[None]:
    """Do something in a while."""
    timer = threading.Timer(seconds, act)
    timer.start()
    yield
    timer.join()


@pytest.mark.parametrize(("schema", "zone"), READ)
def test_answers_are_those_of_postgresql(warehouse: Warehouse, schema: str, zone: str) -> None:
    on_postgresql = create_app(warehouse.postgresql, **settings(zone, 120))

    on_spark = app_on_spark(warehouse, schema, zone=zone)

    assert answers(on_spark) == answers(on_postgresql)


def test_unknown_application_is_the_callers_error(warehouse: Warehouse) -> None:
    """Its name would be the end of a statement if it were not escaped."""
    app = app_on_spark(warehouse, PARQUET)

    for name in ("nowhere", "' OR 1=1 --", "\\' OR 1=1 --", "%(name_1)s", '{fn x} $$ ` " :name'):
        answer = answer_of(app, {"application": name})

        assert answer.status == 400, name
        assert answer.body["responseObject"]["code"] == "ERROR_TELEMETRY"


def test_missing_table_is_a_fault_that_the_log_names(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    answer = answer_of(app_on_spark(warehouse, "nowhere"), MAU)

    assert (answer.status, answer.body) == (500, FAULT)
    assert "TABLE_OR_VIEW_NOT_FOUND" in caplog.text


def test_session_has_our_settings(warehouse: Warehouse) -> None:
    app = app_on_spark(warehouse, PARQUET, limit=7)
    database = app.extensions["powerauth_telemetry"]["powerauth_telemetry"].databases["spark"]
    with database.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"SET {name}").one()[1]
            for name in (
                "spark.sql.session.timeZone",
                "spark.sql.ansi.enabled",
                "spark.sql.thriftServer.queryTimeout",
            )
        }

    assert found == {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.thriftServer.queryTimeout": "7s",
    }


def test_check_tells_what_it_can(warehouse: Warehouse) -> None:
    url = warehouse.cluster.url
    app = create_app(DATABASE_URL=url, DATABASE_SCHEMA=PARQUET, STATEMENT_TIMEOUT=60)

    result = command(app, "check")

    (clock,) = [
        line for line in result.output.splitlines() if line.startswith(("WARNING", "ERROR"))
    ]
    assert "the database's clock is" in clock  # ours stands still
    assert " ahead. " in clock
    assert "connected to impala" in result.output
    columns = "application_id, user_id, timestamp_last_used"
    assert f"{PARQUET}.pa_activation ({columns}) is readable" in result.output


def test_statement_that_is_too_slow_is_ended(warehouse: Warehouse) -> None:
    app = app_on_spark(warehouse, HELD, limit=2)

    answer = answer_of(app, MAU)

    assert_too_slow(answer, 2)


def assert_too_slow(answer: Answer, limit: float) -> None:
    assert (answer.status, answer.body) == (503, NOT_NOW)
    assert answer.headers["Retry-After"] == "60"
    assert answer.seconds < limit + 2


def test_worker_killed_in_mid_query_costs_no_user(warehouse: Warehouse) -> None:
    cluster = warehouse.cluster
    expected = answer_of(create_app(warehouse.postgresql), MAU).users
    with later(cluster.kill_worker, 2.5):
        answer = answer_of(app_on_spark(warehouse, HELD), MAU)

    assert answer.status == 200, answer
    assert answer.users == expected
    assert answer.seconds > 3  # it was killed while the query ran
    cluster.workers.append(cluster.start_worker())
    eventually(lambda: cluster.executors() == 2, 90)


def test_time_limit_holds_when_no_worker_is_left(warehouse: Warehouse) -> None:
    cluster = warehouse.cluster
    while cluster.workers:
        cluster.kill_worker()

    answer = answer_of(app_on_spark(warehouse, PARQUET, limit=3), MAU)

    assert_too_slow(answer, 3)
    revive(cluster)
    assert answer_of(app_on_spark(warehouse, PARQUET), MAU).status == 200


def revive(cluster: Cluster) -> None:
    cluster.workers += [cluster.start_worker(), cluster.start_worker()]
    eventually(lambda: cluster.executors() == 2, 90)


def test_thrift_server_that_stops_is_not_available_until_it_is_back(
    warehouse: Warehouse,
) -> None:
    cluster = warehouse.cluster
    app = app_on_spark(warehouse, PARQUET)
    before = answer_of(app, MAU)
    with later(cluster.stop_thrift_server, 1.5):
        during = answer_of(app_on_spark(warehouse, HELD), MAU)
    stopped = answer_of(app, MAU)
    cluster.start_thrift_server()
    after = answer_of(app, MAU)

    for answer in (during, stopped):
        assert (answer.status, answer.body) == (503, NOT_NOW)
        assert answer.headers["Retry-After"] == "5"
    assert before.status == after.status == 200
    assert before.body == after.body
