"""SQL Server, by pyodbc."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.dialects.mssql import DATETIME2
from sqlalchemy.types import TypeEngine

from flask_powerauth_telemetry.database.dialects.base import (
    MISSING_COLUMN,
    MISSING_TABLE,
    DatabaseDialect,
    Limits,
    held_attribute,
)

_TIMED_OUT_STATES = frozenset({"HYT00", "HYT01"})


class SQLServer(DatabaseDialect):
    """SQL Server, whose times are DATETIME2(6)."""

    scheme = "mssql+pyodbc"
    server_clock = "SELECT DATEDIFF_BIG(MILLISECOND, '1970-01-01', SYSUTCDATETIME()) / 1000.0"
    # Its driver rounds a plain DateTime. SQLAlchemy gives the constructor no type hints.
    wall_clock: TypeEngine[datetime] = DATETIME2(6)  # type: ignore[no-untyped-call]
    cures: Mapping[str, str] = {
        "Invalid object name": MISSING_TABLE,
        "Invalid column name": MISSING_COLUMN,
    }

    def whole_slots(self, end: str, start: str, seconds: str = "86400") -> str:
        # A literal beyond 32 bits is numeric there, and would make the division a fractional one.
        span = f"(CAST({seconds} AS BIGINT) * 1000000)"
        return f"(DATEDIFF_BIG(MICROSECOND, {start}, {end}) / {span})"

    whole_days = whole_slots

    @contextmanager
    def guard(self, connection: Connection, limits: Limits) -> Iterator[None]:
        driver = connection.connection.driver_connection
        with held_attribute(driver, "timeout", math.ceil(limits.seconds)):
            yield

    def timed_out(self, cause: BaseException) -> bool:
        return bool(cause.args) and cause.args[0] in _TIMED_OUT_STATES
