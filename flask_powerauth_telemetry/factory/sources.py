"""Where the documented reports come from: PowerAuth's tables, or the history."""

from dataclasses import replace
from pathlib import Path

from sqlalchemy import URL

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import SNAPSHOT, Bind
from flask_powerauth_telemetry.history.source import RecordedActivity
from flask_powerauth_telemetry.history.store import HISTORY_BIND, HistoryStore
from flask_powerauth_telemetry.reports.activity import ActivitySource, LiveActivity

HISTORY_FILE = "telemetry-history.sqlite"


def with_history_bind(config: TelemetryConfig, instance_path: str) -> TelemetryConfig:
    """The configuration with a bind for the history: the one configured, or a file of SQLite."""
    path = Path(instance_path, HISTORY_FILE)
    own = Bind(URL.create("sqlite", database=str(path)))
    return replace(config, binds={HISTORY_BIND: own, **config.binds})


def history_store(config: TelemetryConfig) -> HistoryStore:
    """The history of a configuration that has a bind for it."""
    return HistoryStore(config.name, config.binds[HISTORY_BIND].schema)


def activity_source(config: TelemetryConfig) -> ActivitySource:
    """Where the documented reports take activity profiles from."""
    if config.source != SNAPSHOT:
        return LiveActivity()
    return RecordedActivity(
        history_store(config), max_age=config.max_age, serve_stale=config.serve_stale
    )
