"""Days of verifications out of the history, for a report on what the audit no longer holds."""

from collections.abc import Iterable, Sequence
from typing import Self

from sqlalchemy import Engine

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.history.recorded_day import RecordedDay
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.history.tables import NeverRecorded
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.audit_by_day import DaySpan


class RecordedDays:
    """The days that ``flask telemetry snapshot --signatures`` recorded."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """Those of the store that is configured."""
        return cls(HistoryStore.from_config(config))

    def read(
        self, context: ReportContext, application: Application, spans: Iterable[DaySpan]
    ) -> Sequence[RecordedDay]:
        """Those of these spans that were recorded; none where nothing ever was.

        Raises ``Unavailable`` where the history can't be reached, ``DatabaseFault`` for a damaged
        row or a store of another version.
        """
        if context.history is None or _is_missing(context.history.engine()):
            return ()
        with context.history_connection() as connection:
            try:
                self._store.check(connection)
            except NeverRecorded:
                return ()
            return self._store.days(connection, application, spans)


def _is_missing(engine: Engine) -> bool:
    """Whether the history is a file that nobody has made yet."""
    file = dialect_named(engine.dialect.name).file(engine.url)
    return file is not None and not file.exists()
