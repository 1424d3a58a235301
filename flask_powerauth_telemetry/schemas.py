"""The envelopes of requests and responses, and the JSON they travel in.

The only room that knows the envelope's camelCase names.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from flask_powerauth_telemetry.exceptions import InvalidRequest, TelemetryError
from flask_powerauth_telemetry.text import describe, shortened

MAXIMUM_DEPTH = 100
"""The deepest nesting of a request body; Python's own limit differs between versions."""

_MESSAGE_LENGTH = 1_000

LOCALIZED_STATUSES = frozenset({400, 404})
"""Where an error has a ``localizedMessage``, too."""


class ReportRequest(NamedTuple):
    """What a request asks for."""

    name: str
    parameters: Mapping[str, Any]


_NO_OBJECT = {"type": "Must be a JSON object."}


def _not_blank(text: str) -> None:
    if not text.strip():
        raise ValidationError("Must not be blank.")


class _RequestObjectSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    error_messages = _NO_OBJECT
    name = fields.String(required=True, validate=_not_blank)
    parameters = fields.Dict(allow_none=True)


class _RequestSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    error_messages = _NO_OBJECT
    request_object = fields.Nested(_RequestObjectSchema, required=True, data_key="requestObject")


_REQUEST_SCHEMA = _RequestSchema()


def load_request(body: bytes) -> ReportRequest:
    """The request in a body of UTF-8, UTF-16 or UTF-32; raises ``InvalidRequest``."""
    payload = _decode(body)
    # By hand, in a tenth of the time that the schema takes to say what is wrong.
    asked = payload.get("requestObject") if isinstance(payload, dict) else None
    if isinstance(asked, dict):
        name, parameters = asked.get("name"), asked.get("parameters")
        if (
            isinstance(name, str)
            and name.strip()
            and (parameters is None or isinstance(parameters, dict))
        ):
            return ReportRequest(name, parameters or {})
    raise InvalidRequest(f"Invalid request: {describe(_REQUEST_SCHEMA.validate(payload))}")


def report_envelope(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The response that carries a report."""
    return {"status": "OK", "responseObject": {"name": name, "reportData": data}}


def catalogue_envelope(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The response that tells which reports there are."""
    return {"status": "OK", "responseObject": {"reports": reports}}


def error_envelope(error: TelemetryError) -> dict[str, Any]:
    """The response that carries an error.

    PowerAuth's clients read ``localizedMessage`` beside the message of a 400 or 404, and refuse
    unknown fields in a 401.
    """
    message = shortened(error.public_message or error.message, _MESSAGE_LENGTH)
    body = {"code": error.code, "message": message}
    if error.status in LOCALIZED_STATUSES:
        body["localizedMessage"] = message
    return {"status": "ERROR", "responseObject": body}


def encode(payload: Mapping[str, Any]) -> str:
    """JSON in ASCII, whatever encoder the host has; raises ``TypeError`` or ``ValueError``."""
    return _ENCODER.encode(payload)


def _decode(body: bytes) -> Any:
    try:
        text = body.decode(json.detect_encoding(body))
        payload = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is not valid JSON") from error
    brackets = text.count("{") + text.count("[")
    if brackets > MAXIMUM_DEPTH and _deeper_than(payload, MAXIMUM_DEPTH):
        raise InvalidRequest(f"The body is nested deeper than {MAXIMUM_DEPTH} levels")
    return payload


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""Reads JSON alone: Python's own also takes NaN and the infinities."""

_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def _deeper_than(payload: Any, depth: int) -> bool:
    """Whether objects and arrays are nested in more than ``depth`` levels."""
    level = _containers([payload])
    for _ in range(depth):
        level = [
            child
            for item in level
            for child in _containers(item.values() if isinstance(item, dict) else item)
        ]
    return bool(level)


def _containers(items: Iterable[Any]) -> list[Any]:
    return [item for item in items if isinstance(item, dict | list)]
