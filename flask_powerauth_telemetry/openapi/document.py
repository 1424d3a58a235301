"""The API as an OpenAPI 3.1 document, and the catalogue: both grown from the registered reports."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from apispec import APISpec

from flask_powerauth_telemetry.errors import CHALLENGE
from flask_powerauth_telemetry.openapi.examples import example_of
from flask_powerauth_telemetry.openapi.schemas import SchemaPlugin
from flask_powerauth_telemetry.registry import RegisteredReport, ReportRegistry
from flask_powerauth_telemetry.schemas import LOCALIZED_STATUSES, encode, report_envelope

Part = dict[str, Any]
Examples = Mapping[str, Part]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SCHEMAS = "#/components/schemas/"
_REPORTS, _DESCRIPTION = "reports", "description"
_TAGS = {_REPORTS: "Reports on applications.", _DESCRIPTION: "What the API is able to answer."}
_EVERY_HEADER = ("Cache-Control", "X-Content-Type-Options")
_EVERY_ERROR = (401, 404, 405, 500, 503)
_TEXT: Part = {"type": "string"}
_SECONDS: Part = {"type": "integer", "minimum": 0}


@dataclass(frozen=True)
class DocumentedError:
    """An error of the API: what it is called in the document, when it is answered, its codes."""

    name: str
    description: str
    codes: tuple[str, ...]
    headers: tuple[str, ...] = ()


ERRORS: Mapping[int, DocumentedError] = {
    400: DocumentedError(
        "BadRequest",
        "The body is not the JSON that it must be (ERROR_HTTP_REQUEST), the report is unknown, or"
        " its parameters are refused (ERROR_TELEMETRY).",
        ("ERROR_TELEMETRY", "ERROR_HTTP_REQUEST"),
    ),
    401: DocumentedError(
        "Unauthorized",
        "Application credentials are missing or wrong. This is checked before everything else.",
        ("ERROR_UNAUTHORIZED",),
        ("WWW-Authenticate",),
    ),
    404: DocumentedError("NotFound", "There is nothing at this path.", ("ERROR_NOT_FOUND",)),
    405: DocumentedError(
        "MethodNotAllowed", "The path has other methods.", ("ERROR_HTTP_REQUEST",), ("Allow",)
    ),
    413: DocumentedError("PayloadTooLarge", "The body is too long.", ("ERROR_HTTP_REQUEST",)),
    415: DocumentedError(
        "UnsupportedMediaType", "The content type is not JSON.", ("ERROR_HTTP_REQUEST",)
    ),
    500: DocumentedError(
        "Fault", "A fault on the server's side that won't pass by itself.", ("ERROR_GENERIC",)
    ),
    503: DocumentedError(
        "Unavailable",
        "The database is down or slow, or no fresh recording is there. Try again later.",
        ("ERROR_GENERIC",),
        ("Retry-After",),
    ),
}
"""Every error that a route may answer, by its status."""


def _only(text: str) -> Part:
    # As an enum: tools that make clients read a bare const as any value.
    return {"type": "string", "enum": [text]}


_HEADERS: Mapping[str, Part] = {
    "Cache-Control": {"required": True, "schema": _only("no-store")},
    "X-Content-Type-Options": {"required": True, "schema": _only("nosniff")},
    "WWW-Authenticate": {"required": True, "schema": _only(CHALLENGE)},
    "Allow": {"description": "The methods of the path.", "required": True, "schema": _TEXT},
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "required": True,
        "schema": _SECONDS,
    },
    "Last-Modified": {
        "description": "The instant that the report holds for.",
        "required": True,
        "schema": _TEXT,
    },
    "Age": {
        "description": "Seconds since that instant, in a report that was computed before.",
        "schema": _SECONDS,
    },
}


@dataclass(frozen=True)
class _Named:
    """A report, and the names that its schemas have in the document."""

    report: RegisteredReport
    owner: str
    request: str
    parameters: str
    response: str
    data: str


def openapi_document(registry: ReportRegistry, server: str) -> Part:
    """The document; ``server`` is the URL or the path that the routes are below."""
    spec, plugin = _empty(
        info={"description": "Reports on active users, read from PowerAuth's database."},
        servers=[{"url": server}],
        security=[{"basic": []}],
        tags=[{"name": name, "description": told} for name, told in _TAGS.items()],
    )
    spec.components.security_scheme("basic", {"type": "http", "scheme": "basic"})
    reports = [_named(report, plugin) for report in registry]
    for schemas in (_common_schemas(reports), *(_report_schemas(one, plugin) for one in reports)):
        for name, schema in schemas.items():
            spec.components.schema(name, schema)
    for name, header in _HEADERS.items():
        spec.components.header(name, header)
    for status, error in ERRORS.items():
        spec.components.response(error.name, _error_response(status))
    asked, given = _examples(reports, spec.components.schemas)
    report = {"post": _report(asked, given), "options": _options("Report", _REPORTS)}
    spec.path("/report", operations=report)
    catalogue = _response("Every report.", _ref("CatalogueResponse"))
    spec.path("/reports", operations=_readable("Reports", "Which reports there are.", catalogue))
    described = _response("An OpenAPI document.", _ref("OpenApiDocument"))
    spec.path("/openapi.json", operations=_readable("Document", "This document.", described))
    document: Part = spec.to_dict()
    return document


def list_reports(registry: ReportRegistry) -> list[Part]:
    """The reports in the order in which they were registered, as JSON can carry them.

    ``parameters`` and ``reportData`` of each are JSON Schemas.
    """
    return [_entry(report) for report in registry]


def _entry(report: RegisteredReport) -> Part:
    spec, plugin = _empty()
    return {
        "name": report.name,
        "definition": report.definition,
        "parameters": _alone(plugin.parameters(report.parameters_schema), spec),
        "reportData": _alone(plugin.report_data(report.data_schema), spec),
    }


def _empty(**options: Any) -> tuple[APISpec, SchemaPlugin]:
    plugin = SchemaPlugin(reserved=_common_schemas(()))
    title = "PowerAuth Telemetry"
    return APISpec(title, _package_version(), "3.1.0", plugins=[plugin], **options), plugin


def _package_version() -> str:
    try:
        return version("flask-powerauth-telemetry")
    except PackageNotFoundError:  # the package was copied, not installed
        return "unknown"


def _alone(schema: Part, spec: APISpec) -> Part:
    """A schema outside the document, with those that it refers to inside."""
    inside: Part = {}
    pending = [schema]
    while pending:
        for name in re.findall(rf'"{_SCHEMAS}(\w+)"', encode(pending.pop())):
            if name in spec.components.schemas and name not in inside:
                inside[name] = spec.components.schemas[name]
                pending.append(inside[name])
    whole = {"$schema": DIALECT, **schema} | ({"$defs": inside} if inside else {})
    alone: Part = json.loads(encode(whole).replace(f'"{_SCHEMAS}', '"#/$defs/'))
    return alone


def _named(report: RegisteredReport, plugin: SchemaPlugin) -> _Named:
    owner = "".join(word.capitalize() for word in report.name.split("_"))
    parts = ("Request", "Parameters", "Response", "Data")
    return _Named(report, owner, *(plugin.name(owner, part) for part in parts))


def _report_schemas(named: _Named, plugin: SchemaPlugin) -> Mapping[str, Part]:
    report = named.report
    parameters = plugin.parameters(report.parameters_schema, named.owner)
    needed = ["parameters"] if parameters.get("required") else []
    asked = _ref(named.parameters)
    request = {
        "type": "object",
        "description": report.definition,
        "properties": {
            "name": _only(report.name),
            "parameters": asked if needed else {"anyOf": [asked, {"type": "null"}]},
        },
        "required": ["name", *needed],
    }
    given = {"name": _only(report.name), "reportData": _ref(named.data)}
    return {
        named.request: request,
        named.parameters: parameters,
        named.response: {"description": report.definition, **_closed(given)},
        named.data: plugin.report_data(report.data_schema, named.owner),
    }


def _common_schemas(reports: Iterable[_Named]) -> Mapping[str, Part]:
    """The schemas around those of the ``reports``, by their names."""
    codes = sorted({code for error in ERRORS.values() for code in error.codes})
    localized = " and ".join(map(str, sorted(LOCALIZED_STATUSES)))
    error = {
        "code": {"type": "string", "enum": codes},
        "message": _TEXT,
        "localizedMessage": _TEXT | {"description": f"With the statuses {localized} only."},
    }
    entry = {
        "name": _TEXT,
        "definition": _TEXT,
        "parameters": {"type": "object", "description": "A JSON Schema."},
        "reportData": {"type": "object", "description": "A JSON Schema."},
    }
    return {
        "ReportRequest": {
            "type": "object",
            "properties": {"requestObject": _ref("ReportRequestObject")},
            "required": ["requestObject"],
        },
        "ReportRequestObject": _one_of({one.report.name: one.request for one in reports}),
        "ReportResponse": _envelope("OK", "ReportResponseObject"),
        "ReportResponseObject": _one_of({one.report.name: one.response for one in reports}),
        "CatalogueResponse": _envelope("OK", "Catalogue"),
        "Catalogue": _closed({"reports": {"type": "array", "items": _ref("CatalogueEntry")}}),
        "CatalogueEntry": _closed(entry),
        "OpenApiDocument": {"type": "object"},
        "ErrorResponse": _envelope("ERROR", "Error"),
        "Error": _closed(error) | {"required": ["code", "message"]},
    }


def _examples(reports: Iterable[_Named], schemas: Mapping[str, Part]) -> tuple[Examples, Examples]:
    """Examples of requests and responses, by reports."""
    asked: dict[str, Part] = {}
    given: dict[str, Part] = {}
    for named in reports:
        name = named.report.name
        parameters = example_of(schemas[named.parameters], schemas)
        data = example_of(schemas[named.data], schemas, like=parameters)
        if parameters is not None:
            request = {"requestObject": {"name": name, "parameters": parameters}}
            asked[name] = {"value": request}
        if data is not None:
            given[name] = {"value": report_envelope(name, data)}
    return asked, given


def _report(asked: Examples, given: Examples) -> Part:
    headers = ("Last-Modified", "Age")
    good = _response("The report.", _ref("ReportResponse"), headers, given)
    return {
        "operationId": "getReport",
        "tags": [_REPORTS],
        "summary": "Ask for a report.",
        "requestBody": {"required": True, "content": _json(_ref("ReportRequest"), asked)},
        "responses": {"200": good} | {str(status): told.name for status, told in ERRORS.items()},
    }


def _readable(name: str, summary: str, good: Part) -> Part:
    """The operations of a path that is only read."""
    bodiless = {str(status): _error_response(status) for status in _EVERY_ERROR}
    heads = {status: _without_body(told) for status, told in {"200": good, **bodiless}.items()}
    return {
        "get": {
            "operationId": f"get{name}",
            "tags": [_DESCRIPTION],
            "summary": summary,
            "responses": {"200": good, **_errors()},
        },
        "head": {
            "operationId": f"head{name}",
            "tags": [_DESCRIPTION],
            "summary": "The same without its body.",
            "responses": heads,
        },
        "options": _options(name, _DESCRIPTION),
    }


def _without_body(told: Part) -> Part:
    return {name: part for name, part in told.items() if name != "content"}


def _options(name: str, tag: str) -> Part:
    return {
        "operationId": f"options{name}",
        "tags": [tag],
        "summary": "Which methods there are.",
        "responses": {
            "200": _response("The methods are in Allow.", headers=["Allow"]),
            **_errors(),
        },
    }


def _errors() -> Part:
    return {str(status): ERRORS[status].name for status in _EVERY_ERROR}


def _error_response(status: int) -> Part:
    error = ERRORS[status]
    body = {"code": error.codes[0], "message": error.description}
    if status in LOCALIZED_STATUSES:
        body["localizedMessage"] = error.description
    example = {"value": {"status": "ERROR", "responseObject": body}}
    content = _ref("ErrorResponse"), error.headers, {error.name: example}
    return _response(error.description, *content)


def _response(
    description: str,
    schema: Part | None = None,
    headers: Iterable[str] = (),
    examples: Examples | None = None,
) -> Part:
    """A response; ``schema`` is that of its JSON body, None without a body."""
    part: Part = {
        "description": description,
        "headers": {name: name for name in (*_EVERY_HEADER, *headers)},
    }
    return part | ({} if schema is None else {"content": _json(schema, examples)})


def _json(schema: Part, examples: Examples | None) -> Part:
    return {"application/json": {"schema": schema} | ({"examples": examples} if examples else {})}


def _ref(name: str) -> Part:
    return {"$ref": f"{_SCHEMAS}{name}"}


def _one_of(names: Mapping[str, str]) -> Part:
    """One of the schemas of these names, told by the name of its report."""
    mapping = {report: f"{_SCHEMAS}{name}" for report, name in names.items()}
    return {
        "oneOf": [_ref(name) for name in names.values()],
        "discriminator": {"propertyName": "name", "mapping": mapping},
    }


def _envelope(status: str, name: str) -> Part:
    return {
        "type": "object",
        "properties": {"status": _only(status), "responseObject": _ref(name)},
        "required": ["status", "responseObject"],
    }


def _closed(properties: Mapping[str, Any]) -> Part:
    """An object that has these members and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
