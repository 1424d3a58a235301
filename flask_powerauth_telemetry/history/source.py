"""Activity profiles out of the history, in place of passes over PowerAuth's tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Self

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import Unavailable, UnknownApplication
from flask_powerauth_telemetry.history.recording import Recording
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.history.tables import RETRY_SECONDS, never_recorded
from flask_powerauth_telemetry.providers import ReportContext
from flask_powerauth_telemetry.reports.activity import DEFINITION_VERSION, ActivityProfile

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far the clock of the host that records may be ahead; rows of a later time are left out."""


class RecordedActivity:
    """The newest recorded profile of an application.

    One older than ``max_age`` seconds is refused with ``Unavailable``, unless ``serve_stale``.
    """

    bind: str | None = HISTORY_BIND
    tables: Mapping[str, Sequence[str]] = {}

    def __init__(self, store: HistoryStore, *, max_age: float, serve_stale: bool) -> None:
        self._store = store
        self._max_age = max_age
        self._serve_stale = serve_stale

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """As configured."""
        return cls(
            HistoryStore.from_config(config),
            max_age=config.max_age,
            serve_stale=config.serve_stale,
        )

    def profile(self, context: ReportContext, application: str, days: int) -> ActivityProfile:
        """The profile, which holds every window; the report is dated back to its instant.

        Raises ``UnknownApplication`` for one without a row while others have rows;
        ``Unavailable`` when there are none, or they are too old; ``DatabaseFault`` for a damaged
        row or a store of another version.
        """
        connection = context.connection
        self._store.check(connection)
        until = context.now + CLOCK_TOLERANCE
        recording = self._store.newest(connection, application, DEFINITION_VERSION, until)
        if recording is not None:
            self._date(context, recording.profile.as_of)
            return recording.profile
        other = newest_of_any(self._store, context)
        self._date(context, other.profile.as_of)
        raise UnknownApplication(application)

    def _date(self, context: ReportContext, as_of: datetime) -> None:
        context.recorded_at(as_of)
        if self._serve_stale:
            return
        left = self._max_age - (context.now - as_of).total_seconds()
        if left < 0:
            raise Unavailable(
                f"the newest recording, of {as_of}, is older than {self._max_age:g} s",
                retry_after=RETRY_SECONDS,
            )
        context.keep_at_most(left)


def newest_of_any(store: HistoryStore, context: ReportContext) -> Recording:
    """The newest row of any application; ``Unavailable`` when there is none."""
    until = context.now + CLOCK_TOLERANCE
    found = store.newest_of_any(context.connection, DEFINITION_VERSION, until)
    if found is None:
        raise never_recorded()
    return found
