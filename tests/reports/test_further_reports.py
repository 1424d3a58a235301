"""The further reports: off until switched on, and what they count."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from flask_powerauth_telemetry.reports import FURTHER_REPORTS
from tests.support import powerauth
from tests.support.databases import Databases
from tests.support.powerauth import Activation
from tests.support.service import NOW, ask, create_app, recorded_statements, url_of, users_of

CURVE = "USERS_BY_PAST_DAYS"


def test_further_report_is_off_until_switched_on(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    client = create_app(sqlite).test_client()

    answer = ask(client, CURVE, {"application": "retail"})

    assert answer.status_code == 400
    assert answer.get_json()["responseObject"]["code"] == "ERROR_TELEMETRY"


def test_curve_is_what_each_window_answers_from_one_pass(database: Engine) -> None:
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail"])
    now = NOW.replace(tzinfo=None)
    powerauth.add_activations(
        database,
        [
            Activation(f"a{number}", 1, f"u{number % 90}", now - timedelta(hours=25 * number))
            for number in range(360)
        ],
    )
    client = create_app(database, REPORTS=[CURVE]).test_client()

    with recorded_statements() as statements:
        curve = ask(client, CURVE, {"application": "retail"}).get_json()["responseObject"]
        windows = [users_of(client, "retail", days) for days in range(1, 366)]

    assert curve == {
        "name": CURVE,
        "reportData": {"application": "retail", "users": windows},
    }
    assert windows[0] == 1
    assert windows[-1] == 90
    assert sum("pa_activation" in statement for statement in statements) == 1


@pytest.mark.parametrize(
    ("report", "table", "passes"),
    [
        ("USERS_IN_PAST_DAYS", "pa_activation", 3),
        ("USERS_ACROSS_APPLICATIONS", "pa_activation", 3),
        ("COMMITTED_USERS_IN_PAST_DAYS", "pa_activation", 3),
        ("NEW_USERS_IN_PAST_DAYS", "pa_activation_history", 1),
        ("SIGNATURES_IN_PAST_DAYS", "pa_signature_audit", 5),
    ],
)
@pytest.mark.parametrize("rising", [True, False])
def test_every_window_of_a_year_costs_a_few_passes(
    sqlite: Engine, report: str, table: str, passes: int, rising: bool
) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail", "corporate"])
    client = create_app(sqlite, REPORTS=list(FURTHER_REPORTS)[:5]).test_client()
    named: dict[str, Any] = {"application": "retail"}
    if report == "USERS_ACROSS_APPLICATIONS":
        named = {"applications": ["retail", "corporate"]}

    with recorded_statements() as statements:
        for days in range(1, 366, 7)[:: 1 if rising else -1]:
            assert ask(client, report, {**named, "days": days}).status_code == 200

    read = sum(bool(re.search(rf"(FROM|JOIN) {table}\b", one)) for one in statements)
    assert 1 <= read <= passes


def test_report_reads_the_bind_that_is_configured_for_it(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> None:
    main, replica = (
        databases.create("sqlite", tmp_path_factory.mktemp(name)) for name in ("main", "replica")
    )
    for engine, users in ((main, 2), (replica, 3)):
        powerauth.create_schema(engine)
        powerauth.add_applications(engine, ["retail"])
        now = NOW.replace(tzinfo=None)
        rows = [Activation(f"a{number}", 1, f"u{number}", now) for number in range(users)]
        powerauth.add_activations(engine, rows)
    app = create_app(
        main,
        BINDS={"replica": url_of(replica)},
        REPORT_BINDS={"USERS_IN_PAST_DAYS": "replica"},
    )

    assert users_of(app.test_client(), "retail", 30) == 3
    answer = ask(app.test_client(), "CURRENT_MAU", {"application": "retail"}).get_json()
    assert answer["responseObject"]["reportData"]["users"] == 2
