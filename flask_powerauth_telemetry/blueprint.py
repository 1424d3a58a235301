"""The blueprint: the report, further routes, and an answer for everything else below the prefix."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from flask import Blueprint, Request, Response, current_app, request
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.exceptions import RequestEntityTooLarge, TooManyRequests
from werkzeug.http import http_date
from werkzeug.routing import BaseConverter
from werkzeug.wsgi import get_input_stream

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.exceptions import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    ServerFault,
    UnsupportedMediaType,
)
from flask_powerauth_telemetry.monitoring.signals import begin
from flask_powerauth_telemetry.responses import (
    error_response,
    json_response,
    options_response,
    translate,
)
from flask_powerauth_telemetry.schemas import (
    ReportRequest,
    error_envelope,
    load_request,
    report_envelope,
)
from flask_powerauth_telemetry.service import Report
from flask_powerauth_telemetry.state import EXTENSION_KEY, Instances, TelemetryState

_CONVERTER = "powerauth_telemetry_anything"

_http_date = lru_cache(http_date)

Read = Callable[..., Any]
Answer = Callable[[TelemetryState, Principal, Any], Response]


def _already_answered(state: TelemetryState, principal: Principal, response: Response) -> Response:
    return response


@dataclass(frozen=True, kw_only=True)
class Route:
    """What is served at a path below the prefix.

    ``path`` is such as ``reports``, ``endpoint`` its name for ``url_for`` inside the blueprint.
    ``methods`` are those that ``Allow`` names, OPTIONS among them, the one to recommend first.
    ``read`` and ``answer`` are as in ``handle``.
    """

    path: str
    endpoint: str
    methods: Sequence[str]
    read: Read
    answer: Answer = _already_answered


def create_blueprint(name: str, further: Iterable[Route] = ()) -> Blueprint:
    """The blueprint of the instance ``name``, with the route of reports and ``further`` ones.

    Its views find their state in the application.
    """
    routes = {route.path: route for route in (REPORT, *further)}
    anything_else = Route(
        path=f"<{_CONVERTER}:path>",
        endpoint="anything_else",
        methods=(),
        read=partial(_read_anything_else, routes),
    )
    blueprint = Blueprint(name, __name__)
    blueprint.register_error_handler(429, _too_many_requests)

    @blueprint.record
    def add_routes(setup: BlueprintSetupState) -> None:
        for prefix in _prefixes(setup, name):
            for route in routes.values():
                _add_rule(setup, f"{prefix}/{route.path}", name, route)
            for path in (prefix or "/", f"{prefix}/{anything_else.path}"):
                _add_rule(setup, path, name, anything_else)

    return blueprint


def handle(
    name: str,
    read: Read,
    answer: Answer = _already_answered,
    failed: Callable[[Exception], Response] = error_response,
    **path: Any,
) -> Response:
    """The response of the instance ``name`` to the request: credentials come before all else.

    ``read`` is called with the state, the principal and the variables of the ``path``. It gives
    the response, or else what ``answer`` makes the response of. Whoever watches is told when
    ``read`` refuses the request; what ``answer`` does tells of itself. ``failed`` makes the
    response of what either raises.

    Errors become responses here. Error handlers would be the wrong place: the host's own ones
    take precedence over those of a blueprint, but for single codes, and one for ``Exception`` on a
    blueprint would hide faults from the host's monitoring.
    """
    state = principal = None
    begin(name)
    try:
        state = _state(name)
        principal = state.auth.current_principal()
        asked = read(state, principal, **path)
    except Exception as error:
        if state is not None:
            state.tell_refusal(translate(error), principal.name if principal else None)
        return failed(error)
    try:
        return answer(state, principal, asked)
    except Exception as error:
        return failed(error)


def _too_many_requests(error: TooManyRequests) -> Response:
    """What a limit of the host's refuses, before a view is called."""
    refused = InvalidRequest("Too many requests, try again later")
    refused.status = 429  # no class has it, because this API itself limits no rate
    again = {name: value for name, value in error.get_headers() if name == "Retry-After"}
    return json_response(error_envelope(refused), refused.status, again)


def _state(name: str) -> TelemetryState:
    try:
        instances: Instances = current_app.extensions[EXTENSION_KEY]
        state = instances[name]
    except KeyError:
        raise ServerFault(f"init_app of the instance {name!r} was not called") from None
    if not instances.told:
        instances.told = True
        if not instances.checked.issuperset(current_app.config):
            instances.tell_unread(current_app.config)
    return state


def _prefixes(setup: BlueprintSetupState, name: str) -> Sequence[str]:
    state = setup.app.extensions.get(EXTENSION_KEY, {}).get(name)
    configured = (state.config.url_prefix if state else None) or ()
    by_init_app = setup.url_prefix in configured[:1]  # a host may register it elsewhere, too
    return configured if by_init_app else [(setup.url_prefix or "").rstrip("/")]


class _Anything(BaseConverter):
    """Any rest of a path; werkzeug's ``path`` stops at a leading slash and at a line feed."""

    regex = r"(?s:.*)"
    part_isolating = False
    weight = 1000


class _EveryMethod(set[str]):
    """Whatever the method is, without naming any.

    None in a rule means the same, but extensions of the host look for methods in every rule.
    """

    def __contains__(self, method: object) -> bool:
        return True


def _add_rule(setup: BlueprintSetupState, path: str, name: str, route: Route) -> None:
    """Add a rule with what Flask's own way doesn't allow: any method, and no merging of slashes.

    A route without methods is for all of them.
    """
    app = setup.app
    app.url_map.converters.setdefault(_CONVERTER, _Anything)
    endpoint = f"{setup.name_prefix}.{setup.name}.{route.endpoint}".lstrip(".")
    rule = app.url_rule_class(
        path,
        endpoint=endpoint,
        methods=[method for method in route.methods if method != "OPTIONS"],
        subdomain=setup.subdomain,
        defaults=setup.url_defaults,
        strict_slashes=path != "/",  # or the script root alone, without a slash, is redirected
        merge_slashes=False,
    )
    rule.methods = rule.methods or _EveryMethod()
    app.url_map.add(rule)
    app.view_functions[endpoint] = _view(name, route)


def _view(name: str, route: Route) -> Callable[..., Response]:
    """A function, because extensions of the host look at the names of views."""

    def view(path: str = "", **_: object) -> Response:  # a host's prefix may hold variables
        return handle(name, route.read, route.answer, path=path)

    view.__name__ = route.endpoint
    return view


def _read_report(state: TelemetryState, _: Principal, path: str) -> ReportRequest:
    # The request itself: its proxy, whose method is untyped, looks for it at each attribute.
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    if not asked.is_json:
        raise UnsupportedMediaType("The body must be application/json")
    limit = state.config.max_content_length
    try:
        # Werkzeug cuts a body of undeclared length at its limit, so one more byte is let through.
        stream = get_input_stream(asked.environ, max_content_length=limit + 1)
        vars(asked).setdefault("stream", stream)  # a host's class may not let its limit be set
        body = asked.get_data()
        if len(body) > limit:
            raise RequestEntityTooLarge
    except RequestEntityTooLarge as error:
        raise PayloadTooLarge("The body is too large") from error
    except Exception as error:  # each server has its own for a broken chunk or a caller that left
        raise InvalidRequest("The body can't be read") from error
    return load_request(body)


def _answer_report(state: TelemetryState, principal: Principal, asked: ReportRequest) -> Response:
    report = state.service.run(asked.name, asked.parameters, principal)
    return json_response(report_envelope(report.name, report.data), headers=_dates(report))


def _dates(report: Report) -> Mapping[str, str]:
    headers = {"Last-Modified": _http_date(report.as_of)}
    if report.kept:
        headers["Age"] = str(int(report.age_seconds))
    return headers


REPORT = Route(
    path="report",
    endpoint="report",
    methods=("POST", "OPTIONS"),
    read=_read_report,
    answer=_answer_report,
)
"""The route of PowerAuth's documentation."""


def _read_anything_else(
    routes: Mapping[str, Route], _: TelemetryState, __: Principal, path: str
) -> Response:
    if path not in routes:
        raise NotFound("There is nothing at this path")
    methods = routes[path].methods
    if request.method != "OPTIONS":
        raise MethodNotAllowed(request.method, methods)
    return options_response(methods)
