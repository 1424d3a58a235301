"""What a stranger gets wrong. Never run: mypy --strict and pyright find an error in each line here.

Both also complain of a comment that hides none, so a wrong use that passes is an error.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from flask import Flask
from marshmallow import Schema

from flask_powerauth_telemetry import (
    ApplicationField,
    Computation,
    DaysField,
    PowerAuthTelemetry,
    ReportContext,
    ReportProvider,
    Result,
    Unavailable,
)
from flask_powerauth_telemetry.testing import contract_suite, report_data


class Wrong(ReportProvider):
    name = 1  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    parameters_schema = Schema.from_dict  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    tables = 5  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    keep_seconds = "an hour"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    pure = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def generate(self, context: ReportContext, application: str) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return 1

    def computations(self, application: str) -> Sequence[str]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return ["key"]

    def report_data(self, result: Any, application: str) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return 1


class Asynchronous(ReportProvider):
    async def generate(self, context: ReportContext) -> Mapping[str, Any]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return {}


def misused(context: ReportContext) -> None:
    context.now = context.now.date()  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    context.instant(date(2026, 11, 25))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    context.instant("2026-11-25 12:00:00")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    context.database_time(context.now.timestamp())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    _ = context.tables.pa_token  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    context.application(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    _ = context.application("retail").secret  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    context.connection = None  # type: ignore[assignment, misc]  # pyright: ignore[reportAttributeAccessIssue]
    _ = context.share  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def made() -> None:
    ApplicationField("retail")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    DaysField(30)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    DaysField(maximum="30")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Computation("key", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Computation("key", lambda: 5)  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType]
    Result({}, as_of="2026-11-25")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Unavailable("later", 60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Result({}).value = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


PowerAuthTelemetry(providers=[Wrong])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
PowerAuthTelemetry(Flask(__name__), [])  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
PowerAuthTelemetry(credentials={"me": "token"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
PowerAuthTelemetry().register(Wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
contract_suite(Wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
report_data(Wrong(), {"application": "retail"})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
report_data(Wrong(), {}, [{"application_id": 1}])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
