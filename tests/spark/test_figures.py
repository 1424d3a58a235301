"""What reports and approximate counts take on Spark, printed for docs/spark.md; in full alone."""

import statistics
import time
from collections.abc import Callable

import pytest
from flask import Flask

from tests.spark.conftest import FULL, Warehouse
from tests.spark.tables import JDBC, PARQUET
from tests.spark.test_spark import RETAIL, app_on_spark, settings
from tests.support.held import answer_of, eventually
from tests.support.service import create_app

pytestmark = pytest.mark.skipif(not FULL, reason="TELEMETRY_SPARK is not full")

MEASURED: tuple[tuple[str, dict[str, object]], ...] = (
    ("SIGNATURES_IN_PAST_DAYS", {"application": RETAIL, "days": 365}),
    ("USERS_IN_PAST_DAYS", {"application": RETAIL, "days": 365}),
)
USERS = (10_000, 100_000, 1_000_000, 2_000_000)
_ACTIVE = f"""
SELECT {{count}} FROM {PARQUET}.pa_activation
WHERE application_id = 1 AND timestamp_last_used <= '2026-11-25 12:00:00'
"""
_MADE_UP = "SELECT {{count}} FROM (SELECT 'user-' || id % {users} AS user_id FROM range({rows}))"
EXACT = "count(DISTINCT user_id)"
APPROXIMATE = ("approx_count_distinct(user_id)", "approx_count_distinct(user_id, 0.01)")


def seconds(act: Callable[[], object], times: int = 3) -> float:
    """The median of some runs, after one that is not counted."""
    act()
    taken = []
    for _ in range(times):
        started = time.monotonic()
        act()
        taken.append(time.monotonic() - started)
    return round(statistics.median(taken), 2)


def told(where: str, app: Flask) -> None:
    for name, parameters in MEASURED:
        taken = seconds(lambda: answered(app, name, parameters))  # noqa: B023 - called at once
        print(f"{where}, {name}: {taken} s")


def answered(app: Flask, name: str, parameters: dict[str, object]) -> None:
    assert answer_of(app, parameters, name).status == 200


def test_reports_by_workers_and_by_source(warehouse: Warehouse) -> None:
    cluster = warehouse.cluster
    print()
    told("PostgreSQL", create_app(warehouse.postgresql, **settings("UTC", 600)))
    for schema in (PARQUET, JDBC):
        told(f"Spark, 2 workers, {schema}", app_on_spark(warehouse, schema, limit=600))
    cluster.kill_worker()
    for schema in (PARQUET, JDBC):
        told(f"Spark, 1 worker, {schema}", app_on_spark(warehouse, schema, limit=600))
    cluster.workers.append(cluster.start_worker())
    eventually(lambda: cluster.executors() == 2, 90)


def test_error_and_time_of_approximate_counts(warehouse: Warehouse) -> None:
    app = app_on_spark(warehouse, PARQUET, limit=600)
    database = app.extensions["powerauth_telemetry"]["powerauth_telemetry"].databases["spark"]
    print()
    with database.connect() as connection:
        for question in (*(_MADE_UP.format(users=one, rows=5 * one) for one in USERS), _ACTIVE):
            (exact,) = connection.exec_driver_sql(question.format(count=EXACT)).one()
            for count in (EXACT, *APPROXIMATE):
                statement = question.format(count=count)
                taken = seconds(lambda: connection.exec_driver_sql(statement).one())  # noqa: B023
                (users,) = connection.exec_driver_sql(statement).one()
                print(f"{exact} users, {count}: {users / exact - 1:+.2%} in {taken} s")
                assert abs(users / exact - 1) < 0.15
