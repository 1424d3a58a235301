"""The answers of our routes: every one has our headers, whatever the host sets."""

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Response, current_app, got_request_exception

from flask_powerauth_telemetry.errors import error_headers, telemetry_error
from flask_powerauth_telemetry.exceptions import ServerFault, TelemetryError
from flask_powerauth_telemetry.schemas import encode, error_envelope

_EVERY_RESPONSE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_JSON_RESPONSE = {"Content-Type": "application/json", **_EVERY_RESPONSE}


def json_response(
    payload: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that carries ``payload``, an envelope or another JSON object."""
    # All at once: setting each on the finished response takes twice as long.
    return Response(encode(payload), status, {**_JSON_RESPONSE, **(headers or {})})


def told_error(error: Exception) -> TelemetryError:
    """What a caller is told of any exception; a fault is logged and signalled."""
    known = telemetry_error(error)
    if isinstance(known, ServerFault):
        # Receivers are found by the application itself, not by its proxy, whose method is untyped.
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        got_request_exception.send(app, _async_wrapper=app.ensure_sync, exception=error)
    return known


def error_response(error: Exception) -> Response:
    """The answer to a request that an exception has ended."""
    known = told_error(error)
    return json_response(error_envelope(known), known.status, error_headers(known))


def options_response(methods: Iterable[str]) -> Response:
    """The answer to OPTIONS at a path that knows these methods."""
    return Response(headers={**_EVERY_RESPONSE, "Allow": ", ".join(methods)})
