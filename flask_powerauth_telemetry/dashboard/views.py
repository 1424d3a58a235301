"""The pages: who may see them, what they are made of."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, send_from_directory

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.blueprint import handle
from flask_powerauth_telemetry.dashboard.addresses import (
    DAYS,
    Forged,
    asked,
    asked_applications,
    asked_month,
    is_foreign,
    refuse_forged,
)
from flask_powerauth_telemetry.dashboard.figures import (
    APPLICATION_FIGURES,
    COMPARED_FIGURES,
    OVERVIEW_FIGURES,
    offered,
    switched_off,
)
from flask_powerauth_telemetry.dashboard.parts import (
    Caller,
    Part,
    Piece,
    names_service,
    visible_names,
)
from flask_powerauth_telemetry.dashboard.responses import (
    OUR_VARIABLES,
    csv_response,
    error_page,
    page,
    strict,
)
from flask_powerauth_telemetry.exceptions import NotFound
from flask_powerauth_telemetry.history import statement
from flask_powerauth_telemetry.history.statement_text import body_of
from flask_powerauth_telemetry.reports.across_applications import FEWEST, MOST
from flask_powerauth_telemetry.reports.calendar import Month
from flask_powerauth_telemetry.responses import error_headers
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.tabular import as_csv

PAGES_KEY = "powerauth_telemetry_dashboard"
"""Where an application's ``extensions`` have the pages of each instance, by its name."""

COMPUTED_AT_ONCE = 10
"""For how many applications the overview shows numbers; of more it shows the names alone."""

_STATIC = Path(__file__).with_name("static")


class Pages:
    """The views of one instance."""

    def __init__(self, state: TelemetryState) -> None:
        self._state = state
        self._names = names_service(state)
        self._reports = frozenset(report.name for report in state.registry)
        self._overview, self._figures, self._compared = (
            offered(figures, self._reports)
            for figures in (OVERVIEW_FIGURES, APPLICATION_FIGURES, COMPARED_FIGURES)
        )
        self._has_statement = not self._reports.isdisjoint(statement.REPORTS)

    def caller(self, principal: Principal) -> Caller:
        """Who looks, and at what; raises what reading the names of applications raises."""
        return Caller(self._state, principal, visible_names(self._names, principal))

    def overview(self, caller: Caller) -> Response:
        """Every application, with its active users now and their trend."""
        names = caller.visible if len(caller.visible) <= COMPUTED_AT_ONCE else []
        pieces = [
            (figure, asked(self._state, [name])) for name in names for figure in self._overview
        ]
        parts, width = caller.parts(pieces), len(self._overview)
        cards = [parts[place : place + width] for place in range(0, len(parts), width)]
        off = switched_off(OVERVIEW_FIGURES, self._reports)
        return self._page("overview.html", caller, cards=cards, off=off)

    def application(self, caller: Caller) -> Response:
        """One application, with all its figures."""
        about = asked(self._state, asked_applications(caller.visible, 1, 1))
        parts = caller.parts([(figure, about) for figure in self._figures])
        off = switched_off(APPLICATION_FIGURES, self._reports)
        return self._page("application.html", caller, parts=parts, asked=about, off=off)

    def statement(self, caller: Caller) -> Response:
        """All that is known of a month of an application, the past one unless another is named."""
        if not self._has_statement:
            raise NotFound("No report of a month is switched on")
        about = asked(self._state, asked_applications(caller.visible, 1, 1))
        month = asked_month() or Month.of(about.today).preceding
        text = None
        if not is_foreign():
            state = self._state
            made = statement.make_statement(
                about.application,
                month,
                caller.ask,
                config=state.config,
                registry=state.registry,
                databases=state.databases,
                clock=state.clock,
            )
            text = body_of(made)
        return self._page("statement.html", caller, asked=about, month=month, statement=text)

    def compare(self, caller: Caller) -> Response:
        """Several applications side by side."""
        if not self._compared:
            raise NotFound("No report of several applications is switched on")
        about = asked(self._state, asked_applications(caller.visible) or caller.visible[:MOST])
        enough = FEWEST <= len(about.applications) <= MOST
        parts = caller.parts([(figure, about) for figure in self._compared if enough])
        by_days = any(figure.by_days for figure in self._compared)
        return self._page("compare.html", caller, parts=parts, asked=about, by_days=by_days)

    def figure(self, caller: Caller, key: str) -> Response:
        """One figure alone, with the status of its error."""
        figure, about = self._asked(caller, key)
        make = caller.left_out if figure.cost and is_foreign() else caller.part
        return self._alone(caller, make(figure, about))

    def figure_csv(self, caller: Caller, key: str) -> Response:
        """The report data of a figure; a file leaves the page of who asks for many of them."""
        if is_foreign():
            raise Forged("A page of another site can't ask for this file")
        part = caller.part(*self._asked(caller, key))
        if part.error:
            # Whatever a report raised was logged and signalled as the part was computed.
            return self._alone(caller, part)
        data = [report.data for report in part.reports]
        return csv_response(as_csv(data[0] if len(data) == 1 else {key: data}), _filename(part))

    def _asked(self, caller: Caller, key: str) -> Piece:
        """The figure of this key, and what the address asks of it."""
        for figure in (*self._figures, *self._overview, *self._compared):
            if figure.key == key:
                bounds = (FEWEST, MOST) if figure in self._compared else (1, 1)
                return figure, asked(self._state, asked_applications(caller.visible, *bounds))
        raise NotFound("There is no such figure, or its report is not switched on")

    def _alone(self, caller: Caller, part: Part) -> Response:
        status = part.error.status if part.error else 200
        response = self._page("figure.html", caller, status, part=part)
        response.headers.update(error_headers(part.error) if part.error else {})
        return response

    def _page(self, template: str, caller: Caller, status: int = 200, **values: Any) -> Response:
        return page(
            template,
            status,
            config=self._state.config,
            zone=self._state.config.report_timezone,
            principal=caller.principal.name,
            visible=caller.visible,
            comparable=bool(self._compared) and len(caller.visible) >= FEWEST,
            has_statement=self._has_statement,
            windows=DAYS,
            fewest=FEWEST,
            most=MOST,
            **values,
        )


def create_blueprint(instance: str) -> Blueprint:
    """The blueprint with the pages of an instance; its views find them in the application."""
    blueprint = Blueprint(f"{instance}_dashboard", __name__)
    for path, answer in (
        ("/", Pages.overview),
        ("/application", Pages.application),
        ("/statement", Pages.statement),
        ("/compare", Pages.compare),
        ("/figure/<key>.csv", Pages.figure_csv),
        ("/figure/<key>", Pages.figure),
    ):
        blueprint.add_url_rule(
            path,
            answer.__name__,
            _view(instance, answer),
            provide_automatic_options=False,
            strict_slashes=False,  # no page is a redirect
            merge_slashes=False,
        )
    # No others, because at the root the host has files of its own below the same path.
    ours = '<any("dashboard.css", "dashboard.js", "icon.svg"):filename>'
    blueprint.add_url_rule(f"/static/{ours}", "static", _static, merge_slashes=False)
    return blueprint


def _view(instance: str, answer: Callable[..., Response]) -> Callable[..., Response]:
    """A view that asks for credentials before anything else, and answers every error itself."""

    def read(_: TelemetryState, principal: Principal, **path: str) -> Response:
        refuse_forged()
        pages: Pages = current_app.extensions[PAGES_KEY][instance]
        ours = {name: value for name, value in path.items() if name in OUR_VARIABLES}
        return answer(pages, pages.caller(principal), **ours)

    def view(**path: Any) -> Response:
        return handle(instance, read, failed=error_page, **path)

    return view


def _static(filename: str, **_: object) -> Response:
    """A style sheet, script or image, given without credentials."""
    return strict(send_from_directory(_STATIC, filename))


def _filename(part: Part) -> str:
    names = "-".join(part.asked.applications[:3])
    name = re.sub(r"[^A-Za-z0-9]+", "-", names).strip("-").lower()[:60]
    return f"{part.figure.key}-{name}-{part.as_of:%Y%m%dT%H%M%SZ}.csv"
