"""Whether the service lives, and whether it can answer: for a load balancer or orchestrator."""

from dataclasses import replace

from flask import Blueprint, Flask, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy import NullPool, select
from sqlalchemy.exc import SQLAlchemyError

from flask_powerauth_telemetry.config.keys import load_config
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.factory.databases import build_databases


def probed_database(app: Flask) -> Database:
    """The application's database, read-only, on a new connection each time.

    A probe has to find out whether one can connect, and takes no connection from the reports.
    """
    config = load_config(app.config)
    arguments = config.engine_options.get("connect_args", {})
    options = {"connect_args": arguments, "poolclass": NullPool}
    return build_databases(app, replace(config, engine_options=options), engine=None)[None]


def first_application(database: Database) -> str | None:
    """The name of PowerAuth's oldest application, None without any.

    Raises ``SQLAlchemyError`` when the database can't be read.
    """
    table = database.tables.pa_application
    with database.connect() as connection:
        return connection.scalar(select(table.c.name).order_by(table.c.id).limit(1))


def create_blueprint(database: Database) -> Blueprint:
    """The routes ``/healthz``, which reads nothing, and ``/readyz``, which reads ``database``."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz", provide_automatic_options=False)
    def healthz() -> ResponseReturnValue:
        return {"status": "ok"}

    @blueprint.get("/readyz", provide_automatic_options=False)
    def readyz() -> ResponseReturnValue:
        try:
            first_application(database)
        except SQLAlchemyError as error:
            current_app.logger.error("Not ready, the database can't be read: %s", error)
            return {"status": "unavailable"}, 503
        return {"status": "ok"}

    return blueprint
