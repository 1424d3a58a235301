"""The blueprint: the report, further routes, and an answer for everything else below the prefix."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from flask import Blueprint, Response, current_app, request
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.http import http_date

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.errors import known_error
from flask_powerauth_telemetry.exceptions import (
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from flask_powerauth_telemetry.responses import error_response, json_response, options_response
from flask_powerauth_telemetry.routing import ANYTHING_ELSE, Route, View, add_rule
from flask_powerauth_telemetry.schemas import ReportRequest, load_request, report_envelope
from flask_powerauth_telemetry.service import Report
from flask_powerauth_telemetry.state import EXTENSION_KEY, TelemetryState, state_of

Given = TypeVar("Given")
Step = Callable[..., Given]


def create_blueprint(name: str, further: Iterable[Route] = ()) -> Blueprint:
    """The blueprint of the instance ``name``, with the route of reports and ``further`` ones.

    Its views find their state in the application.
    """
    routes = {route.path: route for route in (REPORT, *map(_watched, further))}
    blueprint = Blueprint(name, __name__)

    @blueprint.record
    def add_routes(setup: BlueprintSetupState) -> None:
        anything_else = _view(name, "anything_else", _answer_to_anything_else(routes))
        for prefix in _prefixes(setup, name):
            for route in routes.values():
                view = _view(name, route.endpoint, _answer_of(route))
                methods = [method for method in route.methods if method != "OPTIONS"]
                add_rule(setup, f"{prefix}/{route.path}", view, methods)
            add_rule(setup, prefix or "/", anything_else)
            add_rule(setup, f"{prefix}/{ANYTHING_ELSE}", anything_else)

    return blueprint


def _prefixes(setup: BlueprintSetupState, name: str) -> Sequence[str]:
    state = setup.app.extensions.get(EXTENSION_KEY, {}).get(name)
    configured = state.config.url_prefix if state else None
    return configured or [(setup.url_prefix or "").rstrip("/")]


def _view(name: str, endpoint: str, answer: Step[Response]) -> View:
    """A view that asks for credentials before anything else, and answers every error itself.

    Error handlers would be the wrong place: the host's own ones take precedence over those of a
    blueprint, and one for ``Exception`` here would hide faults from the host's monitoring.
    """

    def view(**arguments: Any) -> Response:
        try:
            state = state_of(current_app, name)
            return answer(state, state.current_principal(), **arguments)
        except Exception as error:
            return error_response(error)

    view.__name__ = endpoint
    return view


def _telling_refusals(step: Step[Given]) -> Step[Given]:
    """A step of an answer, so that whoever watches is told when it refuses the request."""

    def telling(state: TelemetryState, principal: Principal, **arguments: Any) -> Given:
        try:
            return step(state, principal, **arguments)
        except Exception as error:
            state.watch.refused(known_error(error), principal.name)
            raise

    return telling


@_telling_refusals
def _read_report(state: TelemetryState, _: Principal) -> ReportRequest:
    if not request.is_json:
        raise UnsupportedMediaType("The body must be application/json")
    return load_request(_body(state.config.max_content_length))


def _body(limit: int) -> bytes:
    # Werkzeug cuts a body of undeclared length at its limit, so one more byte is let through.
    request.max_content_length = limit + 1
    body = request.get_data()
    if len(body) > limit:
        raise PayloadTooLarge("The body is too large")
    return body


def _answer_report(state: TelemetryState, principal: Principal) -> Response:
    # Only reading tells of refusals: the service itself tells of the run.
    asked = _read_report(state, principal)
    report = state.service.run(asked.name, asked.parameters, principal)
    return json_response(report_envelope(report.name, report.data), headers=_dates(report))


def _dates(report: Report) -> Mapping[str, str]:
    headers = {"Last-Modified": http_date(report.as_of)}
    if report.kept:
        headers["Age"] = str(int(report.age_seconds))
    return headers


REPORT = Route(path="report", endpoint="report", methods=("POST", "OPTIONS"), answer=_answer_report)
"""The route of PowerAuth's documentation."""


def _watched(route: Route) -> Route:
    return replace(route, answer=_telling_refusals(route.answer))


def _answer_of(route: Route) -> Step[Response]:
    def answer(state: TelemetryState, principal: Principal, **_: object) -> Response:
        return route.answer(state, principal)

    return answer


def _answer_to_anything_else(routes: Mapping[str, Route]) -> Step[Response]:
    @_telling_refusals
    def answer(_: TelemetryState, __: Principal, path: str = "", **___: object) -> Response:
        if path not in routes:
            raise NotFound("There is nothing at this path")
        methods = routes[path].methods
        if request.method != "OPTIONS":
            raise MethodNotAllowed(request.method, methods)
        return options_response(methods)

    return answer
