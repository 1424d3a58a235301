"""The API as an OpenAPI 3.1 document, grown from the registered reports."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask_powerauth_telemetry.exceptions import MissingExtra
from flask_powerauth_telemetry.openapi.json_schemas import (
    data_json_schema,
    parameters_json_schema,
)
from flask_powerauth_telemetry.openapi.listing import definition_of
from flask_powerauth_telemetry.openapi.responses import (
    ERRORS,
    HEADERS,
    Part,
    closed_object,
    envelope,
    error_response,
    json_content,
    response,
)
from flask_powerauth_telemetry.registry import RegisteredReport, ReportRegistry

EXTRA = "openapi"

_VERSION = "3.1.0"
_TITLE = "PowerAuth Telemetry"
_DESCRIPTION = "Reports on the active users of applications, read from PowerAuth's database."
_EVERY_ERROR = (401, 404, 405, 500, 503)
_REPORT_ERRORS = (400, 401, 404, 405, 413, 415, 500, 503)


def openapi_document(registry: ReportRegistry, server: str) -> dict[str, Any]:
    """The document; ``server`` is the URL or the path that the routes are below.

    Raises ``MissingExtra`` without apispec.
    """
    try:
        from apispec import APISpec  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise MissingExtra(EXTRA) from error
    spec = APISpec(
        _TITLE,
        _package_version(),
        _VERSION,
        info={"description": _DESCRIPTION},
        servers=[{"url": server}],
        security=[{"basic": []}],
    )
    spec.components.security_scheme("basic", {"type": "http", "scheme": "basic"})
    for name, header in HEADERS.items():
        spec.components.header(name, header)
    for status, documented in ERRORS.items():
        spec.components.response(documented.name, error_response(status))
    reports = list(registry)
    for report in reports:
        spec.components.schema(_request_name(report), _request(report))
        spec.components.schema(_response_name(report), _response(report))
    for path, operations in _paths(reports).items():
        spec.path(path, operations=operations)
    document: dict[str, Any] = spec.to_dict()
    return document


def _package_version() -> str:
    try:
        return version("flask-powerauth-telemetry")
    except PackageNotFoundError:  # the package was copied, not installed
        return "unknown"


def _paths(reports: Iterable[RegisteredReport]) -> dict[str, dict[str, Part]]:
    catalogue = response("Every report.", envelope("OK", closed_object({"reports": _ENTRIES})))
    document = response("An OpenAPI document.", {"type": "object"})
    return {
        "/report": {"post": _report(list(reports)), "options": _options("Report")},
        "/reports": _readable("Reports", "Which reports there are.", catalogue),
        "/openapi.json": _readable("Document", "This document.", document),
    }


def _report(reports: list[RegisteredReport]) -> Part:
    asked = _one_of([_request_name(report) for report in reports], reports)
    given = _one_of([_response_name(report) for report in reports], reports)
    body = {
        "type": "object",
        "properties": {"requestObject": asked},
        "required": ["requestObject"],
    }
    good = response("The report.", envelope("OK", given), ["Last-Modified", "Age"])
    return {
        "operationId": "getReport",
        "summary": "Ask for a report.",
        "requestBody": {"required": True, "content": json_content(body)},
        "responses": {"200": good, **_errors(_REPORT_ERRORS)},
    }


def _readable(name: str, summary: str, good: Part) -> dict[str, Part]:
    """The operations of a path that is only read."""
    bodiless = [error_response(status) for status in _EVERY_ERROR]
    for part in (head := dict(good), *bodiless):
        part.pop("content")
    heads = {str(status): part for status, part in zip(_EVERY_ERROR, bodiless, strict=True)}
    return {
        "get": {
            "operationId": f"get{name}",
            "summary": summary,
            "responses": {"200": good, **_errors(_EVERY_ERROR)},
        },
        "head": {
            "operationId": f"head{name}",
            "summary": "The same without its body.",
            "responses": {"200": head, **heads},
        },
        "options": _options(name),
    }


def _options(name: str) -> Part:
    return {
        "operationId": f"options{name}",
        "summary": "Which methods there are.",
        "responses": {
            "200": response("The methods are in Allow.", headers=["Allow"]),
            **_errors(_EVERY_ERROR),
        },
    }


def _errors(statuses: Iterable[int]) -> Part:
    return {str(status): ERRORS[status].name for status in statuses}


def _request_name(report: RegisteredReport) -> str:
    # Lower case: no report's own name can be the same.
    return f"{report.name}_request"


def _response_name(report: RegisteredReport) -> str:
    return f"{report.name}_response"


def _one_of(names: list[str], reports: list[RegisteredReport]) -> Part:
    mapping = {
        report.name: f"#/components/schemas/{name}"
        for name, report in zip(names, reports, strict=True)
    }
    return {"oneOf": names, "discriminator": {"propertyName": "name", "mapping": mapping}}


def _request(report: RegisteredReport) -> Part:
    parameters = parameters_json_schema(report.parameters_schema)
    if not (needed := parameters.get("required")):
        parameters = {"anyOf": [parameters, {"type": "null"}]}
    return {
        "type": "object",
        "description": definition_of(report),
        "properties": {"name": {"const": report.name}, "parameters": parameters},
        "required": ["name", *(["parameters"] if needed else [])],
    }


def _response(report: RegisteredReport) -> Part:
    data = data_json_schema(report.data_schema)
    return {
        "description": definition_of(report),
        **closed_object({"name": {"const": report.name}, "reportData": data}),
    }


_ENTRIES: Part = {
    "type": "array",
    "items": closed_object(
        {
            "name": {"type": "string"},
            "definition": {"type": "string"},
            "parameters": {"type": "object", "description": "A JSON Schema."},
            "reportData": {"type": "object", "description": "A JSON Schema."},
        }
    ),
}
