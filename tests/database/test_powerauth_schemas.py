"""PowerAuth's own schema of each version, read by an account that may read five columns."""

from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from tests.support import powerauth
from tests.support.service import NOW, create_app, users_of

ROLE = "telemetry_reader"
FIVE_COLUMNS = (
    f"GRANT SELECT (id, name) ON pa_application TO {ROLE}",
    f"GRANT SELECT (application_id, user_id, timestamp_last_used) ON pa_activation TO {ROLE}",
)
VIEWS = (
    "CREATE SCHEMA reporting",
    "CREATE VIEW reporting.application AS SELECT id, name FROM pa_application",
    "CREATE VIEW reporting.activation AS"
    " SELECT application_id, user_id, timestamp_last_used FROM pa_activation",
    f"GRANT USAGE ON SCHEMA reporting TO {ROLE}",
    f"GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO {ROLE}",
)
KEYS_FOR_VIEWS = {
    "DATABASE_SCHEMA": "reporting",
    "TABLES": {"pa_application": "application", "pa_activation": "activation"},
}
KEYS_FOR_QUALIFIED_VIEWS = {
    "TABLES": {
        "pa_application": "reporting.application",
        "pa_activation": "reporting.activation",
    },
}


@pytest.fixture(params=powerauth.VERSIONS)
def owner(request: pytest.FixtureRequest, postgresql: Engine) -> Iterator[Engine]:
    """A PowerAuth database of a version, and a role without privileges."""
    powerauth.create_schema(postgresql, request.param)
    powerauth.add_applications(postgresql, ["retail", "corporate"])
    rows = powerauth.random_activations(seed=3, now=NOW, zone=UTC, count=300)
    powerauth.add_activations(postgresql, rows)
    run(postgresql, f"CREATE ROLE {ROLE} LOGIN")
    yield postgresql
    run(postgresql, f"DROP OWNED BY {ROLE}", f"DROP ROLE {ROLE}")


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def reader(owner: Engine) -> Engine:
    return create_engine(owner.url.set(username=ROLE), poolclass=NullPool)


def expected_users(owner: Engine, days: int) -> int:
    end = powerauth.wall_clock(NOW, UTC)
    with owner.connect() as connection:
        return powerauth.reference_count(connection, "retail", end - timedelta(days=days), end)


@pytest.mark.parametrize("days", [30, 365])
def test_five_columns_are_enough(owner: Engine, days: int) -> None:
    run(owner, *FIVE_COLUMNS)
    client = create_app(reader(owner)).test_client()

    assert users_of(client, "retail", days) == expected_users(owner, days)
    with reader(owner).connect() as connection, pytest.raises(ProgrammingError):
        connection.execute(text("SELECT server_private_key_base64 FROM pa_activation"))


@pytest.mark.parametrize("keys", [KEYS_FOR_VIEWS, KEYS_FOR_QUALIFIED_VIEWS])
def test_views_are_enough(owner: Engine, keys: dict[str, Any]) -> None:
    run(owner, *VIEWS)
    client = create_app(reader(owner), **keys).test_client()

    assert users_of(client, "retail", 30) == expected_users(owner, 30)
    with reader(owner).connect() as connection, pytest.raises(ProgrammingError):
        connection.execute(text("SELECT id FROM pa_application"))
