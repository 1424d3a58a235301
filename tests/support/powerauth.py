"""PowerAuth's database as the tests need it: its tables by version, rows, and counts by hand."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import Connection, Engine, text

from tests.support.powerauth_columns import AUDIT_COLUMNS, HISTORY_COLUMNS, INDEXES

# Columns as the public schema of each version has them, in these tests' own words. The dialects
# of the tests, PostgreSQL and SQLite, both understand these types.
_NAME = "VARCHAR(255)"
_ACTIVATION_1_4 = {
    "activation_id": "VARCHAR(37) NOT NULL PRIMARY KEY",
    "application_id": "INTEGER NOT NULL REFERENCES pa_application (id)",
    "user_id": f"{_NAME} NOT NULL",
    "activation_name": _NAME,
    "activation_code": _NAME,
    "activation_status": "INTEGER NOT NULL",
    "activation_otp": _NAME,
    "activation_otp_validation": "INTEGER DEFAULT 0 NOT NULL",
    "blocked_reason": _NAME,
    "counter": "INTEGER DEFAULT 0 NOT NULL",
    "ctr_data": _NAME,
    "device_public_key_base64": _NAME,
    "extras": _NAME,
    "platform": _NAME,
    "device_info": _NAME,
    "flags": _NAME,
    "failed_attempts": "INTEGER DEFAULT 0 NOT NULL",
    "max_failed_attempts": "INTEGER DEFAULT 5 NOT NULL",
    "server_private_key_base64": f"{_NAME} DEFAULT 'private' NOT NULL",
    "server_public_key_base64": f"{_NAME} DEFAULT 'public' NOT NULL",
    "timestamp_activation_expire": "TIMESTAMP(6)",
    "timestamp_created": "TIMESTAMP(6) NOT NULL",
    "timestamp_last_used": "TIMESTAMP(6) NOT NULL",
    "timestamp_last_change": "TIMESTAMP(6)",
    "master_keypair_id": "INTEGER",
    "version": "INTEGER DEFAULT 2",
}
_ACTIVATION_1_9 = _ACTIVATION_1_4 | {
    "external_id": _NAME,
    "protocol": "VARCHAR(32) DEFAULT 'powerauth'",
    "extras": "TEXT",
}
_ACTIVATION_2_2 = _ACTIVATION_1_9 | {
    "server_private_key_base64": _NAME,
    "server_public_key_base64": _NAME,
    "crypto_algorithm": "VARCHAR(32)",
    "shared_secret": _NAME,
    "biometric_factor_key": _NAME,
    "knowledge_factor_key": _NAME,
    "parent_activation_id": "VARCHAR(37)",
    "timestamp_block_expire": "TIMESTAMP(6)",
    "temporary_block_count": "BIGINT DEFAULT 0 NOT NULL",
}
ACTIVATION_COLUMNS = {"1.4": _ACTIVATION_1_4, "1.9": _ACTIVATION_1_9, "2.2": _ACTIVATION_2_2}
VERSIONS = tuple(ACTIVATION_COLUMNS)

REFERENCE_QUERY = text(
    "SELECT COUNT(DISTINCT activation.user_id) FROM pa_activation activation"
    " INNER JOIN pa_application application ON activation.application_id = application.id"
    " WHERE application.name = :name AND activation.timestamp_last_used BETWEEN :start AND :end"
)


@dataclass(frozen=True)
class Activation:
    """A row of pa_activation; times are naive, of the database's clock.

    Without ``timestamp_created`` it was created at its last use, so it was never used since.
    """

    activation_id: str
    application_id: int
    user_id: str
    timestamp_last_used: datetime
    activation_status: int = 3
    platform: str | None = "ios"
    timestamp_created: datetime | None = None


@dataclass(frozen=True)
class Integration:
    """A row of pa_integration."""

    id: str
    name: str | None
    client_token: str
    client_secret: str


def create_schema(engine: Engine, version: str = "2.2") -> None:
    """PowerAuth's tables that matter here, with the indexes that it ships."""
    tables = {
        "pa_activation": ACTIVATION_COLUMNS[version],
        "pa_signature_audit": AUDIT_COLUMNS[version],
        "pa_activation_history": HISTORY_COLUMNS,
    }
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE pa_application (id INTEGER NOT NULL PRIMARY KEY,"
            " name VARCHAR(255) NOT NULL, roles VARCHAR(255))",
            *(f"CREATE TABLE {name} ({_listed(columns)})" for name, columns in tables.items()),
            "CREATE TABLE pa_integration (id VARCHAR(37) NOT NULL PRIMARY KEY,"
            " name VARCHAR(255), client_token VARCHAR(37) NOT NULL,"
            " client_secret VARCHAR(37) NOT NULL)",
            "CREATE UNIQUE INDEX pa_application_name ON pa_application (name)",
            "CREATE UNIQUE INDEX pa_integration_token ON pa_integration (client_token)",
            "CREATE INDEX pa_activation_application ON pa_activation (application_id)",
            "CREATE INDEX pa_activation_user_id ON pa_activation (user_id)",
            *(f"CREATE INDEX {index}" for index in INDEXES),
        ):
            connection.exec_driver_sql(statement)


def _listed(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {definition}" for name, definition in columns.items())


def add_applications(engine: Engine, names: Iterable[str]) -> None:
    """Applications with the ids 1, 2, …"""
    rows = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO pa_application (id, name) VALUES (:id, :name)"), rows)


def add_activations(engine: Engine, activations: Sequence[Activation]) -> None:
    """Rows of pa_activation."""
    rows = [
        _written(
            engine,
            vars(activation)
            | {"created": activation.timestamp_created or activation.timestamp_last_used},
        )
        for activation in activations
    ]
    statement = text(
        "INSERT INTO pa_activation (activation_id, application_id, user_id, activation_status,"
        " platform, timestamp_created, timestamp_last_used) VALUES (:activation_id,"
        " :application_id, :user_id, :activation_status, :platform, :created,"
        " :timestamp_last_used)"
    )
    with engine.begin() as connection:
        connection.execute(statement, rows)


def add_integrations(engine: Engine, integrations: Sequence[Integration]) -> None:
    """Rows of pa_integration."""
    statement = text(
        "INSERT INTO pa_integration (id, name, client_token, client_secret)"
        " VALUES (:id, :name, :client_token, :client_secret)"
    )
    with engine.begin() as connection:
        connection.execute(statement, [vars(integration) for integration in integrations])


def reference_count(
    connection: Connection, application: str, start: datetime, end: datetime
) -> int:
    """What the reference's own query counts in a window of naive times."""
    window = _written(connection.engine, {"start": start, "end": end})
    return int(connection.execute(REFERENCE_QUERY, {"name": application, **window}).scalar_one())


def count_by_hand(
    activations: Iterable[Activation], application_id: int, start: datetime, end: datetime
) -> int:
    """The users of a closed window of naive times, one row after the other."""
    return len(
        {
            activation.user_id
            for activation in activations
            if activation.application_id == application_id
            and start <= activation.timestamp_last_used <= end
        }
    )


def wall_clock(instant: datetime, zone: tzinfo) -> datetime:
    """What a clock in a zone shows at an aware instant."""
    return instant.astimezone(zone).replace(tzinfo=None)


def random_activations(seed: int, now: datetime, zone: tzinfo, count: int) -> list[Activation]:
    """Users with several activations of every status, some used at the very edge of a window."""
    source = random.Random(seed)
    tick = timedelta(microseconds=1)
    activations = []
    for number in range(count):
        if source.random() < 0.5:
            edge = wall_clock(now - timedelta(days=source.randint(0, 366)), zone)
            used = edge + source.choice((-tick, timedelta(0), tick))
        else:
            used = wall_clock(now, zone) - timedelta(seconds=source.uniform(-86_400, 33_000_000))
        activations.append(
            Activation(
                activation_id=f"activation-{number}",
                application_id=source.choice((1, 1, 1, 2)),
                user_id=f"user-{source.randint(0, count // 2)}",
                activation_status=source.randint(1, 5),
                platform=source.choice(("ios", "android", None)),
                timestamp_last_used=used,
            )
        )
    return activations


def _written(engine: Engine, row: dict[str, object]) -> dict[str, object]:
    """SQLite keeps times as text, in the form that SQLAlchemy gives them."""
    if engine.dialect.name != "sqlite":
        return row
    return {
        key: value.isoformat(" ", "microseconds") if isinstance(value, datetime) else value
        for key, value in row.items()
    }
