"""The reference's own query, as any account with default settings would run it."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from benchmarks.population import APPLICATION
from tests.support.powerauth import REFERENCE_QUERY

FILTERED_SCAN = text(
    "SELECT count(*) FROM pa_activation WHERE application_id = 1"
    " AND timestamp_last_used BETWEEN :start AND :end"
)


def window(days: int) -> dict[str, datetime]:
    """The naive start and end, in UTC, of the past days."""
    end = datetime.now(UTC).replace(tzinfo=None)
    return {"start": end - timedelta(days=days), "end": end}


def reference_count(connection: Connection, days: int) -> int:
    """The users of the past days, as the reference counts them."""
    parameters = {"name": APPLICATION, **window(days)}
    return int(connection.execute(REFERENCE_QUERY, parameters).scalar_one())


def scan_count(connection: Connection, days: int) -> int:
    """The rows of the past days: what reading and filtering alone costs."""
    return int(connection.execute(FILTERED_SCAN, window(days)).scalar_one())
