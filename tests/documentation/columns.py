"""The columns in docs/providers.md: ``python -m tests.documentation.columns`` prints them."""

from collections.abc import Iterator, Mapping

from sqlalchemy import Column, String

from flask_powerauth_telemetry.database.tables import SINCE, PowerAuthTables
from tests.support.powerauth import ACTIVATION_COLUMNS
from tests.support.powerauth_columns import (
    AUDIT_COLUMNS,
    HISTORY_COLUMNS,
    OPERATION_APPLICATION_COLUMNS,
    OPERATION_COLUMNS,
)

_NEWEST = "2.2"
_SCHEMA: Mapping[str, Mapping[str, str]] = {
    "pa_application": {"id": "NOT NULL", "name": "NOT NULL"},
    "pa_activation": ACTIVATION_COLUMNS[_NEWEST],
    "pa_activation_history": HISTORY_COLUMNS,
    "pa_signature_audit": AUDIT_COLUMNS[_NEWEST],
    "pa_operation": OPERATION_COLUMNS,
    "pa_operation_application": OPERATION_APPLICATION_COLUMNS,
}


def lines() -> Iterator[str]:
    """The table's lines."""
    yield from ("| Column | Type |", "|---|---|")
    for name in PowerAuthTables.__annotations__:
        for column in getattr(PowerAuthTables(), name).columns:
            yield f"| `{name}.{column.name}` | {_described(name, column)} |"


def _described(table: str, column: Column[object]) -> str:
    kind = f"`{column.type.python_type.__name__}`"
    length = f"({column.type.length})" if isinstance(column.type, String) else ""
    null = "" if "NOT NULL" in _SCHEMA[table][column.name] else "or null"
    since = f"since {SINCE[column.name]}" if column.name in SINCE else ""
    return " ".join(part for part in (kind, length, null, since) if part)


if __name__ == "__main__":
    print("\n".join(lines()))  # noqa: T201 # a command
