"""The routes: the report, and an answer for everything else below the prefix."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask import Blueprint, Flask, Response, current_app, got_request_exception, request
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.http import http_date
from werkzeug.routing import BaseConverter

from flask_powerauth_telemetry.auth import ApplicationAuth
from flask_powerauth_telemetry.config import TelemetryConfig
from flask_powerauth_telemetry.credentials import Principal
from flask_powerauth_telemetry.database import Database
from flask_powerauth_telemetry.errors import error_headers, telemetry_error
from flask_powerauth_telemetry.exceptions import (
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    ServerFault,
    UnsupportedMediaType,
)
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.schemas import (
    encode,
    error_envelope,
    load_request,
    report_envelope,
)
from flask_powerauth_telemetry.service import Clock, Report, ReportService

EXTENSION_KEY = "powerauth_telemetry"

_REPORT_PATH = "report"
_REPORT_METHODS = ("POST", "OPTIONS")
_EVERY_RESPONSE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_CONVERTER = "powerauth_telemetry_anything"


@dataclass(frozen=True, kw_only=True)
class TelemetryState:
    """What one application keeps of one instance, in ``app.extensions``.

    ``databases`` are those of the binds, the main one under None. ``clock`` gives the time now.
    """

    config: TelemetryConfig
    registry: ReportRegistry
    service: ReportService
    databases: Mapping[str | None, Database]
    auth: ApplicationAuth
    clock: Clock

    def close(self) -> None:
        """Close the pooled connections of the engines that are the extension's own."""
        for database in self.databases.values():
            database.close()


View = Callable[..., Response]


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
            _add_rule(setup, f"{prefix}/{_REPORT_PATH}", _view(name, _report), ["POST"])
            _add_rule(setup, prefix or "/", _view(name, _anything_else))
            _add_rule(setup, f"{prefix}/<{_CONVERTER}:path>", _view(name, _anything_else))

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


def _view(name: str, answer: Callable[..., Response]) -> View:
    """A view that asks for credentials before anything else, and answers every error itself.

    Error handlers would be the wrong place: the host's own ones take precedence over those of a
    blueprint, and one for ``Exception`` here would hide faults from the host's monitoring.
    """

    @wraps(answer)
    def view(**arguments: Any) -> Response:
        try:
            state = _state(current_app, name)
            return answer(state, state.auth.current_principal(), **arguments)
        except Exception as error:
            return _error_response(error)

    view.__name__ = answer.__name__.lstrip("_")
    return view


def _state(app: Flask, name: str) -> TelemetryState:
    try:
        state: TelemetryState = app.extensions[EXTENSION_KEY][name]
    except KeyError:
        raise ServerFault(f"init_app of the instance {name!r} was not called") from None
    return state


def _report(state: TelemetryState, principal: Principal, **_: object) -> Response:
    if not request.is_json:
        raise UnsupportedMediaType("The body must be application/json")
    asked = load_request(_body(state.config.max_content_length))
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


def _anything_else(*_: object, path: str = "", **__: object) -> Response:
    if path != _REPORT_PATH:
        raise NotFound("There is nothing at this path")
    if request.method != "OPTIONS":
        raise MethodNotAllowed(request.method, _REPORT_METHODS)
    return Response(headers={**_EVERY_RESPONSE, "Allow": ", ".join(_REPORT_METHODS)})


def _error_response(error: Exception) -> Response:
    known = telemetry_error(error)
    if isinstance(known, ServerFault):
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        got_request_exception.send(app, _async_wrapper=app.ensure_sync, exception=error)
    return _json_response(error_envelope(known), known.status, error_headers(known))


def _json_response(
    payload: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    response = Response(encode(payload), status, mimetype="application/json")
    response.headers.update({**_EVERY_RESPONSE, **(headers or {})})
    return response
