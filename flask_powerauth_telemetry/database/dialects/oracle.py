"""Oracle, by python-oracledb."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import TIMESTAMP, Connection

from flask_powerauth_telemetry.database.dialects.base import (
    MISSING_COLUMN,
    MISSING_TABLE,
    OTHER_TYPE,
    SESSION_LABEL,
    DatabaseDialect,
    Limits,
    held_attribute,
)

_CALL_TIMEOUT_EXCEEDED = "DPY-4024"


class Oracle(DatabaseDialect):
    """Oracle, whose times are TIMESTAMP(6)."""

    scheme = "oracle+oracledb"
    server_clock = (
        "SELECT (CAST(SYS_EXTRACT_UTC(SYSTIMESTAMP) AS DATE) - DATE '1970-01-01') * 86400 FROM DUAL"
    )
    # Its drivers cut a plain DateTime to whole seconds.
    wall_clock = TIMESTAMP()
    cures: Mapping[str, str] = {
        "ORA-00942": MISSING_TABLE,
        "ORA-00904": MISSING_COLUMN,
        "ORA-00932": OTHER_TYPE,
    }

    def whole_days(self, end: str, start: str) -> str:
        return f"EXTRACT(DAY FROM (CAST({end} AS TIMESTAMP) - {start}))"

    def whole_slots(self, end: str, start: str, seconds: str = "86400") -> str:
        day, hour, minute, second = (
            f"EXTRACT({part} FROM (CAST({end} AS TIMESTAMP) - CAST({start} AS TIMESTAMP)))"
            for part in ("DAY", "HOUR", "MINUTE", "SECOND")
        )
        return f"FLOOR((({day} * 24 + {hour}) * 3600 + {minute} * 60 + {second}) / {seconds})"

    @contextmanager
    def guard(self, connection: Connection, limits: Limits) -> Iterator[None]:
        driver: Any = connection.connection.driver_connection
        driver.module = SESSION_LABEL
        with held_attribute(driver, "call_timeout", math.ceil(limits.seconds * 1000)):
            yield

    def interrupt(self, driver: Any) -> None:
        driver.cancel()

    def timed_out(self, cause: BaseException) -> bool:
        return _CALL_TIMEOUT_EXCEEDED in str(cause)
