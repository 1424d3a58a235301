"""Signals of what happens to requests for reports; the sender is the Flask application.

A receiver is called on the thread of the request, before the answer goes out. What it raises is
logged, and changes neither the answer nor what other receivers get.
"""

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from blinker import NamedSignal, Namespace
from flask import Flask, g, has_request_context, request

from flask_powerauth_telemetry.exceptions import TelemetryError, Unauthorized
from flask_powerauth_telemetry.monitoring import access_log
from flask_powerauth_telemetry.monitoring.events import Origin, Refusal
from flask_powerauth_telemetry.service import ReportRun
from flask_powerauth_telemetry.text import shortened

logger = logging.getLogger("flask_powerauth_telemetry.monitoring")

REQUEST_ID_HEADER = "X-Request-ID"

_REQUEST_ID_LENGTH = 128
_USER_LENGTH = 12

_namespace = Namespace()

report_generated = _namespace.signal(
    "report_generated", doc="A report was given: ``run`` (``ReportRun``) and ``origin``."
)
report_failed = _namespace.signal(
    "report_failed", doc="A report was not given: ``run`` (``ReportRun``) and ``origin``."
)
credentials_refused = _namespace.signal(
    "credentials_refused", doc="Credentials were missing or wrong: ``refusal`` and ``origin``."
)
request_refused = _namespace.signal(
    "request_refused", doc="Refused before a report was known: ``refusal`` and ``origin``."
)


class Watch:
    """Logs what happens in one instance on one application, and sends its signals.

    Called with a run, it is the observer of the service. While neither a record nor a receiver
    wants a run, telling of it costs next to nothing.
    """

    def __init__(self, app: Flask, instance: str) -> None:
        self._app = app
        self._instance = instance
        _enable_loggers()

    def __call__(self, run: ReportRun) -> None:
        """Tell of a run."""
        given = run.error is None
        signal, level = (
            (report_generated, logging.INFO) if given else (report_failed, logging.WARNING)
        )
        logged = access_log.logger.isEnabledFor(level)
        if logged or not given or signal.has_receivers_for(self._app):
            origin = self._origin()
            if logged or not given:
                self._log(level, access_log.fields_of_run(signal.name, run, origin))
            self._send(signal, origin, run=run)

    def refused(self, error: TelemetryError, principal: str | None) -> None:
        """Tell of a request that was refused before a report was known; never raises.

        Of a user name that was sent only the start is told: people also type a token into the
        wrong field, and to PowerAuth's own credentials it is half of the secret.
        """
        user = error.user if isinstance(error, Unauthorized) else None
        signal = credentials_refused if isinstance(error, Unauthorized) else request_refused
        refusal = Refusal(
            status=error.status,
            code=error.code,
            error=type(error).__name__,
            principal=principal,
            user=None if user is None else shortened(user, _USER_LENGTH),
        )
        try:
            origin = self._origin()
            self._log(logging.WARNING, access_log.fields_of_refusal(signal.name, refusal, origin))
            self._send(signal, origin, refusal=refusal)
        except Exception:
            logger.exception("A refusal could not be told")

    def _log(self, level: int, fields: access_log.Fields) -> None:
        if has_request_context():
            g.powerauth_telemetry_fields = fields
        access_log.write(level, fields)

    def _origin(self) -> Origin:
        if not has_request_context():
            return Origin(instance=self._instance)
        return Origin(
            instance=self._instance, request_id=_request_id(), address=request.remote_addr
        )

    def _send(self, signal: NamedSignal, origin: Origin, **told: ReportRun | Refusal) -> None:
        # Signal.send would stop at the first receiver that raises.
        for receiver in signal.receivers_for(self._app):
            try:
                self._app.ensure_sync(receiver)(self._app, origin=origin, **told)
            except Exception:
                logger.exception("A receiver of the signal %s failed", signal.name)


def fields_of_request() -> Mapping[str, Any]:
    """What was told of the request under way, as attributes of further log records."""
    return access_log.as_extra(g.get("powerauth_telemetry_fields", {}))


def _enable_loggers() -> None:
    """Undo what ``logging.config.dictConfig`` does by default to loggers that were there before.

    Flask's manual calls it after the imports and before the application is made.
    """
    for name, known in logging.root.manager.loggerDict.items():
        if name.startswith("flask_powerauth_telemetry.") and isinstance(known, logging.Logger):
            known.disabled = False


def _request_id() -> str:
    """The id that the request came with, without what is not printable ASCII, or a new one."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    kept = "".join(character for character in given if " " <= character <= "~").strip()
    return kept[:_REQUEST_ID_LENGTH] or uuid.uuid4().hex
