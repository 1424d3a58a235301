"""Prometheus metrics of the reports, fed by the signals; needs prometheus-client.

Nothing is queried when they are scraped, and no route is added: the host exposes the registry.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Flask
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from flask_powerauth_telemetry.exceptions import ConfigurationError
from flask_powerauth_telemetry.monitoring.events import Origin, Refusal
from flask_powerauth_telemetry.monitoring.signals import (
    credentials_refused,
    report_failed,
    report_generated,
    request_refused,
)
from flask_powerauth_telemetry.reports.active_users import CurrentMau, UsersInPastDays
from flask_powerauth_telemetry.service import ReportRun
from flask_powerauth_telemetry.state import EXTENSION_KEY, TelemetryState

METRICS_KEY = "powerauth_telemetry_metrics"
"""Where an application keeps its ``TelemetryMetrics``, in ``app.extensions``."""

OTHER = "other"
"""The label of every report that is not registered."""

NONE = "none"
"""The label of a report or a source when a request did not get as far as one."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
"""The bounds of the histogram's buckets."""

WINDOWS = frozenset({1, 7, 30, 90, 365})
"""The windows in days whose users are shown. Of others, callers could make as many as they like."""

_REPORT = ("telemetry", "report")
_USERS = ("telemetry", "application", "days")
_USER_COUNTS = frozenset({CurrentMau.name, UsersInPastDays.name})


class TelemetryMetrics:
    """Counts requests, times reports, and shows the last known active users, in a registry.

    ``registry`` is Prometheus's default one unless another is given. Without ``app``, call
    ``init_app`` later; one object serves several applications whose instances differ in name.
    """

    def __init__(self, app: Flask | None = None, *, registry: CollectorRegistry = REGISTRY) -> None:
        ours: Any = {"namespace": "powerauth_telemetry", "registry": registry}
        self._requests = Counter(
            "requests", "Requests for reports, by outcome.", [*_REPORT, "status", "source"], **ours
        )
        self._kept = Counter(
            "kept_answers", "Reports that were answered from a kept result.", _REPORT, **ours
        )
        self._failures = Counter(
            "failures", "Reports that a fault on this side kept back.", [*_REPORT, "error"], **ours
        )
        self._seconds = Histogram(
            "report_seconds",
            "Seconds until a live report that was not kept was there.",
            _REPORT,
            buckets=SECONDS,
            **ours,
        )
        self._waiting = Gauge(
            "waiting_callers",
            "Callers that waited for a result when a report was last answered.",
            ["telemetry"],
            multiprocess_mode="livesum",
            **ours,
        )
        # Of several processes the one that answered last knows best.
        users = {"labelnames": _USERS, "multiprocess_mode": "mostrecent", **ours}
        self._users = Gauge("active_users", "Last known active users.", **users)
        self._as_of = Gauge(
            "active_users_timestamp_seconds", "What time the active users are of.", **users
        )
        self._with_users: set[tuple[str, str]] = set()
        self._shown: dict[tuple[str, ...], datetime] = {}
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Measure all instances of the extension on an application, from now on.

        Raises ``ConfigurationError`` for an application that is measured already.
        """
        if METRICS_KEY in app.extensions:
            raise ConfigurationError(
                "TelemetryMetrics", "is on this application already", "Make it once"
            )
        app.extensions[METRICS_KEY] = self
        for signal in (report_generated, report_failed):
            signal.connect(self._count_run, sender=app)
        for signal in (credentials_refused, request_refused):
            signal.connect(self._count_refusal, sender=app)

    def _count_run(self, app: Flask, *, run: ReportRun, origin: Origin, **_: Any) -> None:
        report = run.report if run.known else OTHER
        source = run.source or NONE
        self._requests.labels(origin.instance, report, str(run.status), source).inc()
        state: TelemetryState = app.extensions[EXTENSION_KEY][origin.instance]
        self._waiting.labels(origin.instance).set(state.service.waiting)
        if run.status >= 500:
            self._failures.labels(origin.instance, report, run.error).inc()
        if run.kept:
            self._kept.labels(origin.instance, report).inc()
        if run.source == "live" and not run.kept:
            self._seconds.labels(origin.instance, report).observe(run.seconds)
        if run.report in _USER_COUNTS and run.data is not None and run.as_of is not None:
            self._show_users(app, origin.instance, run.data, run.as_of)

    def _show_users(
        self, app: Flask, instance: str, data: Mapping[str, Any], as_of: datetime
    ) -> None:
        state: TelemetryState = app.extensions[EXTENSION_KEY][instance]
        application = (instance, data["application"])
        # Where an unknown one has 0 users, only users prove it: callers must not make series.
        if data["users"] or state.config.strict_application:
            self._with_users.add(application)
        if application not in self._with_users:
            return
        labels = (*application, str(data["days"]))
        shown = self._shown.get(labels)
        if data["days"] not in WINDOWS or (shown is not None and as_of <= shown):
            return  # a kept result may be older than what another process has shown since
        self._shown[labels] = as_of
        self._users.labels(*labels).set(data["users"])
        self._as_of.labels(*labels).set(as_of.timestamp())

    def _count_refusal(self, _app: Flask, *, refusal: Refusal, origin: Origin, **_: Any) -> None:
        self._requests.labels(origin.instance, NONE, str(refusal.status), NONE).inc()
