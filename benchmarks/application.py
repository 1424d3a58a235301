"""A Flask application with the extension on a filled database, and how it is asked."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from sqlalchemy import Engine

from benchmarks.population import APPLICATION
from flask_powerauth_telemetry import PowerAuthTelemetry, ReportContext
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.reports.activity import read_profile
from flask_powerauth_telemetry.state import EXTENSION_KEY

PATH = "/rest/v3/telemetry/report"
USER, TOKEN = "benchmark", "a-random-token"
HEADERS = {"Authorization": "Basic " + b64encode(f"{USER}:{TOKEN}".encode()).decode()}
_LIMIT = 3600
_REPORT = "USERS_IN_PAST_DAYS"


@contextmanager
def application(engine: Engine, cache_seconds: float, **keys: Any) -> Iterator[Flask]:
    """An application that keeps results for so many seconds; ``keys`` are more of ours.

    All callers may wait at once, unless ``keys`` say otherwise: what is measured is their answers.
    """
    app = Flask(__name__)
    app.config.update(
        POWERAUTH_TELEMETRY_DATABASE_URL=engine.url,
        POWERAUTH_TELEMETRY_CREDENTIALS={USER: digest(TOKEN)},
        POWERAUTH_TELEMETRY_CACHE_SECONDS=cache_seconds,
        POWERAUTH_TELEMETRY_STATEMENT_TIMEOUT=_LIMIT,
        POWERAUTH_TELEMETRY_MAX_WAITING=0,
    )
    app.config.update({f"POWERAUTH_TELEMETRY_{key}": value for key, value in keys.items()})
    telemetry = PowerAuthTelemetry(app)
    try:
        yield app
    finally:
        telemetry.close(app)


def request_body(days: int, name: str = APPLICATION, report: str = _REPORT) -> dict[str, Any]:
    """The body that asks for a report on an application's past days."""
    parameters = {"application": name, "days": days}
    return {"requestObject": {"name": report, "parameters": parameters}}


def ask(app: Flask, days: int) -> int:
    """Ask for the users of the past days by the route."""
    return int(report_data(app, _REPORT, days)["users"])


def report_data(app: Flask, report: str, days: int) -> dict[str, Any]:
    """Ask for a report on the past days by the route."""
    body = request_body(days, report=report)
    response = app.test_client().post(PATH, json=body, headers=HEADERS)
    if response.status_code != 200:
        raise RuntimeError(response.get_data(as_text=True))
    data: dict[str, Any] = response.get_json()["responseObject"]["reportData"]
    return data


def database_of(app: Flask) -> Database:
    """The database that the application's reports read."""
    ((_, state),) = app.extensions[EXTENSION_KEY].items()
    database: Database = state.databases[None]
    return database


def run_pass(database: Database, width: int) -> int:
    """Compute a profile of ``width`` days on a guarded connection; the users of all of them."""
    with ReportContext(database, datetime.now(UTC)) as context:
        application = context.application(APPLICATION)
        return read_profile(context, application, width).users_in_past_days(width)
