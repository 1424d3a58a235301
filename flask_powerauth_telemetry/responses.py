"""From a result, or from whatever was raised, to the response; every response has our headers."""

import logging
import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from flask import Response, current_app, got_request_exception

from flask_powerauth_telemetry.auth.basic import CHALLENGE
from flask_powerauth_telemetry.exceptions import (
    DatabaseFault,
    MethodNotAllowed,
    ServerFault,
    TelemetryError,
    Unauthorized,
    Unavailable,
)
from flask_powerauth_telemetry.monitoring.signals import instance_of_request, send
from flask_powerauth_telemetry.schemas import encode, error_envelope
from flask_powerauth_telemetry.text import one_line

logger = logging.getLogger("flask_powerauth_telemetry.errors")

LOG_AGAIN_SECONDS = 10.0
"""How long a database's fault that was logged is only counted when it comes again."""

_CAUSES = 64
_CAUSE_LENGTH = 255
_CAUSES_KEY = "powerauth_telemetry_causes"

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
        _log("A report failed", known, error)
        # Receivers are found by the application itself, not by its proxy, whose method is untyped.
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        send(got_request_exception, app, exception=error)
    elif isinstance(known, Unavailable):
        _log("A report is not available", known)
    return known


def _log(what: str, known: TelemetryError, traceback_of: Exception | None = None) -> None:
    """Log a fault, but one of a database not for each of a crowd of callers."""
    repeats: int | None = 0
    if isinstance(known, DatabaseFault | Unavailable):
        # Numbers are such as ports and process ids.
        message = re.sub(r"\d+", "0", known.message[:_CAUSE_LENGTH])
        logged: LoggedCauses = current_app.extensions.setdefault(_CAUSES_KEY, LoggedCauses())
        repeats = logged.repeats((instance_of_request(), known.database, type(known), message))
        if repeats is None:
            return
    of = f", database {known.database}" if known.database else ""
    more = f" (and {repeats} more like it since it was logged)" if repeats else ""
    logger.error("%s%s: %s%s", what, of, one_line(known.message), more, exc_info=traceback_of)


class LoggedCauses:
    """The causes that were logged a short while ago. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._logged: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def repeats(self, cause: Hashable) -> int | None:
        """How often a cause came since it was logged; None while it is not to be logged again."""
        now = self._clock()
        with self._lock:
            logged_at, count = self._logged.pop(cause, (-math.inf, 0))
            is_due = now - logged_at >= LOG_AGAIN_SECONDS
            self._logged[cause] = (now, 0) if is_due else (logged_at, count + 1)
            if len(self._logged) > _CAUSES:
                self._logged.popitem(last=False)
        return count if is_due else None


def translate(error: Exception) -> TelemetryError:
    """The error of this package that stands for any exception."""
    if isinstance(error, TelemetryError):
        return error
    return ServerFault(f"{type(error).__name__} was raised")
