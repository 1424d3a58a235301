"""COMMITTED_USERS_IN_PAST_DAYS counts who used what is committed, and explains the rest."""

import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from tests.support import powerauth
from tests.support.powerauth import Activation
from tests.support.service import NOW, ask, create_app, error, recorded_statements, users_of

REPORT = "COMMITTED_USERS_IN_PAST_DAYS"
DAY = timedelta(days=1)
NAIVE_NOW = NOW.replace(tzinfo=None)
CREATED, PENDING_COMMIT, ACTIVE, BLOCKED, REMOVED = range(1, 6)
COUNTED, GONE, UNCOMMITTED, UNUSED = "users", "removed", "notCommitted", "neverUsed"

ZONES_AND_INSTANTS = [
    ("UTC", datetime(2028, 3, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ("Europe/Prague", datetime(2026, 10, 25, 14, 0, tzinfo=UTC)),
    ("America/New_York", datetime(2027, 1, 1, 5, 0, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 5, 9, 15, 0, 999_999, tzinfo=UTC)),
]


@pytest.fixture
def filled(database: Engine) -> Engine:
    """PowerAuth's tables with two applications."""
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail", "corporate"])
    return database


@pytest.fixture
def sqlite_filled(sqlite: Engine) -> Engine:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail", "corporate"])
    return sqlite


def client_of(engine: Engine, **keys: Any) -> FlaskClient:
    return create_app(engine, REPORTS=[REPORT], **keys).test_client()


def data_of(client: FlaskClient, days: int = 30) -> Any:
    answer = ask(client, REPORT, {"application": "retail", "days": days})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()["responseObject"]["reportData"]


def report_data(places: Iterable[str], days: int = 30) -> dict[str, Any]:
    """The whole report data, from the place in it that each user has."""
    users = list(places)
    return {
        "application": "retail",
        "days": days,
        "users": users.count(COUNTED),
        "usersLeftOut": {reason: users.count(reason) for reason in (GONE, UNCOMMITTED, UNUSED)},
        "usersInPastDays": len(users),
    }


def by_hand(rows: Sequence[Activation], start: datetime, end: datetime) -> list[str]:
    """The place of each user of application 1 in a closed window, by what each of them has."""
    inside = [
        row for row in rows if row.application_id == 1 and start <= row.timestamp_last_used <= end
    ]
    used = [row for row in inside if row.timestamp_created != row.timestamp_last_used]
    users = {
        COUNTED: {row.user_id for row in used if row.activation_status in (ACTIVE, BLOCKED)},
        GONE: {row.user_id for row in used if row.activation_status == REMOVED},
        UNCOMMITTED: {row.user_id for row in used},
        UNUSED: {row.user_id for row in inside},
    }
    everyone = users[UNUSED]
    return [next(place for place in users if user in users[place]) for user in everyone]


def random_rows(now: datetime, zone: ZoneInfo, count: int) -> list[Activation]:
    source = random.Random(23)
    rows = powerauth.random_activations(seed=23, now=now, zone=zone, count=count)
    ages = (timedelta(0), timedelta(0), timedelta(microseconds=1), 3 * DAY, timedelta(hours=-1))
    return [
        replace(row, timestamp_created=row.timestamp_last_used - source.choice(ages))
        for row in rows
    ]


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_INSTANTS)
def test_users_are_those_counted_by_hand(filled: Engine, zone: str, now: datetime) -> None:
    clock = ZoneInfo(zone)
    rows = random_rows(now, clock, 800)
    powerauth.add_activations(filled, rows)
    client = client_of(filled, clock=lambda: now, DATABASE_TIMEZONE=zone)
    end = powerauth.wall_clock(now, clock)

    for days in (1, 30, 200, 365):
        places = by_hand(rows, powerauth.wall_clock(now - days * DAY, clock), end)
        assert data_of(client, days) == report_data(places, days)
        assert len(places) == users_of(client, "retail", days)
    assert set(places) == {COUNTED, GONE, UNCOMMITTED, UNUSED}


NEW = timedelta(0)
PLACES = [
    (CREATED, NEW, UNUSED),
    (PENDING_COMMIT, NEW, UNUSED),
    (ACTIVE, NEW, UNUSED),
    (BLOCKED, NEW, UNUSED),
    (REMOVED, NEW, UNUSED),
    (CREATED, DAY, UNCOMMITTED),
    (PENDING_COMMIT, DAY, UNCOMMITTED),
    (ACTIVE, DAY, COUNTED),
    (BLOCKED, DAY, COUNTED),
    (REMOVED, DAY, GONE),
    (9, DAY, UNCOMMITTED),
    (ACTIVE, 400 * DAY, COUNTED),
    (ACTIVE, timedelta(microseconds=1), COUNTED),
]


def activation(name: str, user: str, status: int, age: timedelta) -> Activation:
    """One that was last used an hour ago, ``age`` after it was created."""
    used = NAIVE_NOW - timedelta(hours=1)
    return Activation(name, 1, user, used, status, timestamp_created=used - age)


@pytest.mark.parametrize(("status", "age", "place"), PLACES)
def test_user_of_one_activation_stands_in_one_place(
    sqlite_filled: Engine, status: int, age: timedelta, place: str
) -> None:
    powerauth.add_activations(sqlite_filled, [activation("1", "anna", status, age)])

    assert data_of(client_of(sqlite_filled)) == report_data([place])


def test_user_of_two_activations_stands_where_the_better_one_is(filled: Engine) -> None:
    """Every pair: counted before removed, removed before not committed, that before unused."""
    order = (COUNTED, GONE, UNCOMMITTED, UNUSED)
    pairs = list(permutations(PLACES, 2))
    powerauth.add_activations(
        filled,
        [
            activation(f"{user}-{number}", f"user-{user}", status, age)
            for user, pair in enumerate(pairs)
            for number, (status, age, _) in enumerate(pair)
        ],
    )

    expected = [min((place for _, _, place in pair), key=order.index) for pair in pairs]
    assert data_of(client_of(filled)) == report_data(expected)


def test_activation_outside_the_window_or_of_another_application_does_not_help(
    filled: Engine,
) -> None:
    good = activation("1", "anna", ACTIVE, DAY)
    powerauth.add_activations(
        filled,
        [
            activation("2", "anna", REMOVED, DAY),
            replace(good, application_id=2),
            replace(good, activation_id="3", timestamp_last_used=NAIVE_NOW - 31 * DAY),
        ],
    )

    assert data_of(client_of(filled)) == report_data([GONE])


def test_use_in_the_hour_that_comes_twice_is_one_although_it_looks_earlier(
    filled: Engine,
) -> None:
    """Created at 2:50 in summer time, used at 2:05, a quarter of an hour later."""
    created, used = datetime(2026, 10, 25, 2, 50), datetime(2026, 10, 25, 2, 5)
    powerauth.add_activations(
        filled, [Activation("1", 1, "anna", used, ACTIVE, timestamp_created=created)]
    )

    assert data_of(client_of(filled, DATABASE_TIMEZONE="Europe/Prague"), 60) == report_data(
        [COUNTED], 60
    )


def test_report_costs_one_look_up_and_one_pass(filled: Engine) -> None:
    client = client_of(filled)

    with recorded_statements() as statements:
        assert data_of(client) == report_data([])

    selects = [statement for statement in statements if statement.startswith("SELECT")]
    assert [
        ("pa_application" in statement, "pa_activation" in statement) for statement in selects
    ] == [(True, False), (False, True)]


@pytest.mark.parametrize("strict", [True, False])
def test_unknown_application_is_an_error(sqlite_filled: Engine, strict: bool) -> None:
    client = client_of(sqlite_filled, STRICT_APPLICATION=strict)

    answer = ask(client, REPORT, {"application": "nowhere", "days": 7})

    assert answer.status_code == 400
    assert answer.get_json() == error(
        "ERROR_TELEMETRY", "Unknown application: nowhere", localized=True
    )


def test_documented_example_is_what_is_answered(sqlite_filled: Engine) -> None:
    text = (Path(__file__).parents[2] / "docs/reports.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {REPORT}\n")[2].partition("\n## ")[0]
    request, response = map(json.loads, re.findall(r"```json\n(.*?)```", section, re.DOTALL))
    kinds = [*[(ACTIVE, DAY)] * 412, *[(REMOVED, DAY)] * 19, *[(CREATED, DAY)] * 2]
    kinds += [(PENDING_COMMIT, NEW)] * 67
    powerauth.add_activations(
        sqlite_filled,
        [
            activation(f"{user}", f"user-{user}", status, age)
            for user, (status, age) in enumerate(kinds)
        ],
    )
    asked = request["requestObject"]

    answer = ask(client_of(sqlite_filled), asked["name"], asked["parameters"])

    assert answer.get_json() == response
