"""From an exception to the error that the caller is told; one way for all of them."""

import logging
from collections.abc import Mapping

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from flask_powerauth_telemetry.exceptions import (
    InvalidRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    ServerFault,
    TelemetryError,
    Unauthorized,
    Unavailable,
)

logger = logging.getLogger("flask_powerauth_telemetry.errors")

REALM = "PowerAuth Telemetry"
CHALLENGE = f'Basic realm="{REALM}", charset="UTF-8"'


def telemetry_error(error: Exception) -> TelemetryError:
    """The error of this package that stands for any exception; faults of the server are logged."""
    known = known_error(error)
    if isinstance(known, ServerFault):
        logger.error("A report failed: %s", known.message, exc_info=error)
    elif isinstance(known, Unavailable):
        logger.error("A report is not available: %s", known.message)
    return known


def error_headers(error: TelemetryError) -> Mapping[str, str]:
    """The headers that an error's response has besides those of every response."""
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": CHALLENGE}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, Unavailable):
        return {"Retry-After": str(error.retry_after)}
    return {}


def known_error(error: Exception) -> TelemetryError:
    """The error of this package that stands for any exception."""
    if isinstance(error, TelemetryError):
        return error
    if isinstance(error, RequestEntityTooLarge):
        return PayloadTooLarge("The body is too large")
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        return InvalidRequest("The request can't be read")
    return ServerFault(f"{type(error).__name__} was raised")
