"""Parts of a page, and which applications they may be of.

Each figure is computed apart, so that a failure of one leaves the others.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import Select, select

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.config.values import HISTORY_BIND, SNAPSHOT
from flask_powerauth_telemetry.dashboard.figures import FIRST
from flask_powerauth_telemetry.dashboard.figures.base import Asked, Content, Figure, Parameters
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.exceptions import TelemetryError, UnknownApplication
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.providers import RECORDED, ReportContext, ReportProvider
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.responses import log_and_translate
from flask_powerauth_telemetry.service import Report, ReportService
from flask_powerauth_telemetry.state import TelemetryState

PAGE_SECONDS = 5.0
"""After how long a page begins no further figure, but leaves it to a request of its own."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A figure on a page: its content or the error in its place, or neither, for one left out.

    ``from_history`` tells that its report knows recordings alone.
    """

    figure: Figure
    asked: Asked
    definition: str
    from_history: bool
    reports: Sequence[Report] = ()
    content: Content | None = None
    error: TelemetryError | None = None

    @property
    def query(self) -> dict[str, Any]:
        """The figure in the variables of its address."""
        days = self.asked.days if self.figure.by_days else None
        key, names = self.figure.key, self.asked.applications
        return {"key": key, "application": names, "days": days}

    @property
    def as_of(self) -> datetime:
        """The instant that it holds for, that of its newest number; aware, in UTC."""
        return max(report.as_of for report in self.reports)

    @property
    def recorded(self) -> bool:
        """Whether it comes out of the history."""
        return any(report.source == RECORDED for report in self.reports)


Piece = tuple[Figure, Asked]
"""A figure, and what it is asked for."""


@dataclass(frozen=True)
class Caller:
    """Who looks, the names of the applications that are theirs to see, and figures for them."""

    state: TelemetryState
    principal: Principal
    visible: Sequence[str] = ()

    def part(self, figure: Figure, asked: Asked) -> Part:
        """The figure, or its error."""
        part, run = self.left_out(figure, asked), self.state.service.run
        try:
            reports = [run(figure.report, one, self.principal) for one in figure.parameters(asked)]
            content = figure.show(asked, *(report.data for report in reports))
        except Exception as error:
            return replace(part, error=log_and_translate(error))
        return replace(part, reports=reports, content=content)

    def ask(self, report: str, parameters: Parameters) -> Mapping[str, Any]:
        """The data of a report; raises ``TelemetryError`` with what a caller may know."""
        try:
            return self.state.service.run(report, parameters, self.principal).data
        except UnknownApplication:
            raise
        except Exception as error:
            known = log_and_translate(error)
            raise TelemetryError(known.public_message or known.message) from error

    def left_out(self, figure: Figure, asked: Asked) -> Part:
        """The figure, to be asked for apart."""
        provider = self.state.registry.get(figure.report).provider
        window = "1 day" if asked.days == 1 else f"{asked.days} days"
        days = window if figure.by_days else "number of days shown"
        return Part(
            figure=figure,
            asked=asked,
            definition=provider.definition.replace("given number of days", days),
            from_history=provider.bind == HISTORY_BIND,
        )

    def parts(
        self, pieces: Sequence[Piece], clock: Callable[[], float] = time.monotonic
    ) -> Sequence[Part]:
        """The parts of a page; those with a cost, and those that come too late, are left out.

        ``clock`` gives seconds.
        """
        end = clock() + PAGE_SECONDS
        computed: dict[int, Part] = {}
        for place in sorted(range(len(pieces)), key=lambda place: pieces[place][0] not in FIRST):
            figure, _ = pieces[place]
            left_out = bool(figure.cost) or clock() >= end
            make = self.left_out if left_out else self.part
            computed[place] = make(*pieces[place])
        return [computed[place] for place in range(len(pieces))]


def names_statement(tables: PowerAuthTables) -> Select[Any]:
    """A row for each application's name."""
    return select(tables.pa_application.c.name)


class _Names(ReportProvider):
    """All names, in no order: of PowerAuth's database, or of the recorded source's ``history``.

    A history is refused where it is missing or of another version.
    """

    name = "APPLICATION_NAMES"
    keep_seconds = 60
    parameters_schema = Schema
    data_schema = Schema.from_dict({"names": fields.List(fields.String(), required=True)})

    def __init__(self, history: HistoryStore | None) -> None:
        self.bind = None if history is None else HISTORY_BIND
        self._history = history

    def generate(self, context: ReportContext) -> Mapping[str, Any]:
        """The names."""
        if self._history is None:
            return {"names": context.connection.scalars(names_statement(context.tables)).all()}
        self._history.check(context.connection)
        return {"names": self._history.names(context.connection)}


def names_service(state: TelemetryState) -> ReportService:
    """What tells the names; apart, so that its runs are neither logged nor counted as reports."""
    recorded = state.config.source == SNAPSHOT
    registry = ReportRegistry()
    registry.register(_Names(HistoryStore.from_config(state.config) if recorded else None))
    waiting = state.config.max_waiting
    return ReportService(registry, state.databases, state.clock, max_waiting=waiting)


def visible_names(service: ReportService, principal: Principal) -> Sequence[str]:
    """Those within the principal's scope, in order; raises what a report raises."""
    names = service.run(_Names.name, {}, principal).data["names"]
    return sorted(name for name in names if principal.may_read(name))
