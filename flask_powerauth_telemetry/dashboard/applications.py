"""Which applications a caller may see, by name: read like a report, and kept for a minute."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from marshmallow import Schema, fields
from sqlalchemy import Select, select

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import HISTORY_BIND, SNAPSHOT
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.providers import ReportContext, ReportProvider
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.service import ReportService
from flask_powerauth_telemetry.state import TelemetryState

_NAME = "APPLICATION_NAMES"
_KEEP_SECONDS = 60.0


class _NamesSchema(Schema):
    names = fields.List(fields.String(), required=True)


def names_statement(tables: PowerAuthTables) -> Select[Any]:
    """A row for each application's name."""
    return select(tables.pa_application.c.name)


class _NamesInDatabase(ReportProvider):
    """The names in PowerAuth's database."""

    name = _NAME
    parameters_schema = Schema
    data_schema = _NamesSchema

    def generate(self, context: ReportContext) -> Mapping[str, Any]:
        """All names, in no order."""
        return {"names": context.connection.scalars(names_statement(context.tables)).all()}


class _RecordedNames(_NamesInDatabase):
    """The names in the history, which is all that a process of the recorded source may read."""

    bind = HISTORY_BIND

    def __init__(self, history: HistoryStore) -> None:
        self._history = history

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """On the store that is configured."""
        return cls(HistoryStore.from_config(config))

    def generate(self, context: ReportContext) -> Mapping[str, Any]:
        """All names, in no order; refuses a store that is missing or of another version."""
        self._history.check(context.connection)
        return {"names": self._history.names(context.connection)}


class Applications:
    """The applications of an instance, from where its documented reports are read."""

    def __init__(self, state: TelemetryState) -> None:
        registry = ReportRegistry()
        recorded = state.config.source == SNAPSHOT
        provider: type[ReportProvider] = _RecordedNames if recorded else _NamesInDatabase
        registry.register(provider.from_config(state.config))
        # A service of its own, so that these runs are neither logged nor counted as reports.
        self._service = ReportService(
            registry, state.databases, state.clock, keep_seconds=_KEEP_SECONDS
        )

    def names(self, principal: Principal) -> Sequence[str]:
        """Those within the principal's scope, in order; raises what a report raises."""
        names = self._service.run(_NAME, {}, principal).data["names"]
        return sorted(name for name in names if principal.may_read(name))
