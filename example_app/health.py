"""Whether the service lives, and whether it can answer: for a load balancer or orchestrator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy import URL, Engine, NullPool, column, create_engine, make_url, select, table
from sqlalchemy.exc import SQLAlchemyError

_SECONDS = 3
_CONNECT_TIMEOUTS = {
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "oracledb": "tcp_connect_timeout",
    "pyodbc": "timeout",
}
"""What each driver calls the time in seconds that connecting may take."""


class Probe:
    """Reads a row of the database that the extension is configured with, on a new connection.

    A probe has to find out whether one can connect, and takes no connection from the reports.
    ``config`` is the application's, which the extension has checked before.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        options = config.get("POWERAUTH_TELEMETRY_ENGINE_OPTIONS") or {}
        views = config.get("POWERAUTH_TELEMETRY_TABLES") or {}
        schema, _, name = views.get("pa_application", "pa_application").rpartition(".")
        schema = schema or config.get("POWERAUTH_TELEMETRY_DATABASE_SCHEMA")
        application = table(name, column("id"), column("name"), schema=schema)
        self._first_name = select(application.c.name).order_by(application.c.id).limit(1)
        self._engine = _create_engine(_database_url(config), options.get("connect_args", {}))

    def first_application(self) -> str | None:
        """The name of PowerAuth's oldest application, None without any.

        Raises ``SQLAlchemyError`` when the database can't be read.
        """
        with self._engine.connect() as connection:
            if self._engine.dialect.name == "postgresql":  # a lock would keep the probe waiting
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_SECONDS}s'")
            name: str | None = connection.scalar(self._first_name)
            return name


def create_blueprint(probe: Probe) -> Blueprint:
    """The routes ``/healthz``, which reads nothing, and ``/readyz``, which asks ``probe``."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz", provide_automatic_options=False)
    def healthz() -> ResponseReturnValue:
        return {"status": "ok"}

    @blueprint.get("/readyz", provide_automatic_options=False)
    def readyz() -> ResponseReturnValue:
        try:
            probe.first_application()
        except SQLAlchemyError as error:
            cause = " ".join(str(error).split())  # on one line, as all that is logged
            current_app.logger.error("Not ready, the database can't be read: %s", cause)
            return {"status": "unavailable"}, 503
        return {"status": "ok"}

    return blueprint


def _database_url(config: Mapping[str, Any]) -> URL:
    key = "POWERAUTH_TELEMETRY_DATABASE_URL"
    path = config.get(f"{key}_FILE")
    return make_url(Path(path).read_text(encoding="utf-8").strip() if path else config[key])


def _create_engine(url: URL, connect_args: Mapping[str, Any]) -> Engine:
    if url.get_backend_name() == "sqlite" and url.database and "uri" not in url.query:
        # Read-only, or SQLite would make a file that is missing.
        url = url.set(database=Path(url.database).absolute().as_uri())
        url = url.update_query_dict({"mode": "ro", "uri": "true"})
    limit = _CONNECT_TIMEOUTS.get(url.get_driver_name())
    limits = {limit: _SECONDS} if limit else {}
    return create_engine(url, poolclass=NullPool, connect_args={**limits, **connect_args})
