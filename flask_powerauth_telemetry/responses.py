"""From a result, or from whatever was raised, to the response; every response has our headers."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from flask import Response, current_app, got_request_exception
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from flask_powerauth_telemetry.auth.basic import CHALLENGE
from flask_powerauth_telemetry.exceptions import (
    InvalidRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    ServerFault,
    TelemetryError,
    Unauthorized,
    Unavailable,
)
from flask_powerauth_telemetry.monitoring.signals import fields_of_request
from flask_powerauth_telemetry.schemas import encode, error_envelope
from flask_powerauth_telemetry.text import one_line

logger = logging.getLogger("flask_powerauth_telemetry.errors")

_EVERY_RESPONSE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_JSON_RESPONSE = [("Content-Type", "application/json"), *_EVERY_RESPONSE.items()]


def json_response(
    payload: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The response that carries ``payload``, an envelope or another JSON object."""
    # All at once, as pairs: setting each on the finished response takes twice as long.
    return Response(encode(payload), status, [*_JSON_RESPONSE, *(headers or {}).items()])


def options_response(methods: Iterable[str]) -> Response:
    """The response to OPTIONS at a path that knows these methods."""
    return Response(headers={**_EVERY_RESPONSE, "Allow": ", ".join(methods)})


def error_response(error: Exception) -> Response:
    """The response to a request that an exception has ended; a fault is logged and signalled."""
    known = log_and_translate(error)
    return json_response(error_envelope(known), known.status, error_headers(known))


def error_headers(error: TelemetryError) -> Mapping[str, str]:
    """The headers that an error's response has besides those of every response."""
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": CHALLENGE}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, Unavailable):
        return {"Retry-After": str(error.retry_after)}
    return {}


def log_and_translate(error: Exception) -> TelemetryError:
    """What a caller is told of any exception; a fault is logged, and sent to Flask's signal."""
    known = translate(error)
    if isinstance(known, ServerFault):
        extra = fields_of_request()
        logger.error("A report failed: %s", one_line(known.message), exc_info=error, extra=extra)
        # Receivers are found by the application itself, not by its proxy, whose method is untyped.
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        got_request_exception.send(app, _async_wrapper=app.ensure_sync, exception=error)
    elif isinstance(known, Unavailable):
        message = one_line(known.message)  # a driver's own may have several
        logger.error("A report is not available: %s", message, extra=fields_of_request())
    return known


def translate(error: Exception) -> TelemetryError:
    """The error of this package that stands for any exception."""
    if isinstance(error, TelemetryError):
        return error
    if isinstance(error, RequestEntityTooLarge):
        return PayloadTooLarge("The body is too large")
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        return InvalidRequest("The request can't be read")
    return ServerFault(f"{type(error).__name__} was raised")
