"""The documented reports count what they say, on every engine and in every zone."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.exceptions import UnknownApplication
from flask_powerauth_telemetry.providers import ReportContext
from flask_powerauth_telemetry.reports.activity import ActivityProfile, ActivitySource
from tests.support import powerauth
from tests.support.commands import findings
from tests.support.service import NOW, ask, create_app, recorded_statements, users_of

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)

# Instants with a change of the clock inside the past year: Europe's and America's hour, Lord
# Howe's half hour, and one within the very first day of the window.
ZONES_AND_INSTANTS = [
    ("UTC", NOW),
    ("Europe/Prague", NOW),
    ("Europe/Prague", datetime(2026, 3, 29, 12, 30, 0, 123_456, tzinfo=UTC)),
    ("Europe/Prague", datetime(2026, 10, 25, 14, 0, tzinfo=UTC)),
    ("America/New_York", datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 20, 9, 15, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 5, 1, 3, 0, tzinfo=UTC)),
]


def database_of(engine: Engine, zone: str) -> Database:
    return Database(
        engine=lambda: engine,
        timezone=ZoneInfo(zone),
        tables=PowerAuthTables(),
        statement_timeout=20,
        ours=False,
    )


def profile_of(engine: Engine, zone: str, now: datetime, days: int = 365) -> ActivityProfile:
    with ReportContext(database_of(engine, zone), now) as context:
        profile = ActivitySource().profiles("retail", days)[0].run(context)
    assert isinstance(profile, ActivityProfile)
    return profile


@pytest.fixture
def powerauth_database(database: Engine) -> Engine:
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail", "corporate"])
    return database


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_INSTANTS)
def test_every_window_equals_a_count_by_hand(
    powerauth_database: Engine, zone: str, now: datetime
) -> None:
    clock = ZoneInfo(zone)
    rows = powerauth.random_activations(seed=7, now=now, zone=clock, count=3_000)
    powerauth.add_activations(powerauth_database, rows)

    profile = profile_of(powerauth_database, zone, now)

    end = powerauth.wall_clock(now, clock)
    starts = [powerauth.wall_clock(now - days * DAY, clock) for days in range(1, 366)]
    assert profile.as_of == now
    assert profile.users == tuple(powerauth.count_by_hand(rows, 1, start, end) for start in starts)
    with powerauth_database.connect() as connection:
        for days in (1, 29, 30, 31, 90, 91, 364, 365):
            reference = powerauth.reference_count(connection, "retail", starts[days - 1], end)
            assert profile.users_in_past_days(days) == reference


@pytest.mark.parametrize("days", [1, 30, 31, 90, 91, 365])
def test_window_is_closed_at_both_ends(powerauth_database: Engine, days: int) -> None:
    now = powerauth.wall_clock(NOW, UTC)
    start = now - days * DAY
    powerauth.add_activations(
        powerauth_database,
        [
            powerauth.Activation("1", 1, "before the start", start - TICK),
            powerauth.Activation("2", 1, "at the start", start),
            powerauth.Activation("3", 1, "after the start", start + TICK),
            powerauth.Activation("4", 1, "before the end", now - TICK),
            powerauth.Activation("5", 1, "at the end", now),
            powerauth.Activation("6", 1, "after the end", now + TICK),
        ],
    )
    client = create_app(powerauth_database).test_client()

    assert users_of(client, "retail", days) == 4


def test_status_does_not_matter_and_each_user_counts_once(powerauth_database: Engine) -> None:
    now = powerauth.wall_clock(NOW, UTC)
    powerauth.add_activations(
        powerauth_database,
        [
            powerauth.Activation(
                f"{user}-{status}", 1, user, now - status * DAY, activation_status=status
            )
            for user in ("anna", "bob")
            for status in (1, 2, 3, 4, 5)
        ],
    )
    client = create_app(powerauth_database).test_client()

    assert users_of(client, "retail", 30) == 2
    assert users_of(client, "corporate", 30) == 0


def test_user_of_a_future_use_counts_by_an_older_one(powerauth_database: Engine) -> None:
    now = powerauth.wall_clock(NOW, UTC)
    powerauth.add_activations(
        powerauth_database,
        [
            powerauth.Activation("1", 1, "anna", now + DAY),
            powerauth.Activation("2", 1, "anna", now - 5 * DAY),
        ],
    )
    client = create_app(powerauth_database).test_client()

    assert [users_of(client, "retail", days) for days in (4, 5)] == [0, 1]


def test_current_mau_is_the_window_of_30_days(powerauth_database: Engine) -> None:
    rows = powerauth.random_activations(seed=1, now=NOW, zone=UTC, count=500)
    powerauth.add_activations(powerauth_database, rows)
    client = create_app(powerauth_database).test_client()

    response = ask(client, "current_mau", {"application": "retail", "days": 7})

    expected = powerauth.count_by_hand(
        rows, 1, powerauth.wall_clock(NOW - 30 * DAY, UTC), powerauth.wall_clock(NOW, UTC)
    )
    assert response.get_json() == {
        "status": "OK",
        "responseObject": {
            "name": "CURRENT_MAU",
            "reportData": {"application": "retail", "days": 30, "users": expected},
        },
    }


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("CURRENT_MAU", {"application": "retail"}),
        ("USERS_IN_PAST_DAYS", {"application": "retail", "days": 200}),
    ],
)
def test_report_costs_one_look_up_and_one_pass(
    powerauth_database: Engine, name: str, parameters: dict[str, Any]
) -> None:
    client = create_app(powerauth_database).test_client()

    with recorded_statements() as statements:
        assert ask(client, name, parameters).status_code == 200

    selects = [statement for statement in statements if statement.startswith("SELECT")]
    assert [
        ("pa_application" in statement, "pa_activation" in statement) for statement in selects
    ] == [(True, False), (False, True)]
    assert all(statement.startswith("SET ") for statement in set(statements) - set(selects))


@pytest.mark.parametrize(("days", "width"), [(1, 30), (30, 30), (31, 90), (90, 90), (91, 365)])
def test_pass_is_no_wider_than_needed(powerauth_database: Engine, days: int, width: int) -> None:
    profile = profile_of(powerauth_database, "UTC", NOW, days)

    assert len(profile.users) == width
    with pytest.raises(ValueError, match=f"1 to {width} days"):
        profile.users_in_past_days(width + 1)
    with pytest.raises(ValueError, match=f"1 to {width} days"):
        profile.users_in_past_days(0)


def test_one_context_looks_an_application_up_once(powerauth_database: Engine) -> None:
    with (
        recorded_statements() as statements,
        ReportContext(database_of(powerauth_database, "UTC"), NOW) as context,
    ):
        first, second = context.application("retail"), context.application("retail")

    assert first == second
    assert sum("pa_application" in statement for statement in statements) == 1


class MovingClock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def passes_of(client: FlaskClient, *windows: int) -> int:
    """How many passes over the activations it takes to answer for these windows, in this order."""
    with recorded_statements() as statements:
        for days in windows:
            users_of(client, "retail", days)
    return sum("pa_activation" in statement for statement in statements)


def test_passes_are_as_wide_as_was_asked_for_lately(powerauth_database: Engine) -> None:
    clock = MovingClock()
    client = create_app(powerauth_database, clock=clock).test_client()

    assert passes_of(client, 7, 60, 300) == 3
    clock.now += timedelta(seconds=61)
    assert passes_of(client, 7, 60, 300, 1, 365) == 1
    clock.now += timedelta(seconds=121)
    assert passes_of(client, 7) == 1
    assert passes_of(client, 60) == 1


def test_nothing_is_kept_without_cache_seconds(powerauth_database: Engine) -> None:
    client = create_app(powerauth_database, CACHE_SECONDS=0).test_client()

    assert passes_of(client, 300, 7, 7) == 3


@pytest.fixture
def client_of_names(powerauth_database: Engine) -> FlaskClient:
    return create_app(powerauth_database, STRICT_APPLICATION=False).test_client()


def test_unknown_application_has_no_users_when_not_strict(client_of_names: FlaskClient) -> None:
    assert users_of(client_of_names, "nowhere", 7) == 0
    response = ask(client_of_names, "CURRENT_MAU", {"application": " "})
    assert response.status_code == 400


def test_application_is_compared_again_after_the_database(sqlite: Engine) -> None:
    """As SQL Server's usual collation finds a name in other case, with trailing blanks."""
    powerauth.add_applications(_case_insensitive(sqlite), ["Retail"])
    with ReportContext(database_of(sqlite, "UTC"), NOW) as context:
        assert context.application("Retail").id == 1
        with pytest.raises(UnknownApplication):
            context.application("RETAIL")


def test_name_of_two_applications_is_no_application(powerauth_database: Engine) -> None:
    with powerauth_database.begin() as connection:
        connection.execute(text("DROP INDEX pa_application_name"))
        connection.execute(text("UPDATE pa_application SET name = 'retail'"))
    app = create_app(powerauth_database)

    assert ask(app.test_client(), "CURRENT_MAU", {"application": "retail"}).status_code == 500
    finding = findings(app)
    assert "several applications 'retail': 1, 2" in str(finding)


def _case_insensitive(engine: Engine) -> Engine:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE pa_application (id INTEGER, name VARCHAR(255) COLLATE NOCASE)"
        )
    return engine


def test_principal_without_scope_reads_everything() -> None:
    assert Principal("anyone").may_read("anything")
