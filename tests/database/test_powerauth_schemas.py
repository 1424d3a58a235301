"""PowerAuth's own schema of each version, read by an account that may read five columns."""

from collections.abc import Iterable, Iterator
from datetime import UTC, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, Table, create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from flask_powerauth_telemetry.database.tables import PowerAuthTables, integration_table
from tests.support import powerauth
from tests.support.powerauth_columns import OPERATION_APPLICATION_COLUMNS, OPERATION_COLUMNS
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


COLUMNS_FOR_AUTHORS = {
    "pa_application": "id name",
    "pa_activation": "activation_id application_id user_id activation_status platform device_info"
    " flags protocol timestamp_created timestamp_last_used",
    "pa_activation_history": "id activation_id activation_status timestamp_created",
    "pa_signature_audit": "id activation_id valid signature_type signature_algorithm"
    " timestamp_created",
    "pa_operation": "id user_id status template_name timestamp_created timestamp_finalized",
    "pa_operation_application": "application_id operation_id",
}


def columns_of(engine: Engine, tables: Iterable[Table]) -> dict[str, dict[str, str]]:
    """The type of each column of each table, as PostgreSQL has it, without a precision."""
    return {
        table.name: {
            column.name: column.type.compile(engine.dialect).replace("(6)", "")
            for column in table.c
            if column.name in COLUMNS_FOR_AUTHORS[table.name].split()
        }
        for table in tables
    }


def test_columns_for_authors_are_those_of_powerauth(postgresql: Engine) -> None:
    powerauth.create_schema(postgresql)
    for name, columns in (
        ("pa_operation", OPERATION_COLUMNS),
        ("pa_operation_application", OPERATION_APPLICATION_COLUMNS),
    ):
        run(postgresql, f"CREATE TABLE {name} ({', '.join(map(' '.join, columns.items()))})")
    there = MetaData()
    there.reflect(postgresql, only=list(COLUMNS_FOR_AUTHORS))
    ours = PowerAuthTables().metadata.tables.values()

    found = {table.name: " ".join(table.c.keys()) for table in ours}

    assert found == COLUMNS_FOR_AUTHORS
    assert columns_of(postgresql, ours) == columns_of(postgresql, there.tables.values())


def test_columns_for_credentials_are_those_of_powerauth(postgresql: Engine) -> None:
    powerauth.create_schema(postgresql)
    there = Table("pa_integration", MetaData(), autoload_with=postgresql)

    of_both = [
        {column.name: str(column.type) for column in table.c}
        for table in (integration_table(PowerAuthTables()), there)
    ]

    assert of_both[0] == of_both[1]
