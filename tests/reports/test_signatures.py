"""SIGNATURES_IN_PAST_DAYS counts verifications, by type and by hour, on each version."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, event

from flask_powerauth_telemetry.reports.clock_hours import ClockHour, wall_slots
from flask_powerauth_telemetry.reports.signatures import SignaturesInPastDays
from flask_powerauth_telemetry.testing import contract_suite
from tests.support import audit, powerauth
from tests.support.audit import DAY, HOUR, TICK, Verification
from tests.support.commands import role
from tests.support.powerauth import Activation, wall_clock
from tests.support.service import NOW, ask, create_app, recorded_statements, url_of

REPORT = SignaturesInPastDays.name
WALL = NOW.replace(tzinfo=None)
MINUTE = timedelta(minutes=1)
ZONES_AND_INSTANTS = [
    ("UTC", datetime(2028, 3, 1, 6, 30, tzinfo=UTC)),
    ("Europe/Prague", datetime(2026, 10, 25, 1, 30, 0, 123_456, tzinfo=UTC)),
    ("America/New_York", datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 5, 23, 15, tzinfo=UTC)),
    ("Asia/Kathmandu", NOW),
]
PRAGUE, LORD_HOWE = ZoneInfo("Europe/Prague"), ZoneInfo("Australia/Lord_Howe")

TestSignatures = contract_suite(SignaturesInPastDays())


@pytest.fixture
def owner(database: Engine) -> Engine:
    return filled(database)


@pytest.fixture
def small(sqlite: Engine) -> Engine:
    return filled(sqlite)


def filled(engine: Engine, version: str = "2.2") -> Engine:
    """A database with an activation ``a`` of retail, and ``b`` of corporate."""
    powerauth.create_schema(engine, version)
    powerauth.add_applications(engine, ["retail", "corporate"])
    powerauth.add_activations(
        engine, [Activation("a", 1, "anna", WALL), Activation("b", 2, "bob", WALL)]
    )
    return engine


def client_of(engine: Engine, now: datetime = NOW, **keys: Any) -> FlaskClient:
    return create_app(engine, clock=lambda: now, REPORTS=[REPORT], **keys).test_client()


def signatures(client: FlaskClient, days: int, application: str = "retail") -> dict[str, Any]:
    """The report data without the parameters, after a look at the whole answer."""
    answer = ask(client, REPORT, {"application": application, "days": days}).get_json()
    assert answer["status"] == "OK", answer
    assert answer["responseObject"]["name"] == REPORT
    data: dict[str, Any] = answer["responseObject"]["reportData"]
    assert (data.pop("application"), data.pop("days")) == (application, days)
    return data


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_INSTANTS)
def test_every_number_equals_a_count_by_hand(database: Engine, zone: str, now: datetime) -> None:
    clock = ZoneInfo(zone)
    source = random.Random(f"{zone}{now}")
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail", "corporate"])
    activations = powerauth.random_activations(seed=5, now=now, zone=clock, count=200)
    verifications = audit.random_verifications(source, activations, now, clock, 2000)
    powerauth.add_activations(database, activations)
    audit.add_verifications(database, verifications)
    client = client_of(database, now, DATABASE_TIMEZONE=zone)

    retail = {one.activation_id for one in activations if one.application_id == 1}
    own = [one for one in verifications if one.activation_id in retail]
    for days in (1, 30, 365):
        expected = audit.signatures_by_hand(own, now, days, clock)
        assert signatures(client, days) == expected
        assert expected["total"] > 0


def test_window_without_verifications_has_no_busiest_hour(owner: Engine) -> None:
    assert signatures(client_of(owner), 1) == {
        "total": 0,
        "valid": 0,
        "invalid": 0,
        "byType": [],
        "byHour": {"start": "2026-11-24T12:00:00Z", "verifications": [0] * 25},
        "busiestHour": None,
    }


@pytest.mark.parametrize("days", [1, 30, 365])
def test_window_is_closed_at_both_ends(owner: Engine, days: int) -> None:
    start = WALL - days * DAY
    times = [start - TICK, start, start + TICK, WALL - TICK, WALL, WALL + TICK]
    audit.add_verifications(owner, [Verification("a", time) for time in times])

    assert signatures(client_of(owner), days)["total"] == 4


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Asia/Kathmandu"])
def test_hours_are_those_of_utc_to_the_microsecond(owner: Engine, zone: str) -> None:
    clock = ZoneInfo(zone)
    ten = datetime(2026, 11, 25, 10, tzinfo=UTC)
    times = [ten - TICK, ten, ten + 30 * MINUTE, ten + HOUR - TICK, ten + HOUR]
    audit.add_verifications(owner, [Verification("a", wall_clock(time, clock)) for time in times])

    busiest = signatures(client_of(owner, DATABASE_TIMEZONE=zone), 1)["busiestHour"]

    assert busiest == {"start": "2026-11-25T10:00:00Z", "verifications": 3, "perSecond": 0.000833}


def test_earliest_of_equal_hours_is_told(small: Engine) -> None:
    times = [WALL - 5 * HOUR, WALL - HOUR, WALL - 9 * HOUR]
    audit.add_verifications(small, [Verification("a", time) for time in times])

    assert signatures(client_of(small), 1)["busiestHour"]["start"] == "2026-11-25T03:00:00Z"


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        (2, {"start": "2026-10-25T00:00:00Z", "verifications": 5, "perSecond": 0.000694}),
        (3, {"start": "2026-10-24T12:00:00Z", "verifications": 3, "perSecond": 0.000833}),
    ],
)
def test_repeated_hour_counts_as_the_two_that_it_is(
    small: Engine, others: int, expected: dict[str, Any]
) -> None:
    """Five in two hours are busier than two in one, and less busy than three."""
    first = datetime(2026, 10, 25, 0, 10, tzinfo=UTC)
    instants = [first] * 2 + [first + HOUR] * 3 + [first - 12 * HOUR] * others
    audit.add_verifications(
        small, [Verification("a", wall_clock(instant, PRAGUE)) for instant in instants]
    )
    client = client_of(small, first + 6 * HOUR, DATABASE_TIMEZONE="Europe/Prague")

    data = signatures(client, 1)

    assert data["busiestHour"] == expected
    assert data["byHour"]["start"] == "2026-10-24T06:00:00Z"
    assert data["byHour"]["verifications"][18:21] == [5, None, 0]


def test_hour_is_not_repeated_before_the_clock_goes_back(small: Engine) -> None:
    first = datetime(2026, 10, 25, 0, 59, tzinfo=UTC)
    audit.add_verifications(small, [Verification("a", wall_clock(first, PRAGUE))])

    assert signatures(client_of(small, first, DATABASE_TIMEZONE="Europe/Prague"), 1)[
        "busiestHour"
    ] == {"start": "2026-10-25T00:00:00Z", "verifications": 1, "perSecond": 0.000278}


def test_repeated_hour_is_known_when_the_window_begins_in_it(small: Engine) -> None:
    second = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)
    audit.add_verifications(small, [Verification("a", wall_clock(second + MINUTE, PRAGUE))])
    client = client_of(small, second + DAY, DATABASE_TIMEZONE="Europe/Prague")

    data = signatures(client, 1)

    assert data["busiestHour"] == {
        "start": "2026-10-25T00:00:00Z",
        "verifications": 1,
        "perSecond": 0.000139,
    }
    assert data["byHour"]["start"] == "2026-10-25T00:00:00Z"
    assert data["byHour"]["verifications"] == [1, None, *[0] * 24]


def test_half_an_hour_repeated_joins_the_hours_on_both_sides() -> None:
    end = datetime(2026, 4, 4, 18, tzinfo=UTC)  # clocks went from 2:00 to 1:30 at 15:00
    slots = wall_slots(end - DAY, end, lambda time: wall_clock(time, LORD_HOWE))

    hours = {hour for hour in slots.hours.values() if hour.start >= end - 5 * HOUR}

    assert slots.seconds == 1800
    assert hours == {
        ClockHour(end - 5 * HOUR),
        ClockHour(end - 4 * HOUR, 2),
        ClockHour(end - 2 * HOUR),
        ClockHour(end - HOUR),
        ClockHour(end),
    }


def test_two_hours_repeated_are_four_in_a_row() -> None:
    end = datetime(2026, 10, 25, 5, tzinfo=UTC)  # clocks went from 3:00 to 1:00 at 1:00
    slots = wall_slots(end - DAY, end, lambda time: wall_clock(time, ZoneInfo("Antarctica/Troll")))

    hours = {hour for hour in slots.hours.values() if hour.start >= end - 7 * HOUR}

    assert hours == {
        ClockHour(end - 7 * HOUR),
        ClockHour(end - 6 * HOUR, 4),
        *(ClockHour(end - count * HOUR) for count in range(3)),
    }


def test_time_that_no_clock_showed_is_in_the_total_alone(small: Engine) -> None:
    skipped = datetime(2026, 3, 29, 2, 30)
    audit.add_verifications(small, [Verification("a", skipped)])
    client = client_of(small, NOW, DATABASE_TIMEZONE="Europe/Prague")

    data = signatures(client, 365)

    assert (data["total"], data["busiestHour"]) == (1, None)


@contextmanager
def database_errors() -> Iterator[list[BaseException]]:
    """Every error that a database gives in this block, also one that is caught."""
    errors: list[BaseException] = []

    def note(context: Any) -> None:
        errors.append(context.original_exception)

    event.listen(Engine, "handle_error", note)
    try:
        yield errors
    finally:
        event.remove(Engine, "handle_error", note)


VERIFICATIONS = [
    Verification("a", WALL, True, "POSSESSION", "PowerAuth-V3"),
    Verification("a", WALL, False, "POSSESSION", "ECDSA_P256"),
    Verification("a", WALL, None, "POSSESSION"),
    Verification("a", WALL, True, "unheard of"),
    Verification("b", WALL),
]


def of_type(kind: str | None, algorithm: str | None, valid: int, invalid: int) -> dict[str, Any]:
    return {
        "type": kind,
        "algorithm": algorithm,
        "total": valid + invalid,
        "valid": valid,
        "invalid": invalid,
    }


WITHOUT_ALGORITHM = [
    of_type("POSSESSION", None, 1, 2),
    of_type("unheard of", None, 1, 0),
]
WITH_ALGORITHM = [
    of_type("POSSESSION", None, 0, 1),
    of_type("POSSESSION", "ECDSA_P256", 0, 1),
    of_type("POSSESSION", "PowerAuth-V3", 1, 0),
    of_type("unheard of", None, 1, 0),
]
BY_TYPE = {"1.4": WITHOUT_ALGORITHM, "1.9": WITHOUT_ALGORITHM, "2.2": WITH_ALGORITHM}


@pytest.mark.parametrize("version", powerauth.VERSIONS)
def test_algorithms_are_told_apart_where_they_are_recorded(database: Engine, version: str) -> None:
    audit.add_verifications(filled(database, version), VERIFICATIONS, version)

    with database_errors() as errors:
        data = signatures(client_of(database), 1)

    assert data == {
        "total": 4,
        "valid": 2,
        "invalid": 2,
        "byType": BY_TYPE[version],
        "byHour": {"start": "2026-11-24T12:00:00Z", "verifications": [*[0] * 24, 4]},
        "busiestHour": {
            "start": "2026-11-25T12:00:00Z",
            "verifications": 4,
            "perSecond": 0.001111,
        },
    }
    assert errors == []


@pytest.mark.parametrize(
    ("passed", "algorithm"), [(MINUTE - TICK, None), (MINUTE, "HMAC"), (-TICK, "HMAC")]
)
def test_column_that_an_upgrade_brings_is_looked_for_each_minute(
    sqlite: Engine, passed: timedelta, algorithm: str | None
) -> None:
    audit.add_verifications(filled(sqlite, "1.4"), VERIFICATIONS[:1], "1.4")
    times = {"now": NOW + HOUR}
    app = create_app(sqlite, clock=lambda: times["now"], REPORTS=[REPORT], CACHE_SECONDS=0)
    assert signatures(app.test_client(), 30)["byType"][0]["algorithm"] is None
    with sqlite.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE pa_signature_audit ADD signature_algorithm TEXT DEFAULT 'HMAC'"
        )

    times["now"] += passed

    assert signatures(app.test_client(), 30)["byType"][0]["algorithm"] == algorithm


COLUMNS = "activation_id, valid, signature_type, timestamp_created"


@pytest.mark.parametrize("version", powerauth.VERSIONS)
def test_documented_columns_are_enough(postgresql: Engine, version: str) -> None:
    audit.add_verifications(filled(postgresql, version), VERIFICATIONS, version)
    columns = COLUMNS + (", signature_algorithm" if version == "2.2" else "")
    grants = (
        "GRANT SELECT (id, name) ON pa_application TO {role}",
        "GRANT SELECT (activation_id, application_id) ON pa_activation TO {role}",
        f"GRANT SELECT ({columns}) ON pa_signature_audit TO {{role}}",
    )

    with role(postgresql, *grants) as reader:
        assert signatures(client_of(reader), 30)["byType"] == BY_TYPE[version]


def test_algorithms_that_may_not_be_read_are_a_fault(postgresql: Engine) -> None:
    """As after an upgrade to 2.2: asymmetric signatures must not be counted as symmetric ones."""
    audit.add_verifications(filled(postgresql), VERIFICATIONS)
    grants = (
        "GRANT SELECT (id, name) ON pa_application TO {role}",
        "GRANT SELECT (activation_id, application_id) ON pa_activation TO {role}",
        f"GRANT SELECT ({COLUMNS}) ON pa_signature_audit TO {{role}}",
    )

    with role(postgresql, *grants) as reader:
        answer = ask(client_of(reader), REPORT, {"application": "retail", "days": 30})

    assert answer.status_code == 500


@pytest.mark.parametrize(
    ("columns", "by_type"),
    [(COLUMNS, WITHOUT_ALGORITHM), (f"{COLUMNS}, signature_algorithm", WITH_ALGORITHM)],
)
@pytest.mark.parametrize(
    "keys",
    [
        {"TABLES": {"pa_signature_audit": "reporting.audit"}},
        {
            "DATABASE_SCHEMA": "reporting",
            "TABLES": {
                "pa_signature_audit": "audit",
                "pa_activation": "public.pa_activation",
                "pa_application": "public.pa_application",
            },
        },
    ],
)
def test_view_has_the_columns_that_it_shows(
    postgresql: Engine, keys: dict[str, Any], columns: str, by_type: list[dict[str, Any]]
) -> None:
    audit.add_verifications(filled(postgresql), VERIFICATIONS)
    with postgresql.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA reporting")
        connection.exec_driver_sql(
            f"CREATE VIEW reporting.audit AS SELECT {columns} FROM pa_signature_audit"
        )

    with database_errors() as errors:
        data = signatures(client_of(postgresql, **keys), 30)

    assert data["byType"] == by_type
    assert errors == []


def test_type_without_a_name_is_null(owner: Engine) -> None:
    audit.add_verifications(owner, VERIFICATIONS)
    with owner.begin() as connection:
        connection.exec_driver_sql(
            "CREATE VIEW audit AS SELECT activation_id, valid, timestamp_created,"
            " NULLIF(signature_type, 'POSSESSION') AS signature_type FROM pa_signature_audit"
        )

    data = signatures(client_of(owner, TABLES={"pa_signature_audit": "audit"}), 30)

    assert data["byType"] == [of_type(None, None, 1, 2), of_type("unheard of", None, 1, 0)]


def test_columns_are_looked_up_once_for_all_windows(small: Engine) -> None:
    client = client_of(small)

    with recorded_statements() as statements:
        for days in (1, 30, 365):
            signatures(client, days)

    assert sum("pragma" in statement.lower() for statement in statements) <= 2
    assert sum("FROM pa_signature_audit" in statement for statement in statements) == 3


def test_report_can_be_bound_to_another_database(small: Engine, postgresql: Engine) -> None:
    class SignaturesOfReplica(SignaturesInPastDays):
        bind = "replica"

    audit.add_verifications(filled(postgresql), [Verification("a", WALL)])
    client = create_app(
        small,
        BINDS={"replica": url_of(postgresql)},
        arguments={"providers": [SignaturesOfReplica()]},
    ).test_client()

    assert signatures(client, 30)["total"] == 1


def test_missing_audit_is_a_fault(small: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with small.begin() as connection:
        connection.exec_driver_sql("DROP TABLE pa_signature_audit")

    answer = ask(client_of(small), REPORT, {"application": "retail", "days": 30})

    assert answer.status_code == 500
    assert answer.get_json()["responseObject"]["code"] == "ERROR_GENERIC"
    assert "no such table: pa_signature_audit (create this table or view" in caplog.text


def test_unknown_application_is_an_error_always(small: Engine) -> None:
    client = client_of(small, STRICT_APPLICATION=False)

    answer = ask(client, REPORT, {"application": "nowhere", "days": 7})

    assert answer.status_code == 400
    assert answer.get_json()["responseObject"]["code"] == "ERROR_TELEMETRY"
