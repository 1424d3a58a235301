"""No secret stands in a message, record, response, ``repr`` or frame, whatever goes wrong."""

import logging
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, got_request_exception
from sqlalchemy import Engine, create_engine

from flask_powerauth_telemetry import PowerAuthTelemetry
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.config.mappings import Bind
from flask_powerauth_telemetry.config.values import DatabaseUrl
from flask_powerauth_telemetry.exceptions import ConfigurationError
from flask_powerauth_telemetry.state import EXTENSION_KEY, TelemetryState
from tests.support import powerauth
from tests.support.service import CREDENTIALS, ask, create_app, url_of

SECRET = "a-very-secret-value"
SECRETS = (SECRET, "a-token")
URL = f"postgresql+psycopg://reader:{SECRET}@127.0.0.1:1/powerauth"
PSYCOPG2 = URL.replace("psycopg", "psycopg2")
QUERY = f"postgresql+psycopg://127.0.0.1:1/powerauth?user=reader&password={SECRET}"
BOGUS = {"connect_args": {"password": SECRET, "bogus": 1}}

RUNNING: list[Mapping[str, Any]] = [
    {"DATABASE_URL": URL},
    {"DATABASE_URL": PSYCOPG2},
    {"DATABASE_URL": f"{URL}?bogus=1"},
    {"DATABASE_URL": f"{PSYCOPG2}?bogus=1"},
    {"DATABASE_URL": f"{PSYCOPG2}?options=%00"},
    {"DATABASE_URL": "sqlite:///file:x?uri=true", "ENGINE_OPTIONS": BOGUS},
    {"DATABASE_URL": QUERY},
    {"DATABASE_URL": f"{QUERY}&bogus=1"},
    {"DATABASE_URL": QUERY, "ENGINE_OPTIONS": {"connect_args": {"bogus": 1}}},
    {"DATABASE_URL": "postgresql+psycopg://127.0.0.1:1/db", "ENGINE_OPTIONS": BOGUS},
    {"DATABASE_URL": URL, "CREDENTIALS": "pa_integration"},
    {"DATABASE_URL": f"{URL}?bogus=1", "CREDENTIALS": "pa_integration"},
    {"BINDS": {"history": f"{URL}?bogus=1"}, "SOURCE": "snapshot", "HISTORY_KEY": SECRET * 2},
    {"BINDS": {"history": {"url": QUERY, "options": BOGUS}}, "SOURCE": "snapshot"},
]
STOPPED: list[Mapping[str, Any]] = [
    {"DATABASE_URL": URL.replace("postgresql+psycopg", "postgres")},
    {"DATABASE_URL": URL.replace("postgresql+psycopg", "mystery")},
    {"DATABASE_URL": URL.replace("psycopg", "asyncpg")},
    {"DATABASE_URL": URL.replace("reader:", "reader:x@")},
    {"DATABASE_URL": URL.replace(":1/", ":port/")},
    {"DATABASE_URL": URL.partition("//")[2]},
    {"DATABASE_URL": f"{QUERY}&password={SECRET}"},
    {"DATABASE_URL": {"password": SECRET}},
    {"ENGINE_OPTIONS": {"bogus": SECRET}},
    {"ENGINE_OPTIONS": SECRET},
    {"CREDENTIALS": {"billing": SECRET}},
    {"CREDENTIALS": {"billing": [digest(SECRET), SECRET]}},
    {"CREDENTIALS": {SECRET: "billing"}},
    {"CREDENTIALS": f"billing:{SECRET}"},
    {"HISTORY_KEY": SECRET},
    {"HISTORY_KEY": [SECRET * 2, 1]},
    {"HISTORY_KEYS": SECRET},
    {"BINDS": URL},
    {"BINDS": {"replica": {"uri": URL}}},
    {"BINDS": {URL: {"timezone": "UTC"}}},
    {"BINDS": {URL: "sqlite://"}},
    {"REPORT_BINDS": {"USERS_BY_STATUS": URL}, "REPORTS": ["USERS_BY_STATUS"]},
    {"SOURCE": URL},
    {"REPORTS": f"{URL},{QUERY}"},
    {"LOAD_ENTRY_POINTS": [URL]},
    {"URL_PREFIX": URL},
    {"DATABASE_TIMEZONE": URL},
    {"REPORT_TIMEZONE": QUERY},
    {"TABLES": {URL: "pa_activation"}},
    {"SCOPES": {URL: ["retail"]}},
    {"SCOPES": {"billing": URL}},
    {"ENGINE_OPTIONS": {URL: True}},
    {"BINDS": {"replica": {URL: "UTC"}}},
    {"BINDS": {"replica": {"url": "sqlite://", "timezone": URL}}},
    {"DATABASE_TIMEZONE": f"{URL.replace(SECRET, f'@/ {SECRET} ')}"},
]


def frames(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    """Every local variable in the frames of an error and of its causes, as a tool shows them."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for name, value in frame.f_locals.items():
            yield f"{frame.f_code.co_name}.{name} = {value!r}"
    yield from frames(error.__cause__, seen)
    yield from frames(error.__context__, seen)


def told(record: logging.LogRecord) -> Iterator[str]:
    yield logging.Formatter().format(record)
    yield from (repr(value) for name, value in vars(record).items() if name != "exc_info")
    if record.exc_info:
        yield from frames(record.exc_info[1], set())


def assert_silent(texts: Iterator[str]) -> None:
    assert [text for text in texts if any(secret in text for secret in SECRETS)] == []


def everything(app: Flask, caplog: pytest.LogCaptureFixture, user: tuple[str, str]) -> int:
    """Asks for a report, and looks for secrets wherever it is told of; gives the status."""
    caplog.set_level(logging.DEBUG, "flask_powerauth_telemetry")
    sent: list[Exception] = []

    def remember(_: Flask, exception: Exception, **__: object) -> None:
        sent.append(exception)

    with got_request_exception.connected_to(remember, app):
        response = ask(app.test_client(), parameters={"application": "retail"}, user=user)
    state: TelemetryState = app.extensions[EXTENSION_KEY]["powerauth_telemetry"]
    assert caplog.records
    assert_silent(text for record in caplog.records for text in told(record))
    assert_silent(text for error in sent for text in frames(error, set()))
    assert_silent(iter([response.get_data(as_text=True), str(response.headers), repr(state)]))
    assert_silent(repr(database.engine()) for database in state.databases.values())
    return response.status_code


@pytest.mark.parametrize("keys", RUNNING)
def test_application_that_can_not_answer(
    keys: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert everything(create_app(**keys), caplog, ("billing", "a-token")) in (500, 503)


@pytest.mark.parametrize("keys", RUNNING)
def test_commands_of_an_application_that_can_not_answer(
    keys: Mapping[str, Any],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # a history is made there
    runner = create_app(**keys, REPORTS=["USERS_IN_MONTH"]).test_cli_runner()
    about = ["--application", "retail"]
    commands = [
        ["check", "--json"],
        ["applications", "--principal", "billing"],
        ["report", "CURRENT_MAU", "-p", "application=retail"],
        ["snapshot", *about],
        ["statement", *about, "--month", "2026-10"],
        ["reconcile", *about, "--server", f"https://u:{SECRET}@127.0.0.1:1/rest?x={SECRET}"],
    ]

    results = [runner.invoke(args=["telemetry", *command]) for command in commands]

    assert {result.exit_code for result in results} <= {1, 2}
    assert_silent(f"{one.output}{one.exception!r}" for one in results)
    assert_silent(text for record in caplog.records for text in told(record))


@pytest.mark.parametrize("keys", STOPPED)
def test_application_that_can_not_start(sqlite: Engine, keys: Mapping[str, Any]) -> None:
    app = Flask("host")
    settings = {"DATABASE_URL": url_of(sqlite), "CREDENTIALS": CREDENTIALS, **keys}
    app.config.update({f"POWERAUTH_TELEMETRY_{key}": value for key, value in settings.items()})
    del settings, keys  # the frames below are not this test's

    with pytest.raises(ConfigurationError) as stopped:
        PowerAuthTelemetry(app)

    assert_silent(iter([*traceback.format_exception(stopped.value), repr(stopped.value)]))
    assert_silent(frames(stopped.value, set()))


def test_file_that_can_not_be_read(sqlite: Engine, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for content in (f"{{{SECRET}".encode(), b"\xff" + SECRET.encode()):
        file.write_bytes(content)
        for key in ("CREDENTIALS", "DATABASE_URL", "HISTORY_KEY", "BINDS"):
            app = Flask("host")
            app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(sqlite)
            app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
            app.config[f"POWERAUTH_TELEMETRY_{key}"] = None
            app.config[f"POWERAUTH_TELEMETRY_{key}_FILE"] = str(file)
            with pytest.raises(ConfigurationError) as stopped:
                PowerAuthTelemetry(app)
            assert_silent(iter(traceback.format_exception(stopped.value)))


@pytest.mark.parametrize("other", ["5", "X'ff'", "NULL", "''"])
def test_integration_with_a_secret_that_is_no_text(
    sqlite: Engine, caplog: pytest.LogCaptureFixture, other: str
) -> None:
    """It lets nobody in, and keeps nobody out."""
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    with sqlite.begin() as connection:
        connection.exec_driver_sql("DROP TABLE pa_integration")
        connection.exec_driver_sql(
            "CREATE TABLE pa_integration (id, name, client_token, client_secret)"
        )
        connection.exec_driver_sql(
            f"INSERT INTO pa_integration VALUES ('1', 'billing', 'token-1', '{SECRET}'),"
            f" ('2', 'other', 'token-2', {other})"
        )
    app = create_app(sqlite, CREDENTIALS="pa_integration")

    assert everything(app, caplog, ("token-1", SECRET)) == 200
    assert everything(app, caplog, ("token-2", "5")) == 401


def test_host_engine_that_can_not_connect(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(arguments={"engine": create_engine(f"{URL}?bogus=1")})

    assert everything(app, caplog, ("billing", "a-token")) == 500


def test_password_in_the_query_is_that_of_the_url() -> None:
    url = DatabaseUrl().deserialize(f"{QUERY}&sslmode=require")

    assert (url.username, url.password, dict(url.query)) == (
        "reader",
        SECRET,
        {"sslmode": "require"},
    )
    assert SECRET not in repr(Bind(url))
