"""A stranger's providers and application: mypy --strict and pyright accept them, and they run."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self

import pytest
from flask import Flask
from marshmallow import Schema, fields
from sqlalchemy import func, select

from flask_powerauth_telemetry import (
    ActivationStatus,
    Application,
    ApplicationField,
    Computation,
    ConfigurationError,
    CredentialStore,
    DaysField,
    PowerAuthTelemetry,
    ReportContext,
    ReportProvider,
    Result,
    TelemetryError,
    Unavailable,
)
from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.testing import NOW, contract_suite, report_data

RETAIL = {"application": "retail"}
READ_COLUMNS = {
    "pa_application": ("id", "name"),
    "pa_activation": ("application_id", "timestamp_created"),
}


class Parameters(Schema):
    application = ApplicationField(metadata={"description": "Whose activations."})
    days = DaysField(load_default=30, maximum=90)


class NewestData(Schema):
    newest = fields.AwareDateTime(required=True, allow_none=True)


class Newest(ReportProvider):
    """By ``generate``, with the parameters by name."""

    name = "STRANGERS_NEWEST"
    definition = "When the newest activation of the past given number of days was created."
    parameters_schema = Parameters
    data_schema = NewestData()
    tables = READ_COLUMNS
    keep_seconds = 10

    def __init__(self, longest: int = 90) -> None:
        self._longest = longest

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        return cls(longest=30 if config.cache_seconds else 90)

    def generate(self, context: ReportContext, application: str, days: int) -> Result:
        if days > self._longest:
            raise TelemetryError("It is asked for too many days")
        if context.time_limit < 1:
            raise Unavailable("a second is needed", retry_after=60)
        retail: Application = context.application(application)
        column = context.tables.pa_activation.c
        start = context.database_time(context.now - timedelta(days=days))
        statement = select(func.max(column.timestamp_created)).where(
            column.application_id == retail.id, column.timestamp_created >= start
        )
        shown: datetime | None = context.connection.scalar(statement)
        newest = None if shown is None else context.instant(shown)
        return Result({"newest": newest}, as_of=context.now, keep_seconds=5)


class Anything(ReportProvider):
    """By ``generate``, with whatever parameters there are."""

    name = "STRANGERS_ANYTHING"
    definition = "The names of all applications."
    parameters_schema = Schema
    data_schema = Schema.from_dict({"names": fields.List(fields.String(), required=True)})
    tables = ("pa_application",)

    def generate(self, context: ReportContext, **parameters: Any) -> Mapping[str, Any]:
        names = select(context.tables.pa_application.c.name)
        return {"names": sorted(context.connection.scalars(names))}


Counts = dict[int, int]


def count_by_status(application: str, context: ReportContext) -> Counts:
    column = context.tables.pa_activation.c
    statement = (
        select(column.activation_status, func.count())
        .where(column.application_id == context.application(application).id)
        .group_by(column.activation_status)
    )
    return {row[0]: row[1] for row in context.connection.execute(statement)}


class Blocked(ReportProvider):
    """By ``computations`` and ``report_data``."""

    name = "STRANGERS_BLOCKED"
    definition = "Blocked activations of the application."
    parameters_schema = Schema.from_dict({"application": ApplicationField()})
    data_schema = Schema.from_dict({"blocked": fields.Integer(required=True)})
    tables = ("pa_application", "pa_activation")
    pure = True

    def computations(self, application: str) -> Sequence[Computation]:
        return [Computation(("stranger", application), partial(count_by_status, application))]

    def report_data(self, result: Counts, application: str) -> Mapping[str, int]:
        return {"blocked": result.get(ActivationStatus.BLOCKED, 0)}


class OneCredential(CredentialStore):
    def authenticate(self, username: str, password: str) -> str | None:
        return username if (username, password) == ("stranger", "token") else None


def create_app() -> Flask:
    app = Flask(__name__)
    telemetry = PowerAuthTelemetry(providers=[Newest()], credentials=OneCredential())
    telemetry.register(Anything())
    telemetry.register(Blocked())
    telemetry.init_app(app)
    return app


TestNewest = contract_suite(Newest(), parameters={"days": 90})
TestAnything = contract_suite(Anything())
TestBlocked = contract_suite(Blocked())


def test_newest_is_told_as_an_instant() -> None:
    rows = [{"application_id": 1, "timestamp_created": NOW - timedelta(hours=6)}]

    data = report_data(Newest(), RETAIL, {"pa_activation": rows})

    assert datetime.fromisoformat(data["newest"]) == NOW - timedelta(hours=6)
    assert report_data(Newest(), RETAIL, {}) == {"newest": None}


def test_blocked_are_counted() -> None:
    rows = [{"application_id": 1, "activation_status": status} for status in (3, 4, 4)]

    assert report_data(Blocked(), RETAIL, {"pa_activation": rows}) == {"blocked": 2}


def test_application_without_a_database_is_refused() -> None:
    with pytest.raises(ConfigurationError) as refused:
        create_app()
    assert refused.value.key == "POWERAUTH_TELEMETRY_DATABASE_URL"
