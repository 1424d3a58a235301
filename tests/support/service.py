"""A Flask application with the extension, and what callers send to it."""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, event
from werkzeug.test import TestResponse

from flask_powerauth_telemetry import PowerAuthTelemetry
from flask_powerauth_telemetry.auth.credentials import digest

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
PATH = "/rest/v3/telemetry/report"
USER = ("billing", "a-token")
CREDENTIALS = {"billing": digest("a-token")}


def url_of(engine: Engine) -> str:
    """The URL by which the extension finds a test's database, with its password."""
    return engine.url.render_as_string(hide_password=False)


def create_app(
    engine: Engine | None = None,
    *,
    clock: Callable[[], datetime] = lambda: NOW,
    arguments: Mapping[str, Any] | None = None,
    **keys: Any,
) -> Flask:
    """An application on a test's database; ``keys`` are the extension's without their prefix."""
    app = Flask("host")
    app.testing = True
    settings: dict[str, object] = {"CREDENTIALS": CREDENTIALS}
    if engine is not None:
        settings["DATABASE_URL"] = url_of(engine)
    settings |= keys
    app.config.update({f"POWERAUTH_TELEMETRY_{key}": value for key, value in settings.items()})
    PowerAuthTelemetry(app, clock=clock, **(arguments or {}))
    return app


def ask(
    client: FlaskClient,
    name: object = "CURRENT_MAU",
    parameters: object = None,
    *,
    user: tuple[str, str] = USER,
    path: str = PATH,
) -> TestResponse:
    """Ask for a report."""
    body = {"requestObject": {"name": name, "parameters": parameters}}
    return client.post(path, json=body, auth=user)


def users_of(client: FlaskClient, application: str, days: int) -> int:
    """The number that USERS_IN_PAST_DAYS answers."""
    response = ask(client, "USERS_IN_PAST_DAYS", {"application": application, "days": days})
    assert response.status_code == 200, response.get_data(as_text=True)
    users = response.get_json()["responseObject"]["reportData"]["users"]
    assert isinstance(users, int)
    return users


def basic(text: str) -> str:
    """A header of HTTP Basic for ``user:password``."""
    return "Basic " + base64.b64encode(text.encode()).decode()


def error(code: str, message: str, *, localized: bool = False) -> dict[str, object]:
    """The body of an error."""
    body = {"code": code, "message": message}
    if localized:
        body["localizedMessage"] = message
    return {"status": "ERROR", "responseObject": body}


@contextmanager
def recorded_statements() -> Iterator[list[str]]:
    """Every statement that reaches a database by SQLAlchemy in this block, from any engine."""
    statements: list[str] = []

    def record(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", record)
