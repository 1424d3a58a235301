"""The responses of every route as OpenAPI has them, apart from what single reports answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask_powerauth_telemetry.auth.basic import CHALLENGE
from flask_powerauth_telemetry.schemas import LOCALIZED_STATUSES

Part = dict[str, Any]

_EVERY_HEADER = ("Cache-Control", "X-Content-Type-Options")


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
        ("ERROR_HTTP_REQUEST", "ERROR_TELEMETRY"),
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

HEADERS: Mapping[str, Part] = {
    "Cache-Control": {"required": True, "schema": {"const": "no-store"}},
    "X-Content-Type-Options": {"required": True, "schema": {"const": "nosniff"}},
    "WWW-Authenticate": {"required": True, "schema": {"const": CHALLENGE}},
    "Allow": {
        "description": "The methods of the path.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "Last-Modified": {
        "description": "The instant that the report holds for.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Age": {
        "description": "Seconds since that instant, in a report that was computed before.",
        "schema": {"type": "integer", "minimum": 0},
    },
}
"""Every header of a response."""


def response(description: str, schema: Any = None, headers: Iterable[str] = ()) -> Part:
    """A response; ``schema`` is that of its JSON body, or the name of one, None without a body."""
    part: Part = {
        "description": description,
        "headers": {name: name for name in (*_EVERY_HEADER, *headers)},
    }
    return part | ({} if schema is None else {"content": json_content(schema)})


def json_content(schema: Any) -> Part:
    """A body of JSON."""
    return {"application/json": {"schema": schema}}


def error_response(status: int) -> Part:
    """The response of an error, with its envelope."""
    error = ERRORS[status]
    texts = ["message", *(["localizedMessage"] if status in LOCALIZED_STATUSES else [])]
    body = {"code": {"enum": list(error.codes)}, **{name: {"type": "string"} for name in texts}}
    return response(
        error.description,
        envelope("ERROR", closed_object(body)),
        error.headers,
    )


def envelope(status: str, response_object: Any) -> Part:
    """The envelope of a response."""
    return {
        "type": "object",
        "properties": {"status": {"const": status}, "responseObject": response_object},
        "required": ["status", "responseObject"],
    }


def closed_object(properties: Mapping[str, Any]) -> Part:
    """An object that has these members and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
