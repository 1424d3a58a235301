"""Faults of the database and of providers: what the caller is told, and what the log."""

import logging
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, got_request_exception
from marshmallow import Schema, fields
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from flask_powerauth_telemetry import (
    ApplicationField,
    ReportContext,
    ReportProvider,
    TelemetryError,
    Unavailable,
)
from tests.support import powerauth
from tests.support.service import ask, create_app, error, url_of

FAULT = error("ERROR_GENERIC", "The report could not be generated, see the log of the server")
NOT_NOW = error("ERROR_GENERIC", "The report is not available now, try again later")
RETAIL = {"application": "retail"}


class Faulty(ReportProvider):
    """Does what it is told, with the name of an application at hand."""

    name = "FAULTY"
    definition = "Nothing."
    parameters_schema = Schema.from_dict({"application": ApplicationField()})
    data_schema = Schema.from_dict({"users": fields.Integer(required=True, strict=True)})

    def __init__(self, act: Callable[[ReportContext], Any]) -> None:
        self._act = act

    def generate(self, context: ReportContext, application: str) -> Mapping[str, Any]:
        return self._act(context)  # type: ignore[no-any-return]


def raises(exception: BaseException) -> Callable[[ReportContext], Any]:
    def act(context: ReportContext) -> Any:
        raise exception

    return act


def app_of(engine: Engine, act: Callable[[ReportContext], Any]) -> Flask:
    return create_app(engine, arguments={"providers": [Faulty(act)]})


@pytest.mark.parametrize(
    "act",
    [
        raises(RuntimeError("secret detail")),
        raises(KeyError("secret detail")),
        raises(RecursionError("secret detail")),
        raises(MemoryError("secret detail")),
        lambda _: {"users": "secret detail"},
        lambda _: {"users": None},
        lambda _: {},
        lambda _: None,
        lambda _: ["secret detail"],
        lambda _: object(),
        lambda context: context.database_time(context.now.replace(tzinfo=None)),
        lambda context: context.connection.execute(text("SELECT secret_detail FROM nowhere")),
        lambda context: context.connection.execute(text("SELEC secret_detail")),
        lambda context: context.connection.execute(text("SELECT 1"), {"a": 1}).fetchone().b,
    ],
)
def test_provider_fault_is_logged_and_not_told(
    database: Engine, act: Callable[[ReportContext], Any], caplog: pytest.LogCaptureFixture
) -> None:
    powerauth.create_schema(database)
    app = app_of(database, act)
    sent: list[object] = []

    def receive(sender: Flask, exception: Exception) -> None:
        sent.append((sender, exception))

    with got_request_exception.connected_to(receive, app):
        response = ask(app.test_client(), "FAULTY", RETAIL)

    assert response.status_code == 500
    assert response.get_json() == FAULT
    assert "Retry-After" not in response.headers
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.name.startswith("flask_powerauth_telemetry.")
    assert len(sent) == 1


def test_receiver_of_a_fault_that_raises_changes_nothing(
    sqlite: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(sqlite, raises(RuntimeError("the provider's")))
    app.config["PROPAGATE_EXCEPTIONS"] = False
    told: list[Exception] = []

    def receive(sender: Flask, exception: Exception) -> None:
        told.append(exception)
        raise OSError("the tracker is down")

    def receive_too(sender: Flask, exception: Exception) -> None:
        receive(sender, exception)

    with (
        got_request_exception.connected_to(receive, app),
        got_request_exception.connected_to(receive_too, app),
    ):
        response = ask(app.test_client(), "FAULTY", RETAIL)
        with got_request_exception.muted():
            ask(app.test_client(), "FAULTY", RETAIL)

    assert response.status_code == 500
    assert response.get_json() == FAULT
    assert [str(fault) for fault in told] == ["the provider's"] * 2
    assert caplog.text.count("OSError: the tracker is down") == 2


def test_log_holds_no_value_of_a_statement(
    database: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    powerauth.create_schema(database)
    failing, values = text("SELECT * FROM nowhere WHERE name = :name"), {"name": "a value"}
    provider = Faulty(lambda context: context.connection.execute(failing, values))
    app = create_app(DATABASE_URL=url_of(database), arguments={"providers": [provider]})

    assert ask(app.test_client(), "FAULTY", RETAIL).status_code == 500

    assert "nowhere WHERE name" in caplog.text
    assert "a value" not in caplog.text


def test_telemetry_error_of_a_provider_is_told(database: Engine) -> None:
    app = app_of(database, raises(TelemetryError("There are no devices yet")))

    response = ask(app.test_client(), "FAULTY", RETAIL)

    assert response.status_code == 400
    assert response.get_json() == error(
        "ERROR_TELEMETRY", "There are no devices yet", localized=True
    )


class Bare(TelemetryError):
    """An error that takes nothing on to its base."""

    def __init__(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (TelemetryError(ValueError("no such month")), "no such month"),
        (TelemetryError(7), "7"),
        (TelemetryError(None), "None"),
        (TelemetryError(), ""),
        (Bare(), ""),
        (TelemetryError(10**5_000), "TelemetryError"),
    ],
)
def test_telemetry_error_of_anything_is_told(
    sqlite: Engine, raised: TelemetryError, message: str
) -> None:
    response = ask(app_of(sqlite, raises(raised)).test_client(), "FAULTY", RETAIL)

    assert response.status_code == 400
    assert response.get_json() == error("ERROR_TELEMETRY", message, localized=True)


@pytest.mark.parametrize(("seconds", "told"), [(0.2, "1"), (-5, "0"), (59.9, "60")])
def test_retry_after_is_a_whole_number(sqlite: Engine, seconds: float, told: str) -> None:
    app = app_of(sqlite, raises(Unavailable("soon", retry_after=seconds)))

    assert ask(app.test_client(), "FAULTY", RETAIL).headers["Retry-After"] == told


def test_unavailable_that_takes_nothing_on_to_its_base_is_tried_again_soon(sqlite: Engine) -> None:
    class Busy(Unavailable):
        def __init__(self) -> None:
            """Do nothing."""

    response = ask(app_of(sqlite, raises(Busy())).test_client(), "FAULTY", RETAIL)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert response.get_json() == NOT_NOW


@pytest.mark.parametrize("seconds", [math.nan, math.inf])
def test_retry_after_that_is_no_number_is_a_fault(sqlite: Engine, seconds: float) -> None:
    def act(context: ReportContext) -> Any:
        raise Unavailable("never", retry_after=seconds)

    assert ask(app_of(sqlite, act).test_client(), "FAULTY", RETAIL).status_code == 500


def test_unavailable_of_a_provider_is_not_told(
    sqlite: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(sqlite, raises(Unavailable("the warehouse sleeps", retry_after=7)))

    response = ask(app.test_client(), "FAULTY", RETAIL)

    assert response.status_code == 503
    assert response.get_json() == NOT_NOW
    assert response.headers["Retry-After"] == "7"
    assert "the warehouse sleeps" in caplog.text


def test_missing_table_is_a_fault_that_the_log_names(
    database: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail"])
    with database.begin() as connection:
        connection.exec_driver_sql("DROP TABLE pa_activation")
    client = create_app(database).test_client()

    response = ask(client, "CURRENT_MAU", RETAIL)

    assert (response.status_code, response.get_json()) == (500, FAULT)
    assert "pa_activation" in caplog.text


def test_missing_privilege_is_a_fault_that_the_log_names(
    postgresql: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    powerauth.create_schema(postgresql)
    with postgresql.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE nobody_here LOGIN")
    reader = create_engine(postgresql.url.set(username="nobody_here"), poolclass=NullPool)
    try:
        response = ask(create_app(reader).test_client(), "CURRENT_MAU", RETAIL)
    finally:
        with postgresql.begin() as connection:
            connection.exec_driver_sql("DROP ROLE nobody_here")

    assert (response.status_code, response.get_json()) == (500, FAULT)
    cure = "grant this account SELECT on pa_application, or on the columns that are read"
    assert f"permission denied for table pa_application ({cure})" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://telemetry:pass-word@127.0.0.1:1/powerauth",
        "sqlite:////dev/null/powerauth.sqlite",
    ],
)
def test_database_that_is_down_is_not_available(url: str, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(DATABASE_URL=url)

    response = ask(app.test_client(), "CURRENT_MAU", RETAIL)

    assert (response.status_code, response.get_json()) == (503, NOT_NOW)
    assert int(response.headers["Retry-After"]) > 0
    assert "OperationalError" in caplog.text
    assert "pass-word" not in caplog.text


def test_callable_of_a_host_that_can_not_connect_is_not_available(tmp_path: Path) -> None:
    registry = create_engine(f"sqlite:///{tmp_path}/missing/tenants.sqlite")

    def engine_of_the_tenant() -> Engine:
        with registry.connect() as connection:
            return create_engine(str(connection.scalar(text("SELECT url FROM tenants"))))

    app = create_app(arguments={"engine": engine_of_the_tenant})

    response = ask(app.test_client(), "CURRENT_MAU", RETAIL)

    assert (response.status_code, response.get_json()) == (503, NOT_NOW)


@pytest.mark.parametrize("given", [None, "sqlite:///powerauth.sqlite", NullPool])
def test_callable_of_a_host_that_gives_no_engine_is_told(
    given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(arguments={"engine": lambda: given})

    assert ask(app.test_client(), "CURRENT_MAU", RETAIL).status_code == 500
    assert f"engine=: is a {type(given).__name__}. Give an Engine of SQLAlchemy" in caplog.text


def test_service_heals_when_the_database_comes_back(sqlite: Engine) -> None:
    client = create_app(sqlite).test_client()
    assert ask(client, "CURRENT_MAU", RETAIL).status_code == 503

    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])

    assert ask(client, "CURRENT_MAU", RETAIL).status_code == 200


def test_naive_clock_is_a_fault(sqlite: Engine, caplog: pytest.LogCaptureFixture) -> None:
    powerauth.create_schema(sqlite)
    app = create_app(sqlite, clock=lambda: datetime(2026, 1, 1))

    response = ask(app.test_client(), "CURRENT_MAU", RETAIL)

    assert (response.status_code, response.get_json()) == (500, FAULT)
    assert "the clock gave a naive time" in caplog.text
