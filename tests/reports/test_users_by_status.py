"""USERS_BY_STATUS counts users and activations by what the activations are now."""

import random
from collections import defaultdict
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from tests.support import powerauth
from tests.support.powerauth import Activation
from tests.support.service import NOW, ask, create_app, recorded_statements

REPORT = "USERS_BY_STATUS"
NAMES = {1: "CREATED", 2: "PENDING_COMMIT", 3: "ACTIVE", 4: "BLOCKED", 5: "REMOVED"}
USED = NOW.replace(tzinfo=None)


@pytest.fixture
def filled(database: Engine) -> Engine:
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail", "corporate"])
    return database


def client_of(engine: Engine, **keys: Any) -> FlaskClient:
    return create_app(engine, REPORTS=[REPORT], **keys).test_client()


def data_of(client: FlaskClient) -> Any:
    answer = ask(client, REPORT, {"application": "retail"})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()["responseObject"]["reportData"]


def by_hand(rows: list[Activation]) -> dict[str, Any]:
    own = [row for row in rows if row.application_id == 1]
    by_status: dict[int, list[str]] = defaultdict(list, {status: [] for status in NAMES})
    for row in own:
        by_status[row.activation_status].append(row.user_id)
    return {
        "application": "retail",
        "users": len({row.user_id for row in own}),
        "activations": len(own),
        "byStatus": [
            {
                "status": NAMES.get(status, str(status)),
                "users": len(set(users)),
                "activations": len(users),
            }
            for status, users in sorted(
                by_status.items(), key=lambda item: (item[0] not in NAMES, item[0])
            )
        ],
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_numbers_are_those_counted_by_hand(filled: Engine, seed: int) -> None:
    source = random.Random(seed)
    rows = [
        Activation(
            f"{number}",
            source.choice((1, 1, 2)),
            f"user-{source.randrange(80)}",
            USED,
            source.choice((0, 1, 2, 3, 3, 3, 4, 5, 5, 9)),
        )
        for number in range(400)
    ]
    powerauth.add_activations(filled, rows)
    client = client_of(filled)

    with recorded_statements() as statements:
        assert data_of(client) == data_of(client) == by_hand(rows)

    assert sum("pa_activation" in statement for statement in statements) == 1


def test_application_without_activations_has_every_status(filled: Engine) -> None:
    assert data_of(client_of(filled)) == by_hand([])


@pytest.mark.parametrize("strict", [True, False])
def test_unknown_application_is_an_error(filled: Engine, strict: bool) -> None:
    answer = ask(client_of(filled, STRICT_APPLICATION=strict), REPORT, {"application": "Retail"})

    assert answer.status_code == 400
