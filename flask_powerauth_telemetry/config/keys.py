"""Every key of the configuration, once: its default, how it is read, and what it is for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from sqlalchemy import URL

from flask_powerauth_telemetry.config import mappings
from flask_powerauth_telemetry.config import values as kinds
from flask_powerauth_telemetry.config.base import Value, kinds_of, setting
from flask_powerauth_telemetry.config.mappings import Bind

DEFAULT_NAME = "powerauth_telemetry"
FILE_SUFFIX = "_FILE"


def key_prefix(name: str) -> str:
    """What the keys of an instance start with: the default one's have no name of their own."""
    own = "" if name == DEFAULT_NAME else f"{name.upper()}_"
    return f"POWERAUTH_TELEMETRY_{own}"


@dataclass(frozen=True, kw_only=True)
class TelemetryConfig:
    """The configuration of one instance, checked; one field for each key, in lower case.

    ``name`` is the instance's, ``configured`` are the keys that the application gave it. Times are
    in seconds, sizes in bytes. What is said below a field stands in
    docs/configuration.md, printed by ``python -m tests.documentation.keys``.
    """

    name: str = DEFAULT_NAME
    configured: frozenset[str] = frozenset()

    database_url: URL | None = setting(kinds.DatabaseUrl(), None)
    """PowerAuth's database, as a SQLAlchemy URL with a [driver](databases.md)."""
    engine_options: Mapping[str, Any] = setting(mappings.EngineOptions(), {})
    """Arguments of SQLAlchemy's `create_engine` for `DATABASE_URL`; they win over the extension's
    own."""
    database_schema: str | None = setting(kinds.Text(), None)
    """The schema of PowerAuth's tables, if the connection doesn't find them."""
    tables: Mapping[str, str] = setting(mappings.Tables(), {})
    """PowerAuth table → view or synonym to read instead, such as `reporting.activation`."""
    database_timezone: tzinfo = setting(kinds.TimeZone(), "UTC")
    """The time zone of the Java VM that PowerAuth Server runs in."""
    binds: Mapping[str, Bind] = setting(mappings.Binds(), {})
    """Further databases: name → URL, or → mapping with `url` and optional `timezone`, `schema`,
    `statement_timeout`, `parallel_workers`, `options`. `history` holds [the
    recordings](recording.md#the-history), by default `telemetry-history.sqlite` in the instance
    folder."""
    url_prefix: Sequence[str] | None = setting(
        kinds.UrlPrefixes(allow_none=True), "/rest/v3/telemetry"
    )
    """[Where the routes are](#where-the-routes-are). `None`: you register the blueprint."""
    credentials: str | Mapping[str, Sequence[str]] | None = setting(mappings.Credentials(), None)
    """Principal (name of a caller) → digest of its [token](#credentials), or list of two digests;
    or `"pa_integration"`."""
    scopes: Mapping[str, frozenset[str]] | None = setting(mappings.Scopes(), None)
    """Principal → list of the [applications it may ask for](#scopes). Without the key, all."""
    strict_application: bool = setting(kinds.Flag(), True)
    """Whether an unknown application is an error in the documented reports; `False`: 0 users."""
    statement_timeout: float = setting(kinds.Seconds(), 20)
    """The time limit of each statement, up to 2,000,000. 0: no limit."""
    parallel_workers: int = setting(kinds.Count(most=kinds.MOST_WORKERS), 0)
    """PostgreSQL's parallel workers for a statement on the main database. More than 0 is for [a
    replica without logins](performance.md#one-process-not-three)."""
    max_content_length: int = setting(kinds.Count("bytes", least=1), 65_536)
    """The longest request body of the report's route, whatever the application's own limit is."""
    cache_seconds: float = setting(kinds.Seconds(), 60)
    """How long a result is kept and answered again, with its `Age`. 0: not kept; callers of the
    same moment still share one computation."""
    cache_size: int = setting(kinds.Count("results", least=1), 1024)
    """How many an instance keeps in a process, up to about 16 MB. The cheapest leave first."""
    max_waiting: int = setting(kinds.Count("callers"), 6)
    """How many callers of an instance, or its dashboard, may wait at once in a process, at most
    half for one principal; others get 503. Keep it below your server's threads. 0: no limit."""
    source: str = setting(kinds.Source(), kinds.LIVE)
    """What the documented reports read: `"live"`, PowerAuth's tables, or `"snapshot"`,
    [recordings](recording.md#the-recorded-source)."""
    max_age: float = setting(kinds.Seconds(), 90_000)
    """How old a recording may be."""
    serve_stale: bool = setting(kinds.Flag(), False)
    """Whether an older one is answered all the same, with its `Age`; `False`: 503."""
    history_key: kinds.Keys | None = setting(kinds.SealKeys(), None)
    """The key that [seals the history](recording.md#the-key), or a list, the newest first."""
    load_entry_points: Sequence[str] = setting(kinds.Names(), [])
    """Entry points of installed packages whose [reports](providers.md) are served."""
    reports: Sequence[str] = setting(kinds.Names(), [])
    """The [further reports](reports.md) to serve beside the documented two."""
    report_binds: Mapping[str, str] = setting(mappings.ReportBinds(), {})
    """Report → bind that it reads, in place of the main database or of its provider's `bind`."""
    report_timezone: tzinfo = setting(kinds.TimeZone(), "UTC")
    """The zone of calendar days and months in the further reports."""

    def key(self, field: str) -> str:
        """The configuration key of a field."""
        return key_prefix(self.name) + field.upper()


KINDS = kinds_of(TelemetryConfig)
"""Every key without its prefix, in lower case, and how it is read."""


def known_keys(name: str = DEFAULT_NAME) -> Mapping[str, Value]:
    """The keys of an instance, those with ``_FILE`` too."""
    keys = {key_prefix(name) + field.upper(): kind for field, kind in KINDS.items()}
    return keys | {key + FILE_SUFFIX: kind for key, kind in keys.items() if kind.file}
