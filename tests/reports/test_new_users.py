"""NEW_USERS_IN_PAST_DAYS counts who became active for the first time."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from flask_powerauth_telemetry.reports.new_users import NewUsersInPastDays
from flask_powerauth_telemetry.testing import contract_suite
from tests.support import audit, powerauth
from tests.support.audit import ACTIVE, BLOCKED, CREATED, DAY, TICK, Change
from tests.support.powerauth import Activation
from tests.support.service import NOW, ask, create_app, recorded_statements

REPORT = NewUsersInPastDays.name
WALL = NOW.replace(tzinfo=None)
LEAP_DAY = datetime(2028, 3, 1, 6, 30, tzinfo=UTC)
YEARS_END = datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
ZONES_AND_INSTANTS = [
    ("UTC", LEAP_DAY),
    ("Europe/Prague", datetime(2026, 10, 25, 14, 0, tzinfo=UTC)),
    ("America/New_York", YEARS_END),
    ("Australia/Lord_Howe", datetime(2026, 4, 20, 9, 15, 0, 123_456, tzinfo=UTC)),
]

TestNewUsers = contract_suite(NewUsersInPastDays())


@pytest.fixture
def owner(database: Engine) -> Engine:
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail", "corporate"])
    return database


def new_users(client: FlaskClient, days: int, application: str = "retail") -> list[int]:
    """The numbers by day, after a look at the whole answer."""
    answer = ask(client, REPORT, {"application": application, "days": days}).get_json()
    by_day: list[int] = answer["responseObject"]["reportData"]["usersByDay"]
    assert answer == {
        "status": "OK",
        "responseObject": {
            "name": REPORT,
            "reportData": {
                "application": application,
                "days": days,
                "users": sum(by_day),
                "usersByDay": by_day,
            },
        },
    }
    assert len(by_day) == days
    return by_day


def activation(number: int, user: str, application_id: int = 1) -> Activation:
    return Activation(f"a{number}", application_id, user, WALL)


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_INSTANTS)
def test_every_window_equals_a_count_by_hand(owner: Engine, zone: str, now: datetime) -> None:
    clock = ZoneInfo(zone)
    source = random.Random(f"{zone}{now}")
    activations = powerauth.random_activations(seed=5, now=now, zone=clock, count=800)
    changes = audit.random_changes(source, activations, now, clock)
    powerauth.add_activations(owner, activations)
    audit.add_changes(owner, changes)
    client = create_app(owner, clock=lambda: now, DATABASE_TIMEZONE=zone, REPORTS=[REPORT])

    by_day = new_users(client.test_client(), 365)

    edges = [powerauth.wall_clock(now - days * DAY, clock) for days in range(366)]
    windows = audit.new_users_by_hand(activations, changes, 1, edges)
    assert [sum(by_day[:days]) for days in range(1, 366)] == windows
    assert 0 < windows[89] < windows[364]
    for days in (1, 30, 364):
        assert new_users(client.test_client(), days) == by_day[:days]


def test_only_the_first_time_counts(owner: Engine) -> None:
    powerauth.add_activations(
        owner,
        [
            activation(1, "renamed since"),
            activation(2, "unblocked since"),
            activation(3, "with a second device"),
            activation(4, "with a second device"),
            activation(5, "never active"),
            activation(6, "without a history"),
            activation(7, "active elsewhere alone", application_id=2),
            activation(8, "active elsewhere before", application_id=2),
            activation(9, "active elsewhere before"),
            activation(10, "active in a moment"),
        ],
    )
    audit.add_changes(
        owner,
        [
            Change("a1", CREATED, WALL - 60 * DAY),
            Change("a1", ACTIVE, WALL - 60 * DAY),
            Change("a1", ACTIVE, WALL - DAY),
            Change("a2", ACTIVE, WALL - 50 * DAY),
            Change("a2", BLOCKED, WALL - 5 * DAY),
            Change("a2", ACTIVE, WALL - 4 * DAY),
            Change("a3", ACTIVE, WALL - 40 * DAY),
            Change("a4", ACTIVE, WALL - 3 * DAY),
            Change("a5", CREATED, WALL - 2 * DAY),
            Change("a7", ACTIVE, WALL - 2 * DAY),
            Change("a8", ACTIVE, WALL - 90 * DAY),
            Change("a9", ACTIVE, WALL - 2 * DAY),
            Change("a10", ACTIVE, WALL + TICK),
        ],
    )
    client = create_app(owner, REPORTS=[REPORT]).test_client()

    assert new_users(client, 7) == [0, 1, 0, 0, 0, 0, 0]
    assert [sum(new_users(client, days)) for days in (1, 39, 40, 49, 50, 59, 60)] == [
        0,
        1,
        2,
        2,
        3,
        3,
        4,
    ]
    assert sum(new_users(client, 365, "corporate")) == 2


@pytest.mark.parametrize("days", [1, 30, 365])
def test_window_is_closed_at_both_ends(owner: Engine, days: int) -> None:
    start = WALL - days * DAY
    times = [start - TICK, start, start + TICK, WALL - TICK, WALL, WALL + TICK]
    powerauth.add_activations(owner, [activation(number, f"u{number}") for number in range(6)])
    audit.add_changes(
        owner, [Change(f"a{number}", ACTIVE, time) for number, time in enumerate(times)]
    )

    client = create_app(owner, REPORTS=[REPORT]).test_client()

    assert sum(new_users(client, days)) == 4


def test_one_pass_answers_every_window(owner: Engine) -> None:
    client = create_app(owner, REPORTS=[REPORT]).test_client()

    with recorded_statements() as statements:
        for days in (7, 365, 30):
            assert new_users(client, days) == [0] * days

    assert sum("pa_activation_history" in statement for statement in statements) == 1


def test_unknown_application_is_an_error_always(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    client = create_app(sqlite, REPORTS=[REPORT], STRICT_APPLICATION=False).test_client()

    answer = ask(client, REPORT, {"application": "nowhere", "days": 7})

    assert answer.status_code == 400
    assert answer.get_json()["responseObject"]["code"] == "ERROR_TELEMETRY"


def test_history_is_read_through_a_view(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    powerauth.add_activations(sqlite, [activation(1, "anna")])
    audit.add_changes(sqlite, [Change("a1", ACTIVE, WALL - timedelta(hours=1))])
    with sqlite.begin() as connection:
        connection.exec_driver_sql(
            "CREATE VIEW history AS SELECT activation_id, activation_status, timestamp_created"
            " FROM pa_activation_history"
        )
    client = create_app(
        sqlite, REPORTS=[REPORT], TABLES={"pa_activation_history": "main.history"}
    ).test_client()

    assert new_users(client, 1) == [1]
