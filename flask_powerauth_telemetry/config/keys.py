"""The only reader of the ``POWERAUTH_TELEMETRY_`` keys."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

from sqlalchemy import URL

from flask_powerauth_telemetry.config import access_values as access_settings
from flask_powerauth_telemetry.config import values as settings
from flask_powerauth_telemetry.config.values import Bind, Refused
from flask_powerauth_telemetry.exceptions import ConfigurationError

DEFAULT_NAME = "powerauth_telemetry"

_FILE_SUFFIX = "_FILE"


@dataclass(frozen=True, kw_only=True)
class TelemetryConfig:
    """The configuration of one instance, checked; one field for each key, in lower case.

    ``name`` is the instance's, ``prefix`` what its keys start with. Times are in seconds, sizes in
    bytes.
    """

    name: str = DEFAULT_NAME
    prefix: str
    database_url: URL | None = None
    engine_options: Mapping[str, Any]
    database_schema: str | None = None
    tables: Mapping[str, str]
    database_timezone: tzinfo = UTC
    binds: Mapping[str, Bind]
    url_prefix: Sequence[str] | None
    credentials: str | Mapping[str, Sequence[str]] | None = None
    scopes: Mapping[str, Sequence[str]]
    strict_application: bool = True
    statement_timeout: float = 20.0
    parallel_workers: int = 0
    max_content_length: int = 65_536
    load_entry_points: Sequence[str]
    cache_seconds: float = 60.0
    cache_size: int = 1024
    source: str = settings.LIVE
    max_age: float = 90_000.0
    serve_stale: bool = False
    reports: Sequence[str]
    report_binds: Mapping[str, str]
    report_timezone: tzinfo = UTC

    def key(self, field: str) -> str:
        """The configuration key of a field."""
        return self.prefix + field.upper()


@dataclass(frozen=True)
class _Setting:
    """How a key is read: ``read`` turns its raw value into the field's, or raises ``Refused``."""

    read: Callable[[Any], Any]
    default: Any = None
    from_file: Callable[[str], Any] | None = None


SETTINGS: Mapping[str, _Setting] = {
    "database_url": _Setting(settings.read_url, from_file=str.strip),
    "engine_options": _Setting(settings.read_options, {}),
    "database_schema": _Setting(settings.read_text),
    "tables": _Setting(settings.read_tables, {}),
    "database_timezone": _Setting(settings.read_timezone, "UTC"),
    "binds": _Setting(settings.read_binds, {}, from_file=settings.parse_json),
    "url_prefix": _Setting(settings.read_url_prefixes, "/rest/v3/telemetry"),
    "credentials": _Setting(access_settings.read_credentials, from_file=settings.parse_json),
    "scopes": _Setting(access_settings.read_scopes, {}),
    "strict_application": _Setting(settings.read_flag, True),
    "statement_timeout": _Setting(settings.read_seconds, 20.0),
    "parallel_workers": _Setting(settings.read_workers, 0),
    "max_content_length": _Setting(settings.read_bytes, 65_536),
    "load_entry_points": _Setting(settings.read_names, []),
    "cache_seconds": _Setting(settings.read_seconds, 60.0),
    "cache_size": _Setting(settings.read_count, 1024),
    "source": _Setting(settings.read_source, settings.LIVE),
    "max_age": _Setting(settings.read_seconds, 90_000.0),
    "serve_stale": _Setting(settings.read_flag, False),
    "reports": _Setting(settings.read_names, []),
    "report_binds": _Setting(settings.read_report_binds, {}),
    "report_timezone": _Setting(settings.read_timezone, "UTC"),
}
"""Every key without its prefix, in lower case."""

# The one key for which None is a choice of its own, not the same as leaving it out.
_NONE_IS_A_VALUE = frozenset({"url_prefix"})


def key_prefix(name: str) -> str:
    """What the keys of an instance start with: the default one's have no name of their own."""
    own = "" if name == DEFAULT_NAME else f"{name.upper()}_"
    return f"POWERAUTH_TELEMETRY_{own}"


def load_config(values: Mapping[str, Any], name: str = DEFAULT_NAME) -> TelemetryConfig:
    """The configuration of the instance ``name`` out of an application's whole configuration.

    Raises ``ConfigurationError`` with the key, the cause and the cure for the first wrong one.
    """
    prefix = key_prefix(name)
    _refuse_misspelt(values, prefix)
    config = TelemetryConfig(
        name=name,
        prefix=prefix,
        **{field: _read(values, prefix + field.upper(), field) for field in SETTINGS},
    )
    _check_scopes(config)
    return config


def _read(values: Mapping[str, Any], key: str, field: str) -> Any:
    setting = SETTINGS[field]
    try:
        raw = _raw(values, key, setting)
        if raw is None and not (field in _NONE_IS_A_VALUE and key in values):
            raw = setting.default
        return None if raw is None else setting.read(raw)
    except Refused as refused:
        raise ConfigurationError(key, refused.cause, refused.cure) from refused


def _raw(values: Mapping[str, Any], key: str, setting: _Setting) -> Any:
    raw, path = values.get(key), values.get(key + _FILE_SUFFIX)
    if path is None or setting.from_file is None:
        return raw
    if raw is not None:
        raise Refused(f"{key}{_FILE_SUFFIX} is set as well", "Set one of the two")
    try:
        with open(path, encoding="utf-8") as file:
            return setting.from_file(file.read())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise Refused(
            f"can't read {path}, named by {key}{_FILE_SUFFIX}: {reason}",
            "Name a file that this process can read",
        ) from error


def _refuse_misspelt(values: Mapping[str, Any], prefix: str) -> None:
    known = {prefix + field.upper() for field in SETTINGS}
    known |= {
        prefix + field.upper() + _FILE_SUFFIX
        for field, setting in SETTINGS.items()
        if setting.from_file
    }
    others = tuple(f"_{field.upper()}" for field in SETTINGS)
    for key in values:
        if not key.startswith(prefix) or key in known:
            continue
        if key.removesuffix(_FILE_SUFFIX).endswith(others):
            continue  # a key of an instance with another name
        if likely := difflib.get_close_matches(key, known, n=1, cutoff=0.85):
            raise ConfigurationError(key, "there is no such key", f"Did you mean {likely[0]}")


def _check_scopes(config: TelemetryConfig) -> None:
    if config.scopes and not config.strict_application:
        raise ConfigurationError(
            config.key("strict_application"),
            f"False does not go with {config.key('scopes')}:"
            " what is out of scope would be answered with 0 users",
            "Leave one of the two out",
        )
