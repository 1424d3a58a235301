"""The routes: the report, and an answer for everything else below the prefix."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Flask, Response, current_app, got_request_exception, request
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.http import http_date
from werkzeug.routing import BaseConverter

from flask_powerauth_telemetry.auth import ApplicationAuth
from flask_powerauth_telemetry.clocks import Clock
from flask_powerauth_telemetry.config import TelemetryConfig
from flask_powerauth_telemetry.credentials import Principal
from flask_powerauth_telemetry.database import Database
from flask_powerauth_telemetry.errors import error_headers, known_error, telemetry_error
from flask_powerauth_telemetry.exceptions import (
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    ServerFault,
    Unauthorized,
    UnsupportedMediaType,
)
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.schemas import (
    ReportRequest,
    encode,
    error_envelope,
    load_request,
    report_envelope,
)
from flask_powerauth_telemetry.service import Report, ReportService
from flask_powerauth_telemetry.signals import Watch

EXTENSION_KEY = "powerauth_telemetry"

_REPORT_PATH = "report"
_REPORT_METHODS = ("POST", "OPTIONS")
_EVERY_RESPONSE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_JSON_RESPONSE = {"Content-Type": "application/json", **_EVERY_RESPONSE}
_CONVERTER = "powerauth_telemetry_anything"


@dataclass(frozen=True, kw_only=True)
class TelemetryState:
    """What one application keeps of one instance, in ``app.extensions``.

    ``databases`` are those of the binds, the main one under None if there is one. ``clock`` gives
    the time now, aware.
    """

    config: TelemetryConfig
    registry: ReportRegistry
    service: ReportService
    databases: Mapping[str | None, Database]
    auth: ApplicationAuth
    watch: Watch
    clock: Clock

    def close(self) -> None:
        """Close the pooled connections of the engines that are the extension's own."""
        for database in self.databases.values():
            database.close()


View = Callable[..., Response]
Reader = Callable[..., ReportRequest | None]


class _Anything(BaseConverter):
    """Any rest of a path; werkzeug's ``path`` stops at a leading slash and at a line feed."""

    regex = r"(?s:.*)"
    part_isolating = False
    weight = 1000


def create_blueprint(name: str) -> Blueprint:
    """The blueprint of the instance ``name``; its views find their state in the application."""
    blueprint = Blueprint(name, __name__)

    @blueprint.record
    def add_routes(setup: BlueprintSetupState) -> None:
        for prefix in _prefixes(setup, name):
            _add_rule(
                setup, f"{prefix}/{_REPORT_PATH}", _view(name, "report", _read_report), ["POST"]
            )
            _add_rule(setup, prefix or "/", _view(name, "anything_else", _read_anything_else))
            _add_rule(
                setup,
                f"{prefix}/<{_CONVERTER}:path>",
                _view(name, "anything_else", _read_anything_else),
            )

    return blueprint


def _prefixes(setup: BlueprintSetupState, name: str) -> Sequence[str]:
    state = setup.app.extensions.get(EXTENSION_KEY, {}).get(name)
    configured = state.config.url_prefix if state else None
    return configured or [(setup.url_prefix or "").rstrip("/")]


def _add_rule(
    setup: BlueprintSetupState, path: str, view: View, methods: list[str] | None = None
) -> None:
    """Add a rule with what Flask's own way doesn't allow: any method, and no merging of slashes."""
    app = setup.app
    app.url_map.converters.setdefault(_CONVERTER, _Anything)
    endpoint = f"{setup.name_prefix}.{setup.name}.{view.__name__}".lstrip(".")
    rule = app.url_rule_class(
        path,
        endpoint=endpoint,
        methods=methods,
        subdomain=setup.subdomain,
        defaults=setup.url_defaults,
        strict_slashes=True,
        merge_slashes=False,
    )
    app.url_map.add(rule)
    app.view_functions[endpoint] = view


def _view(name: str, endpoint: str, read: Reader) -> View:
    """A view that asks for credentials before anything else, and answers every error itself.

    Error handlers would be the wrong place: the host's own ones take precedence over those of a
    blueprint, and one for ``Exception`` here would hide faults from the host's monitoring.
    """

    def view(**arguments: Any) -> Response:
        try:
            state = _state(current_app, name)
            principal, asked = _let_in(state, read, arguments)
            return _answer(state, principal, asked)
        except Exception as error:
            return _error_response(error)

    view.__name__ = endpoint
    return view


def _let_in(
    state: TelemetryState, read: Reader, arguments: Mapping[str, Any]
) -> tuple[Principal, ReportRequest | None]:
    """Who asks for which report; whoever watches is told of a refusal."""
    principal = None
    try:
        principal = state.auth.current_principal()
        return principal, read(state, **arguments)
    except Exception as error:
        known = known_error(error)
        if isinstance(known, Unauthorized):
            credentials = state.auth.get_auth()
            state.watch.refused(known, user=credentials.username if credentials else None)
        else:
            state.watch.refused(known, principal.name if principal else None)
        raise


def _state(app: Flask, name: str) -> TelemetryState:
    try:
        state: TelemetryState = app.extensions[EXTENSION_KEY][name]
    except KeyError:
        raise ServerFault(f"init_app of the instance {name!r} was not called") from None
    return state


def _read_report(state: TelemetryState, **_: object) -> ReportRequest:
    if not request.is_json:
        raise UnsupportedMediaType("The body must be application/json")
    return load_request(_body(state.config.max_content_length))


def _read_anything_else(_: TelemetryState, path: str = "", **__: object) -> None:
    if path != _REPORT_PATH:
        raise NotFound("There is nothing at this path")
    if request.method != "OPTIONS":
        raise MethodNotAllowed(request.method, _REPORT_METHODS)


def _answer(state: TelemetryState, principal: Principal, asked: ReportRequest | None) -> Response:
    if asked is None:
        return Response(headers={**_EVERY_RESPONSE, "Allow": ", ".join(_REPORT_METHODS)})
    report = state.service.run(asked.name, asked.parameters, principal)
    return _json_response(report_envelope(report.name, report.data), headers=_dates(report))


def _dates(report: Report) -> Mapping[str, str]:
    headers = {"Last-Modified": http_date(report.as_of)}
    if report.kept:
        headers["Age"] = str(int(report.age_seconds))
    return headers


def _body(limit: int) -> bytes:
    # Werkzeug cuts a body of undeclared length at its limit, so one more byte is let through.
    request.max_content_length = limit + 1
    body = request.get_data()
    if len(body) > limit:
        raise PayloadTooLarge("The body is too large")
    return body


def _error_response(error: Exception) -> Response:
    known = telemetry_error(error)
    if isinstance(known, ServerFault):
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        got_request_exception.send(app, _async_wrapper=app.ensure_sync, exception=error)
    return _json_response(error_envelope(known), known.status, error_headers(known))


def _json_response(
    payload: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    # All at once: setting each on the finished response takes twice as long.
    return Response(encode(payload), status, {**_JSON_RESPONSE, **(headers or {})})
