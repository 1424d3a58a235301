"""Every report on shards answers what it answers on one server."""

from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine

from flask_powerauth_telemetry.reports.offered import OFFERS
from tests.service import ask, create_app
from tests.shards.cluster import APPLICATIONS, Cluster
from tests.shards.conftest import ZONES_AND_INSTANTS

RECORDED = {"USERS_IN_MONTH", "MAU_HISTORY"}
"""These read the history, and no database of PowerAuth."""
DAYS = (1, 30, 31, 365)
BY_APPLICATION = [
    "USERS_IN_PAST_DAYS",
    "COMMITTED_USERS_IN_PAST_DAYS",
    "NEW_USERS_IN_PAST_DAYS",
    "SIGNATURES_IN_PAST_DAYS",
]


def questions() -> list[tuple[str, dict[str, Any]]]:
    asked: list[tuple[str, dict[str, Any]]] = []
    for name in APPLICATIONS:
        asked += [("CURRENT_MAU", {"application": name})]
        asked += [("USERS_BY_PAST_DAYS", {"application": name})]
        asked += [
            (report, {"application": name, "days": days})
            for report in BY_APPLICATION
            for days in DAYS
        ]
    across = {"applications": list(APPLICATIONS)}
    return asked + [("USERS_ACROSS_APPLICATIONS", {**across, "days": days}) for days in DAYS]


def app_on(engine: Engine, zone: str, now: datetime) -> Flask:
    keys: dict[str, Any] = {"DATABASE_TIMEZONE": zone, "REPORTS": sorted(set(OFFERS) - RECORDED)}
    return create_app(engine, clock=lambda: now, **keys)


def answers(app: Flask) -> list[Any]:
    client = app.test_client()
    given = (ask(client, *question) for question in questions())
    return [(answer.status_code, answer.get_json()) for answer in given]


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_INSTANTS, ids=lambda value: str(value)[:9])
def test_reports_answer_as_on_one_server(sharded: Cluster, zone: str, now: datetime) -> None:
    on_shards = answers(app_on(sharded.reader, zone, now))

    assert on_shards == answers(app_on(sharded.unsharded, zone, now))
    assert {status for status, _ in on_shards} == {200}
    assert {name for name, _ in questions()} == {"CURRENT_MAU", "USERS_IN_PAST_DAYS"} | set(
        OFFERS
    ) - RECORDED


def test_rows_lie_on_every_shard(sharded: Cluster) -> None:
    rows = sharded.rows()

    assert min(rows) > 0.4 * sum(rows) > 0
