"""Which applications a caller may see, by name: read like a report, and kept for a minute."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import Select, select

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.config.values import HISTORY_BIND, SNAPSHOT
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.providers import ReportContext, ReportProvider
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.service import ReportService
from flask_powerauth_telemetry.state import TelemetryState

_KEEP_SECONDS = 60.0


def names_statement(tables: PowerAuthTables) -> Select[Any]:
    """A row for each application's name."""
    return select(tables.pa_application.c.name)


class _Names(ReportProvider):
    """All names, in no order.

    Those of PowerAuth's database, or those in a ``history``, which is all that a process of the
    recorded source may read; it is refused where it is missing or of another version.
    """

    name = "APPLICATION_NAMES"
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
    return ReportService(registry, state.databases, state.clock, keep_seconds=_KEEP_SECONDS)


def visible_names(service: ReportService, principal: Principal) -> Sequence[str]:
    """Those within the principal's scope, in order; raises what a report raises."""
    names = service.run(_Names.name, {}, principal).data["names"]
    return sorted(name for name in names if principal.may_read(name))
