"""The catalogue: every registered report, with its definition and its schemas."""

from collections.abc import Mapping
from typing import Any

from flask_powerauth_telemetry.openapi.json_schemas import (
    DIALECT,
    data_json_schema,
    parameters_json_schema,
)
from flask_powerauth_telemetry.registry import RegisteredReport, ReportRegistry


def list_reports(registry: ReportRegistry) -> list[dict[str, Any]]:
    """The reports in the order in which they were registered, as JSON can carry them.

    ``parameters`` and ``reportData`` of each are JSON Schemas.
    """
    return [
        {
            "name": report.name,
            "definition": definition_of(report),
            "parameters": _whole(parameters_json_schema(report.parameters_schema)),
            "reportData": _whole(data_json_schema(report.data_schema)),
        }
        for report in registry
    ]


def definition_of(report: RegisteredReport) -> str:
    """What the report counts; empty where its author left that out."""
    return str(getattr(report.provider, "definition", ""))


def _whole(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"$schema": DIALECT, **schema}
