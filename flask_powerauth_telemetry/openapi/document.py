"""The API as an OpenAPI 3.1 document, grown from the registered reports."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from apispec import APISpec

from flask_powerauth_telemetry.auth.basic import CHALLENGE
from flask_powerauth_telemetry.openapi.examples import example_of
from flask_powerauth_telemetry.openapi.schemas import SchemaPlugin
from flask_powerauth_telemetry.registry import RegisteredReport, ReportRegistry
from flask_powerauth_telemetry.schemas import LOCALIZED_STATUSES, report_envelope

Part = dict[str, Any]
Names = Mapping[str, str]

SCHEMAS = "#/components/schemas/"
"""Where schemas of the document are that others refer to."""

_REPORTS, _DESCRIPTION = "reports", "description"
_TAGS = {_REPORTS: "Reports on applications.", _DESCRIPTION: "What the API is able to answer."}
_EVERY_HEADER = ("Cache-Control", "X-Content-Type-Options")
_EVERY_ERROR = (401, 404, 405, 500, 503)
_TEXT: Part = {"type": "string"}
_SECONDS: Part = {"type": "integer", "minimum": 0}


class DocumentedError(NamedTuple):
    """An error of the API: what it is called in the document, when it is answered, its codes."""

    name: str
    description: str
    codes: Sequence[str]
    headers: Sequence[str] = ()


ERRORS: Mapping[int, DocumentedError] = {
    400: DocumentedError(
        "BadRequest",
        "The body is not the JSON that it must be (ERROR_HTTP_REQUEST), the report is unknown, or"
        " its parameters are refused (ERROR_TELEMETRY).",
        ["ERROR_TELEMETRY", "ERROR_HTTP_REQUEST"],
    ),
    401: DocumentedError(
        "Unauthorized",
        "Application credentials are missing or wrong. This is checked before everything else.",
        ["ERROR_UNAUTHORIZED"],
        ["WWW-Authenticate"],
    ),
    404: DocumentedError("NotFound", "There is nothing at this path.", ["ERROR_NOT_FOUND"]),
    405: DocumentedError(
        "MethodNotAllowed", "The path has other methods.", ["ERROR_HTTP_REQUEST"], ["Allow"]
    ),
    413: DocumentedError("PayloadTooLarge", "The body is too long.", ["ERROR_HTTP_REQUEST"]),
    415: DocumentedError(
        "UnsupportedMediaType", "The content type is not JSON.", ["ERROR_HTTP_REQUEST"]
    ),
    500: DocumentedError(
        "Fault", "A fault on the server's side that won't pass by itself.", ["ERROR_GENERIC"]
    ),
    503: DocumentedError(
        "Unavailable",
        "The database is down or slow, or no fresh recording is there. Try again later.",
        ["ERROR_GENERIC"],
        ["Retry-After"],
    ),
}
"""Every error that a route may answer, by its status."""


def _only(text: str) -> Part:
    # As an enum: tools that make clients read a bare const as any value.
    return {"type": "string", "enum": [text]}


_HEADERS: Mapping[str, tuple[Part, str]] = {
    "Cache-Control": (_only("no-store"), "No cache keeps an answer."),
    "X-Content-Type-Options": (_only("nosniff"), "The content type is as told."),
    "WWW-Authenticate": (_only(CHALLENGE), "How to authenticate."),
    "Allow": (_TEXT, "The methods of the path."),
    "Retry-After": (_SECONDS, "Seconds after which to try again."),
    "Last-Modified": (_TEXT, "The instant that the report holds for."),
    "Age": (_SECONDS, "Seconds since that instant, in a report that was computed before."),
}


def openapi_document(registry: ReportRegistry, server: str) -> Part:
    """The document; ``server`` is the URL or the path that the routes are below."""
    spec, plugin = empty_spec(
        info={"description": "Reports on active users, read from PowerAuth's database."},
        servers=[{"url": server}],
        security=[{"basic": []}],
        tags=[{"name": name, "description": told} for name, told in _TAGS.items()],
    )
    spec.components.security_scheme("basic", {"type": "http", "scheme": "basic"})
    names = {report.name: _names(report, plugin) for report in registry}
    schemas = dict(_common_schemas(names))
    for report in registry:
        schemas |= _report_schemas(report, names[report.name], plugin)
    for name, schema in schemas.items():
        spec.components.schema(name, schema)
    for name, (schema, told) in _HEADERS.items():
        header = {"description": told, "required": name != "Age", "schema": schema}
        spec.components.header(name, header)
    for status, error in ERRORS.items():
        spec.components.response(error.name, _error_response(status))
    for path, operations in _paths(*_examples(names, spec.components.schemas)).items():
        spec.path(path, operations=operations)
    document: Part = spec.to_dict()
    return document


def empty_spec(**options: Any) -> tuple[APISpec, SchemaPlugin]:
    """A document without a part, and the plug-in that translates schemas for it."""
    plugin = SchemaPlugin(reserved=_common_schemas({}))
    title = "PowerAuth Telemetry"
    return APISpec(title, _package_version(), "3.1.0", plugins=[plugin], **options), plugin


def _package_version() -> str:
    try:
        return version("flask-powerauth-telemetry")
    except PackageNotFoundError:  # the package was copied, not installed
        return "unknown"


def _owner(report: RegisteredReport) -> str:
    return "".join(word.capitalize() for word in report.name.split("_"))


def _names(report: RegisteredReport, plugin: SchemaPlugin) -> Names:
    parts = ("Request", "Parameters", "Response", "Data")
    return {part: plugin.name(_owner(report), part) for part in parts}


def _report_schemas(report: RegisteredReport, names: Names, plugin: SchemaPlugin) -> Part:
    parameters = plugin.parameters(report.parameters_schema, _owner(report))
    needed = ["parameters"] if parameters.get("required") else []
    asked = _ref(names["Parameters"])
    request = {
        "type": "object",
        "description": report.definition,
        "properties": {
            "name": _only(report.name),
            "parameters": asked if needed else {"anyOf": [asked, {"type": "null"}]},
        },
        "required": ["name", *needed],
    }
    given = {"name": _only(report.name), "reportData": _ref(names["Data"])}
    return {
        names["Request"]: request,
        names["Parameters"]: parameters,
        names["Response"]: {"description": report.definition, **_closed(given)},
        names["Data"]: plugin.report_data(report.data_schema, _owner(report)),
    }


def _common_schemas(names: Mapping[str, Names]) -> Mapping[str, Part]:
    """The schemas around those of the reports; ``names`` are theirs, by report."""
    codes = sorted({code for error in ERRORS.values() for code in error.codes})
    localized = " and ".join(map(str, sorted(LOCALIZED_STATUSES)))
    error = {
        "code": {"type": "string", "enum": codes},
        "message": _TEXT,
        "localizedMessage": _TEXT | {"description": f"With the statuses {localized} only."},
    }
    json_schema = {"type": "object", "description": "A JSON Schema."}
    schemas = {"parameters": json_schema, "reportData": json_schema}
    return {
        "ReportRequest": _object({"requestObject": _ref("ReportRequestObject")}),
        "ReportRequestObject": _one_of(names, "Request"),
        "ReportResponse": _envelope("OK", "ReportResponseObject"),
        "ReportResponseObject": _one_of(names, "Response"),
        "CatalogueResponse": _envelope("OK", "Catalogue"),
        "Catalogue": _closed({"reports": {"type": "array", "items": _ref("CatalogueEntry")}}),
        "CatalogueEntry": _closed({"name": _TEXT, "definition": _TEXT, **schemas}),
        "OpenApiDocument": {"type": "object"},
        "ErrorResponse": _envelope("ERROR", "Error"),
        "Error": _closed(error) | {"required": ["code", "message"]},
    }


def _examples(names: Mapping[str, Names], schemas: Mapping[str, Part]) -> tuple[Part, Part]:
    """Examples of requests and of responses, by report."""
    asked, given = {}, {}
    for report, own in names.items():
        parameters = example_of(schemas[own["Parameters"]], schemas)
        if parameters is not None:
            request = {"requestObject": {"name": report, "parameters": parameters}}
            asked[report] = {"value": request}
        data = example_of(schemas[own["Data"]], schemas, like=parameters)
        if data is not None:
            given[report] = {"value": report_envelope(report, data)}
    return asked, given


def _paths(asked: Part, given: Part) -> Mapping[str, Part]:
    headers = ("Last-Modified", "Age")
    good = _response("The report.", _ref("ReportResponse"), headers, given)
    post = _operation("getReport", _REPORTS, "Ask for a report.", good, _errors(ERRORS))
    post["requestBody"] = {"required": True, "content": _json(_ref("ReportRequest"), asked)}
    catalogue = _response("Every report.", _ref("CatalogueResponse"))
    document = _response("An OpenAPI document.", _ref("OpenApiDocument"))
    return {
        "/report": {"post": post, "options": _options("Report", _REPORTS)},
        "/reports": _readable("Reports", "Which reports there are.", catalogue),
        "/openapi.json": _readable("Document", "This document.", document),
    }


def _readable(name: str, summary: str, good: Part) -> Part:
    """The operations of a path that is only read."""
    errors = {str(status): _without_body(_error_response(status)) for status in _EVERY_ERROR}
    same = "The same without its body."
    return {
        "get": _operation(f"get{name}", _DESCRIPTION, summary, good, _errors(_EVERY_ERROR)),
        "head": _operation(f"head{name}", _DESCRIPTION, same, _without_body(good), errors),
        "options": _options(name, _DESCRIPTION),
    }


def _options(name: str, tag: str) -> Part:
    good = _response("The methods are in Allow.", headers=["Allow"])
    summary = "Which methods there are."
    return _operation(f"options{name}", tag, summary, good, _errors(_EVERY_ERROR))


def _operation(identifier: str, tag: str, summary: str, good: Part, errors: Part) -> Part:
    responses = {"200": good, **errors}
    return {"operationId": identifier, "tags": [tag], "summary": summary, "responses": responses}


def _errors(statuses: Iterable[int]) -> Part:
    return {str(status): ERRORS[status].name for status in statuses}


def _without_body(response: Part) -> Part:
    return {name: part for name, part in response.items() if name != "content"}


def _error_response(status: int) -> Part:
    error = ERRORS[status]
    body = {"code": error.codes[0], "message": error.description}
    if status in LOCALIZED_STATUSES:
        body["localizedMessage"] = error.description
    example = {"value": {"status": "ERROR", "responseObject": body}}
    schema = _ref("ErrorResponse")
    return _response(error.description, schema, error.headers, {error.name: example})


def _response(
    description: str,
    schema: Part | None = None,
    headers: Iterable[str] = (),
    examples: Part | None = None,
) -> Part:
    """A response; ``schema`` is that of its JSON body, None without a body."""
    named = {name: name for name in (*_EVERY_HEADER, *headers)}
    part: Part = {"description": description, "headers": named}
    return part if schema is None else part | {"content": _json(schema, examples)}


def _json(schema: Part, examples: Part | None) -> Part:
    return {"application/json": {"schema": schema} | ({"examples": examples} if examples else {})}


def _ref(name: str) -> Part:
    return {"$ref": f"{SCHEMAS}{name}"}


def _one_of(names: Mapping[str, Names], part: str) -> Part:
    """One of the schemas for a part, told by the name of its report."""
    refs = {report: f"{SCHEMAS}{own[part]}" for report, own in names.items()}
    return {
        "oneOf": [{"$ref": ref} for ref in refs.values()],
        "discriminator": {"propertyName": "name", "mapping": refs},
    }


def _envelope(status: str, name: str) -> Part:
    return _object({"status": _only(status), "responseObject": _ref(name)})


def _object(properties: Part) -> Part:
    """An object that has all of these members."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _closed(properties: Part) -> Part:
    """An object that has all of these members and no others."""
    return _object(properties) | {"additionalProperties": False}
