"""The further reports: off until switched on, and what they count."""

from datetime import timedelta

from sqlalchemy import Engine

from tests import powerauth
from tests.powerauth import Activation
from tests.service import NOW, ask, create_app, recorded_statements, users_of

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
