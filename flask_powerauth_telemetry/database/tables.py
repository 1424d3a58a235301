"""PowerAuth's tables as SQLAlchemy Core sees them: only the columns that reports may read.

Keys, counters, one-time passwords and operation data are left out on purpose, so no report can
select them by accident. Column names and types are the same in PowerAuth 1.4 to 2.2; ``SINCE``
names the columns that came later.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, MetaData, String, Table
from sqlalchemy.types import TypeEngine

from flask_powerauth_telemetry.database.dialects import DIALECTS, dialect_named

Columns = Mapping[str, TypeEngine[Any] | type[TypeEngine[Any]]]


def _wall_clock() -> TypeEngine[datetime]:
    kind: TypeEngine[datetime] = DateTime()
    for name in DIALECTS:
        kind = kind.with_variant(dialect_named(name).wall_clock, name)
    return kind


WallClock = _wall_clock()
"""A time without a zone, by the type that keeps its microseconds on each dialect."""


class ActivationStatus(IntEnum):
    """What ``activation_status`` holds, as PowerAuth Server numbers it."""

    CREATED = 1
    PENDING_COMMIT = 2
    ACTIVE = 3
    BLOCKED = 4
    REMOVED = 5


_COLUMNS: Mapping[str, Columns] = {
    "pa_application": {"id": Integer, "name": String(255)},
    "pa_activation": {
        "activation_id": String(37),
        "application_id": Integer,
        "user_id": String(255),
        "activation_status": Integer,
        "platform": String(255),
        "device_info": String(255),
        "flags": String(255),
        "protocol": String(32),
        "timestamp_created": WallClock,
        "timestamp_last_used": WallClock,
    },
    "pa_activation_history": {
        "id": BigInteger,
        "activation_id": String(37),
        "activation_status": Integer,
        "timestamp_created": WallClock,
    },
    "pa_signature_audit": {
        "id": BigInteger,
        "activation_id": String(37),
        "valid": Boolean,
        "signature_type": String(255),
        "signature_algorithm": String(32),
        "timestamp_created": WallClock,
    },
    "pa_operation": {
        "id": String(37),
        "user_id": String(255),
        "status": Integer,
        "template_name": String(255),
        "timestamp_created": WallClock,
        "timestamp_finalized": WallClock,
    },
    "pa_operation_application": {"application_id": BigInteger, "operation_id": String(37)},
}
SINCE = {"protocol": "1.7", "signature_algorithm": "2.2"}
"""The version of PowerAuth that brought a column, where that is later than 1.4."""

_INTEGRATION = "pa_integration"
_CREDENTIAL_COLUMNS: Columns = {
    "id": String(37),
    "name": String(255),
    "client_token": String(37),
    "client_secret": String(37),
}
TABLE_NAMES = frozenset({*_COLUMNS, _INTEGRATION})


class PowerAuthTables:
    """The tables that reports read, one attribute each, named as PowerAuth names them.

    ``schema`` is the database schema they live in; ``names`` maps a PowerAuth table to the view
    or synonym to read instead, which may carry a schema of its own (``reporting.activation``).
    """

    pa_application: Table
    pa_activation: Table
    pa_activation_history: Table
    pa_signature_audit: Table
    pa_operation: Table
    pa_operation_application: Table

    def __init__(self, schema: str | None = None, names: Mapping[str, str] | None = None) -> None:
        self.metadata = MetaData(schema=schema)
        self.names = names or {}
        for name, columns in _COLUMNS.items():
            setattr(self, name, _table(self.metadata, self.names.get(name, name), columns))


def integration_table(beside: PowerAuthTables) -> Table:
    """``pa_integration``, PowerAuth's plain-text application credentials.

    Kept apart from the tables of the reports: only the credential store reads it.
    """
    metadata = MetaData(schema=beside.metadata.schema)
    return _table(metadata, beside.names.get(_INTEGRATION, _INTEGRATION), _CREDENTIAL_COLUMNS)


def _table(metadata: MetaData, name: str, columns: Columns) -> Table:
    schema, _, relation = name.rpartition(".")
    described = (Column(column, kind) for column, kind in columns.items())
    return Table(relation, metadata, *described, schema=schema or None)
