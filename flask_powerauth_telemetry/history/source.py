"""What is answered from the history: profiles, and the base of its reports."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import partial
from typing import Self

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import Unavailable
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.history.tables import RETRY_SECONDS
from flask_powerauth_telemetry.providers import (
    RECORDED,
    Computation,
    ReportContext,
    ReportProvider,
    Result,
)
from flask_powerauth_telemetry.reports.activity import ActivitySource

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far the clock of the host that records may be ahead; rows of a later time are left out."""


class RecordedActivity(ActivitySource):
    """The newest recorded profile of an application.

    One older than ``max_age`` seconds is refused with ``Unavailable``, unless ``serve_stale``.
    """

    bind = HISTORY_BIND
    tables: Mapping[str, Sequence[str]] = {}

    def __init__(self, config: TelemetryConfig) -> None:
        self._store = HistoryStore.from_config(config)
        self._max_age = config.max_age
        self._serve_stale = config.serve_stale

    def profiles(self, application: str, days: int) -> Sequence[Computation]:
        """The newest profile, which holds every window."""
        return [Computation(("recorded activity", application), partial(self._read, application))]

    def _read(self, application: str, context: ReportContext) -> Result:
        """The profile with its instant; None for an application without a row, others having some.

        And None for one that a newer complete run does not have. Raises ``Unavailable`` when there
        are no rows, or too old ones.
        """
        connection = context.connection
        self._store.check(connection)
        until = context.now + CLOCK_TOLERANCE
        recording = self._store.newest(connection, application, until)
        if recording is None or self._store.is_gone(connection, recording, until):
            as_of = self._store.newest_of_any(connection, until).profile.as_of
            self._seconds_left(context, as_of)
            return Result(None, as_of, RECORDED, keep_seconds=0)
        as_of = recording.profile.as_of
        return Result(recording.profile, as_of, RECORDED, self._seconds_left(context, as_of))

    def _seconds_left(self, context: ReportContext, as_of: datetime) -> float:
        """How long a recording may be served; raises ``Unavailable`` when it is too old."""
        if self._serve_stale:
            return math.inf
        left = self._max_age - (context.now - as_of).total_seconds()
        if left < 0:
            raise Unavailable(
                f"the newest recording, of {as_of}, is older than {self._max_age:g} s",
                retry_after=RETRY_SECONDS,
            )
        return left


class RecordedReport(ReportProvider):
    """A report out of the ``history``, whose days and months are those of ``timezone``."""

    bind = HISTORY_BIND

    def __init__(self, history: HistoryStore, timezone: tzinfo) -> None:
        self._history = history
        self._timezone = timezone

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """On the store and in the zone that are configured."""
        return cls(HistoryStore.from_config(config), config.report_timezone)
