"""The pages: who may see them, what they are made of."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from flask import Blueprint, Response, send_from_directory

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.blueprint import handle
from flask_powerauth_telemetry.dashboard.addresses import (
    DAYS,
    Links,
    asked,
    asked_applications,
    comparable,
    is_foreign,
    one_application,
    refuse_forged,
    several_applications,
)
from flask_powerauth_telemetry.dashboard.applications import Applications
from flask_powerauth_telemetry.dashboard.figures import (
    APPLICATION_FIGURES,
    COMPARED_FIGURES,
    offered,
)
from flask_powerauth_telemetry.dashboard.figures.active_users import NOW
from flask_powerauth_telemetry.dashboard.figures.base import Figure
from flask_powerauth_telemetry.dashboard.parts import Computing, Part
from flask_powerauth_telemetry.dashboard.responses import (
    StrictResponse,
    csv_response,
    error_page,
    html_response,
    render,
)
from flask_powerauth_telemetry.exceptions import NotFound
from flask_powerauth_telemetry.reports.across_applications import FEWEST, MOST
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.tabular import as_csv

_STATIC = Path(__file__).with_name("static")

COMPUTED_AT_ONCE = 10
"""For how many applications the overview shows numbers; of more it shows the names alone."""


@dataclass(frozen=True)
class Caller:
    """Who looks, and the names of the applications that are theirs to see."""

    principal: Principal
    visible: list[str]


class Pages:
    """The views of one instance."""

    def __init__(self, state: TelemetryState, blueprint: str) -> None:
        self._state = state
        self._applications = Applications(state)
        self._links = Links(blueprint)
        reports = frozenset(report.name for report in state.registry)
        self._figures = offered(APPLICATION_FIGURES, reports)
        self._compared = offered(COMPARED_FIGURES, reports)

    def overview(self, caller: Caller) -> Response:
        """Every application, with its active users now."""
        pieces = [(NOW, asked(self._state, [name])) for name in caller.visible]
        few = len(pieces) <= COMPUTED_AT_ONCE
        parts = self._computing(caller).parts(pieces if few else [])
        return self._page("overview.html", caller, parts=parts)

    def application(self, caller: Caller) -> Response:
        """One application, with all its figures."""
        about = asked(self._state, one_application(caller.visible))
        parts = self._computing(caller).parts([(figure, about) for figure in self._figures])
        return self._page("application.html", caller, parts=parts, asked=about)

    def compare(self, caller: Caller) -> Response:
        """Several applications side by side."""
        if not self._compared:
            raise NotFound("No report of several applications is switched on")
        about = asked(self._state, asked_applications(caller.visible) or caller.visible[:MOST])
        pieces = [(figure, about) for figure in self._compared if comparable(about.applications)]
        parts = self._computing(caller).parts(pieces)
        return self._page(
            "compare.html", caller, parts=parts, asked=about, fewest=FEWEST, most=MOST
        )

    def figure(self, caller: Caller, key: str) -> Response:
        """One figure alone, with the status of its error."""
        part = self._part(caller, key, compute=not (self._figure(key).cost and is_foreign()))
        status = part.error.status if part.error else 200
        return self._page("figure.html", caller, status, part=part)

    def figure_csv(self, caller: Caller, key: str) -> Response:
        """The report data of a figure."""
        part = self._part(caller, key)
        if part.error:
            # Whatever a report raised was logged and signalled as the part was computed.
            return self._page("figure.html", caller, part.error.status, part=part)
        data = [report.data for report in part.reports]
        return csv_response(as_csv(data[0] if len(data) == 1 else {key: data}), _filename(part))

    def _part(self, caller: Caller, key: str, *, compute: bool = True) -> Part:
        figure = self._figure(key)
        named = several_applications if figure in self._compared else one_application
        computing = self._computing(caller)
        make = computing.part if compute else computing.left_out
        return make(figure, asked(self._state, named(caller.visible)))

    def _figure(self, key: str) -> Figure:
        for figure in (*self._figures, *self._compared):
            if figure.key == key:
                return figure
        raise NotFound("There is no such figure, or its report is not switched on")

    def _computing(self, caller: Caller) -> Computing:
        return Computing(self._state, caller.principal)

    def _page(self, template: str, caller: Caller, status: int = 200, **values: Any) -> Response:
        text = render(
            template,
            links=self._links,
            zone=self._state.config.report_timezone,
            database_zone=str(self._state.config.database_timezone),
            principal=caller.principal.name,
            visible=caller.visible,
            comparable=bool(self._compared) and len(caller.visible) >= FEWEST,
            windows=DAYS,
            **values,
        )
        return html_response(text, status)

    def view(self, answer: Callable[..., Response]) -> Callable[..., Response]:
        """A view that asks for credentials before anything else, and answers every error itself."""

        def read(_: TelemetryState, principal: Principal, **path: str) -> Response:
            refuse_forged()
            visible = list(self._applications.names(principal))
            return answer(Caller(principal, visible), **path)

        def view(**path: Any) -> Response:
            failed = partial(error_page, links=self._links)
            return handle(self._state.config.name, read, failed=failed, **path)

        view.__name__ = answer.__name__
        return view


def create_blueprint(state: TelemetryState, name: str) -> Blueprint:
    """The blueprint of this name, with the pages of one instance on one application."""
    blueprint = Blueprint(name, __name__)
    pages = Pages(state, name)
    for path, answer in (
        ("/", pages.overview),
        ("/application", pages.application),
        ("/compare", pages.compare),
        ("/figure/<key>.csv", pages.figure_csv),
        ("/figure/<key>", pages.figure),
    ):
        view = pages.view(answer)
        blueprint.add_url_rule(
            path,
            answer.__name__,
            view,
            provide_automatic_options=False,
            strict_slashes=False,  # no page is a redirect
            merge_slashes=False,
        )
    blueprint.add_url_rule("/static/<filename>", "static", _static, merge_slashes=False)
    return blueprint


def _static(filename: str) -> StrictResponse:
    """A style sheet, script or image, given without credentials."""
    response: Any = send_from_directory(_STATIC, filename)
    strict: Any = StrictResponse.force_type(response)
    return cast(StrictResponse, strict)


def _filename(part: Part) -> str:
    names = "-".join(part.asked.applications[:3])
    name = re.sub(r"[^A-Za-z0-9]+", "-", names).strip("-").lower()[:60]
    return f"{part.figure.key}-{name}-{part.as_of:%Y%m%dT%H%M%SZ}.csv"
