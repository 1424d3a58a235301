"""Signals of what happens to requests for reports; the sender is the Flask application.

A receiver is called on the thread of the request, before the answer goes out. What it raises is
logged, and changes neither the answer nor what other receivers get.
"""

import logging
import uuid
from copy import deepcopy
from dataclasses import dataclass

from blinker import NamedSignal, Namespace
from flask import Flask, has_request_context, request

from flask_powerauth_telemetry.exceptions import TelemetryError, Unauthorized
from flask_powerauth_telemetry.monitoring import access_log
from flask_powerauth_telemetry.monitoring.events import Origin, Refusal
from flask_powerauth_telemetry.service import ReportRun, under_way
from flask_powerauth_telemetry.text import shortened

logger = logging.getLogger("flask_powerauth_telemetry.monitoring")

REQUEST_ID_HEADER = "X-Request-ID"

_LOGGERS = (
    "access_log",
    "auth",
    "computation",
    "config",
    "database",
    "errors",
    "monitoring",
    "openapi",
    "service",
    "snapshot",
)
_ENVIRON_KEY = "flask_powerauth_telemetry.told"
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
        _prepare_loggers()

    def __call__(self, run: ReportRun) -> None:
        """Tell of a run."""
        given = run.error is None
        signal, level = (
            (report_generated, logging.INFO) if given else (report_failed, logging.WARNING)
        )
        logged = access_log.logger.isEnabledFor(level)
        if logged or not given or signal.has_receivers_for(self._app):
            origin = _origin(self._instance)
            if logged or not given:
                self._log(level, access_log.fields_of(signal.name, origin, run))
            send(signal, self._app, origin=origin, run=run)

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
            database=error.database,
        )
        try:
            origin = _origin(self._instance)
            self._log(logging.WARNING, access_log.fields_of(signal.name, origin, refusal))
            send(signal, self._app, origin=origin, refusal=refusal)
        except Exception:
            logger.exception("A refusal could not be told")

    def _log(self, level: int, fields: access_log.Fields) -> None:
        if has_request_context():
            begin(self._instance).fields = fields
        access_log.write(level, fields)


def send(signal: NamedSignal, app: Flask, **told: object) -> None:
    """Send a signal of ours or of Flask's; what a receiver raises is logged, and stops nothing."""
    # Signal.send would stop at the first receiver that raises.
    for receiver in () if signal.is_muted else signal.receivers_for(app):
        # The data are those of the answer, also of later ones: a receiver may change its own.
        own = {
            name: one._replace(data=deepcopy(one.data)) if isinstance(one, ReportRun) else one
            for name, one in told.items()
        }
        try:
            app.ensure_sync(receiver)(app, **own)
        except Exception:
            logger.exception("A receiver of the signal %s failed", signal.name)


@dataclass(eq=False)
class _Told:
    """What is known of the request under way, for all of its records."""

    instance: str
    request_id: str | None = None
    fields: access_log.Fields | None = None


def begin(instance: str) -> _Told:
    """Have the records of the request under way tell that an instance answers it."""
    told: _Told = request.environ.setdefault(_ENVIRON_KEY, _Told(instance))
    return told


def instance_of_request() -> str | None:
    """The name of the instance that answers the request under way, None outside of one."""
    told = _told()
    return None if told is None else told.instance


def _told() -> _Told | None:
    told: _Told | None = request.environ.get(_ENVIRON_KEY) if has_request_context() else None
    return told


def _prepare_loggers() -> None:
    """Have our loggers work, and their records tell of the request that they belong to.

    ``logging.config.dictConfig`` disables loggers that were there before, and Flask's manual calls
    it after the imports and before the application is made.
    """
    for name in _LOGGERS:
        known = logging.getLogger(f"flask_powerauth_telemetry.{name}")
        known.disabled = False
        known.addFilter(_complete)


def _complete(record: logging.LogRecord) -> bool:
    """Give a record the attributes that it has not; in a computation, too, those of its request."""
    for name, value in access_log.as_extra(_fields_now()).items():
        if not hasattr(record, name):
            setattr(record, name, value)
    return True


def _fields_now() -> access_log.Fields:
    asked, told = under_way.get(), _told()
    if told is None:
        return access_log.fields_of(None, None, asked)
    if told.fields is None or asked is not None:
        return access_log.fields_of(None, _origin(told.instance), asked)
    return told.fields


def _origin(instance: str) -> Origin:
    if not has_request_context():
        return Origin(instance=instance)
    told = begin(instance)
    told.request_id = told.request_id or _request_id()
    return Origin(instance=instance, request_id=told.request_id, address=request.remote_addr)


def _request_id() -> str:
    """The id that the request came with, without what is not printable ASCII, or a new one."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    kept = "".join(character for character in given if " " <= character <= "~").strip()
    return kept[:_REQUEST_ID_LENGTH] or uuid.uuid4().hex
