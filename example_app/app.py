"""The application factory."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask

from example_app import health, start_page
from example_app.active_devices import ActiveDevicesByPlatform
from example_app.made_up.database import database_url, ensure_database
from example_app.made_up.population import APPLICATIONS
from example_app.made_up.recordings import ensure_history
from flask_powerauth_telemetry import PowerAuthTelemetry
from flask_powerauth_telemetry.dashboard import PowerAuthTelemetryDashboard

DASHBOARD_PREFIX = "/telemetry"
USER = "demo"
REPORTS = "POWERAUTH_TELEMETRY_REPORTS"
INSTANCE_PATH = Path(__file__).resolve().with_name("instance")

_DATABASE_FILE = "powerauth.sqlite"
_HISTORY_FILE = "telemetry-history.sqlite"  # where recordings are read when no bind is configured
_DATABASE_URL = "POWERAUTH_TELEMETRY_DATABASE_URL"
_CREDENTIALS = "POWERAUTH_TELEMETRY_CREDENTIALS"
_DATABASE_TIMEZONE = "POWERAUTH_TELEMETRY_DATABASE_TIMEZONE"
LIVE_REPORTS = (
    "USERS_BY_PAST_DAYS",
    "USERS_ACROSS_APPLICATIONS",
    "COMMITTED_USERS_IN_PAST_DAYS",
    "NEW_USERS_IN_PAST_DAYS",
    "SIGNATURES_IN_PAST_DAYS",
    "SIGNATURES_IN_MONTH",
    "USERS_BY_STATUS",
)
"""The further reports that PowerAuth's database can answer."""

_RECORDED_REPORTS = ("USERS_IN_MONTH", "USERS_BY_MONTH", "MAU_HISTORY")


def create_app(
    config: Mapping[str, Any] | None = None,
    *,
    instance_path: Path = INSTANCE_PATH,
    clock: Callable[[], datetime] | None = None,
) -> Flask:
    """The Telemetry API with a report of its own, a page to start at, the dashboard, and probes.

    ``config`` wins over variables of the environment, which start with ``FLASK_``. Without a
    database URL in either, the database in ``instance_path`` (absolute) is read, and made when it
    is missing or ends a day before ``clock`` (aware). So is a history beside it, and further
    reports are on. Raises
    ``ConfigurationError``, for one without application credentials; and ``OSError`` when a database
    can't be made.
    """
    # Where nobody has set up logging yet, as gunicorn has not for what is not its own.
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    app = Flask("example_app", instance_path=str(instance_path), static_folder=None)
    app.config.from_prefixed_env()
    app.config.from_mapping(config or {})
    own_database = None if _has_database(app) else instance_path / _DATABASE_FILE
    if own_database:
        app.config[_DATABASE_URL] = database_url(own_database)
        app.config[_DATABASE_TIMEZONE] = "UTC"
        app.config.setdefault(REPORTS, (*LIVE_REPORTS, *_RECORDED_REPORTS))
    PowerAuthTelemetry(app, providers=[ActiveDevicesByPlatform()], clock=clock)
    PowerAuthTelemetryDashboard(app, url_prefix=DASHBOARD_PREFIX)
    app.register_blueprint(health.create_blueprint(health.Probe(app.config)))
    made_up = APPLICATIONS[0]["name"] if own_database else None
    user = USER if USER in (app.config.get(_CREDENTIALS) or ()) else None
    app.register_blueprint(start_page.create_blueprint(f"{DASHBOARD_PREFIX}/", made_up, user))
    if own_database:
        now = clock() if clock else datetime.now(UTC)
        ensure_database(own_database, now)
        ensure_history(instance_path / _HISTORY_FILE, own_database, now)
    return app


def _has_database(app: Flask) -> bool:
    return any(app.config.get(key) for key in (_DATABASE_URL, f"{_DATABASE_URL}_FILE"))
