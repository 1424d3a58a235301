"""The columns in docs/providers.md: ``python -m tests.documentation.columns`` prints them."""

from collections.abc import Iterator, Mapping
from datetime import datetime

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
    yield from (
        "| Table | Column | Type | Unit | Null | Since PowerAuth |",
        "|---|---|---|---|---|---|",
    )
    for name in PowerAuthTables.__annotations__:
        for column in getattr(PowerAuthTables(), name).columns:
            kind = column.type.python_type.__name__
            is_null = "" if "NOT NULL" in _SCHEMA[name][column.name] else "yes"
            cells = (_unit(column), is_null, SINCE.get(column.name, ""))
            row = (f"`{name}`", f"`{column.name}`", f"`{kind}`", *cells)
            yield "".join(f"| {cell} " if cell else "| " for cell in row) + "|"


def _unit(column: Column[object]) -> str:
    if isinstance(column.type, String):
        return f"{column.type.length} characters at most"
    is_time = column.type.python_type is datetime
    return "naive, the database's zone" if is_time else ""


if __name__ == "__main__":
    print("\n".join(lines()))  # noqa: T201 # a command
