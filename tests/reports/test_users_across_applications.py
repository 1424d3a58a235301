"""USERS_ACROSS_APPLICATIONS counts each person once, on every engine and in every zone."""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from tests.support import powerauth
from tests.support.powerauth import Activation
from tests.support.service import NOW, ask, create_app, error, recorded_statements, users_of

REPORT = "USERS_ACROSS_APPLICATIONS"
NAMES = ["retail", "corporate", "kiosk", "wallet"]
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
NAIVE_NOW = NOW.replace(tzinfo=None)

# Just after a change of the clock, at a year's end, and with a leap day behind.
ZONES_AND_INSTANTS = [
    ("UTC", datetime(2028, 3, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ("Europe/Prague", datetime(2026, 10, 25, 14, 0, tzinfo=UTC)),
    ("America/New_York", datetime(2027, 1, 1, 5, 0, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 5, 9, 15, 0, 999_999, tzinfo=UTC)),
]


def client_of(engine: Engine, **keys: Any) -> FlaskClient:
    return create_app(engine, REPORTS=[REPORT], **keys).test_client()


def data_of(client: FlaskClient, applications: Sequence[str], days: int) -> Any:
    answer = ask(client, REPORT, {"applications": applications, "days": days})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()["responseObject"]["reportData"]


@pytest.fixture
def filled(database: Engine) -> Engine:
    """PowerAuth's tables with four applications."""
    powerauth.create_schema(database)
    powerauth.add_applications(database, NAMES)
    return database


@pytest.fixture
def sqlite_filled(sqlite: Engine) -> Engine:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, NAMES)
    return sqlite


def random_rows(now: datetime, zone: ZoneInfo, count: int) -> list[Activation]:
    source = random.Random(11)
    rows = powerauth.random_activations(seed=11, now=now, zone=zone, count=count)
    return [replace(row, application_id=source.choice((1, 1, 1, 2, 2, 3, 4))) for row in rows]


def by_hand(
    rows: Sequence[Activation], applications: Sequence[str], start: datetime, end: datetime
) -> dict[str, Any]:
    """What the report says of a closed window of naive times, by sets of users."""
    users = {
        name: {
            row.user_id
            for row in rows
            if NAMES[row.application_id - 1] == name and start <= row.timestamp_last_used <= end
        }
        for name in applications
    }
    return {
        "users": len(set().union(*users.values())),
        "usersByApplication": {name: len(users[name]) for name in applications},
        "overlaps": [
            {"applications": [one, other], "users": len(users[one] & users[other])}
            for one, other in combinations(applications, 2)
        ],
    }


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_INSTANTS)
def test_users_are_those_counted_by_hand(filled: Engine, zone: str, now: datetime) -> None:
    clock = ZoneInfo(zone)
    rows = random_rows(now, clock, 800)
    powerauth.add_activations(filled, rows)
    client = client_of(filled, clock=lambda: now, DATABASE_TIMEZONE=zone)
    end = powerauth.wall_clock(now, clock)

    for days in (1, 30, 200, 365):
        start = powerauth.wall_clock(now - days * DAY, clock)
        for applications in (["kiosk", "retail", "corporate"], ["corporate", "wallet"]):
            assert data_of(client, applications, days) == {
                "applications": applications,
                "days": days,
                **by_hand(rows, applications, start, end),
            }


def test_number_of_each_application_is_the_documented_one(filled: Engine) -> None:
    zone = ZoneInfo("Europe/Prague")
    powerauth.add_activations(filled, random_rows(NOW, zone, 500))
    client = client_of(filled, DATABASE_TIMEZONE="Europe/Prague")

    for days in (1, 31, 364):
        assert data_of(client, NAMES, days)["usersByApplication"] == {
            name: users_of(client, name, days) for name in NAMES
        }


def test_every_set_of_ten_applications_is_told_apart(database: Engine) -> None:
    """A user for each set that is not empty, so each number is known."""
    names = [f"application-{number}" for number in range(11)]
    powerauth.create_schema(database)
    powerauth.add_applications(database, names)
    powerauth.add_activations(
        database,
        [
            Activation(f"{user}-{place}", place + 1, f"user-{user}", NAIVE_NOW)
            for user in range(1, 2**11)
            for place in range(11)
            if user >> place & 1
        ],
    )
    asked = names[1:]

    data = data_of(client_of(database), asked, 1)

    # All sets but the empty one are there twice, once with the first application, not asked for.
    assert data == {
        "applications": asked,
        "days": 1,
        "users": 2 * (2**10 - 1),
        "usersByApplication": dict.fromkeys(asked, 2 * 2**9),
        "overlaps": [
            {"applications": list(pair), "users": 2 * 2**8} for pair in combinations(asked, 2)
        ],
    }


def test_report_without_any_use_is_all_zero(sqlite_filled: Engine) -> None:
    assert data_of(client_of(sqlite_filled), ["retail", "kiosk"], 7) == {
        "applications": ["retail", "kiosk"],
        "days": 7,
        "users": 0,
        "usersByApplication": {"retail": 0, "kiosk": 0},
        "overlaps": [{"applications": ["retail", "kiosk"], "users": 0}],
    }


def test_window_is_closed_at_both_ends(filled: Engine) -> None:
    start = NAIVE_NOW - 7 * DAY
    powerauth.add_activations(
        filled,
        [
            Activation(f"{number}-{time}", number, f"user-{time}", time)
            for number in (1, 2)
            for time in (start - TICK, start, NAIVE_NOW, NAIVE_NOW + TICK)
        ],
    )

    assert data_of(client_of(filled), ["retail", "corporate"], 7) == {
        "applications": ["retail", "corporate"],
        "days": 7,
        "users": 2,
        "usersByApplication": {"retail": 2, "corporate": 2},
        "overlaps": [{"applications": ["retail", "corporate"], "users": 2}],
    }


@pytest.mark.parametrize(("collation", "users"), [("BINARY", 2), ("NOCASE", 1)])
def test_users_are_the_same_as_the_database_compares_them(
    sqlite: Engine, collation: str, users: int
) -> None:
    with sqlite.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE pa_application (id INTEGER, name VARCHAR(255))")
        connection.exec_driver_sql(
            "CREATE TABLE pa_activation (activation_id TEXT, application_id INTEGER,"
            f" user_id TEXT COLLATE {collation}, activation_status INTEGER, platform TEXT,"
            " timestamp_created TEXT, timestamp_last_used TEXT)"
        )
    powerauth.add_applications(sqlite, NAMES)
    powerauth.add_activations(
        sqlite,
        [Activation("1", 1, "anna", NAIVE_NOW), Activation("2", 2, "Anna", NAIVE_NOW)],
    )

    data = data_of(client_of(sqlite), ["retail", "corporate"], 1)

    assert data["users"] == users
    assert data["overlaps"] == [{"applications": ["retail", "corporate"], "users": 2 - users}]


def test_order_of_applications_needs_no_pass_of_its_own(filled: Engine) -> None:
    rows = random_rows(NOW, ZoneInfo("UTC"), 200)
    powerauth.add_activations(filled, rows)
    client = client_of(filled)
    start = NAIVE_NOW - 300 * DAY

    with recorded_statements() as statements:
        for applications in (NAMES, NAMES[::-1], [*NAMES[2:], *NAMES[:2]]):
            data = data_of(client, applications, 300)
            assert data["applications"] == applications
            assert data == data | by_hand(rows, applications, start, NAIVE_NOW)

    assert sum("pa_activation" in statement for statement in statements) == 1
    assert sum("pa_application" in statement for statement in statements) == len(NAMES)


WRONG = {
    "none": ([], "applications: Must be 2 to 10 applications."),
    "one": (["retail"], "applications: Must be 2 to 10 applications."),
    "eleven": ([f"n{number}" for number in range(11)], "applications: Must be 2 to 10"),
    "twice": (["retail", "kiosk", "retail"], "applications: Must be different applications."),
    "text": ("retail,kiosk", "applications: Not a valid list."),
    "number": (["retail", 2], "applications.1: Not a valid string."),
    "null": (["retail", None], "applications.1: Field may not be null."),
    "blank": ([" ", "retail"], "applications.0: Must not be blank."),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_applications_are_refused_without_a_query(sqlite_filled: Engine, name: str) -> None:
    applications, message = WRONG[name]

    with recorded_statements() as statements:
        answer = ask(client_of(sqlite_filled), REPORT, {"applications": applications, "days": 7})

    refused = answer.get_json()["responseObject"]
    assert (answer.status_code, refused["code"]) == (400, "ERROR_TELEMETRY")
    assert refused["message"].startswith(f"Invalid parameters of {REPORT}: {message}")
    assert statements == []


@pytest.mark.parametrize("strict", [True, False])
def test_unknown_application_is_an_error_without_a_pass(
    sqlite_filled: Engine, strict: bool
) -> None:
    client = client_of(sqlite_filled, STRICT_APPLICATION=strict)

    with recorded_statements() as statements:
        answer = ask(client, REPORT, {"applications": ["retail", "Retail"], "days": 7})

    assert answer.status_code == 400
    assert answer.get_json() == error(
        "ERROR_TELEMETRY", "Unknown application: Retail", localized=True
    )
    assert not any("pa_activation" in statement for statement in statements)


def test_every_application_must_be_in_scope(sqlite_filled: Engine) -> None:
    client = client_of(sqlite_filled, SCOPES={"billing": ["retail", "corporate"]})

    with recorded_statements() as statements:
        answer = ask(client, REPORT, {"applications": ["retail", "kiosk"], "days": 7})

    assert answer.get_json() == error(
        "ERROR_TELEMETRY", "Unknown application: kiosk", localized=True
    )
    assert statements == []
    assert data_of(client, ["corporate", "retail"], 7)["users"] == 0


def test_documented_example_is_what_is_answered(sqlite_filled: Engine) -> None:
    text = (Path(__file__).parents[2] / "docs/reports.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {REPORT}\n")[2].partition("\n## ")[0]
    request, response = map(json.loads, re.findall(r"```json\n(.*?)```", section, re.DOTALL))
    users = {1: range(1200), 2: range(1000, 1300), 3: range(1150, 1250)}
    powerauth.add_activations(
        sqlite_filled,
        [
            Activation(f"{number}-{user}", number, f"user-{user}", NAIVE_NOW)
            for number, those in users.items()
            for user in those
        ],
    )
    asked = request["requestObject"]

    answer = ask(client_of(sqlite_filled), asked["name"], asked["parameters"])

    assert answer.get_json() == response
