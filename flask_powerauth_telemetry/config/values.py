"""How the raw value of each kind of configuration key is read.

Each reader takes what stands in the configuration and returns what the package works with, or
raises ``Refused``. Values of secrets never stand in a message.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from flask_powerauth_telemetry.database.tables import TABLE_NAMES

PA_INTEGRATION = "pa_integration"
"""The value of CREDENTIALS that reads PowerAuth's own table."""

INTEGRATION_BIND = "integration"
"""The bind that this table is read from."""

HISTORY_BIND = "history"
"""The bind that holds what is recorded."""

LIVE = "live"
SNAPSHOT = "snapshot"
"""The values of SOURCE."""

_RELATION = re.compile(r"[A-Za-z_][A-Za-z0-9_$#]*(\.[A-Za-z_][A-Za-z0-9_$#]*){0,2}")
_URL_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+/?|/?")


class Refused(Exception):
    """A value that can't be used: why, and what to do."""

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.cure = cure


@dataclass(frozen=True)
class Bind:
    """A further database; what is None is as for the main one."""

    url: URL
    timezone: tzinfo | None = None
    schema: str | None = None
    statement_timeout: float | None = None
    parallel_workers: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


def read_text(value: object) -> str:
    """A string that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise Refused("must be a string that is not blank", "Correct or remove it")
    return value


def read_flag(value: object) -> bool:
    """True or False, nothing that looks like it."""
    if not isinstance(value, bool):
        raise Refused("must be True or False", "Set one of them, without quotes")
    return value


def read_seconds(value: object) -> float:
    """A number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("must be a number of seconds", "Set a number such as 20, without quotes")
    if not math.isfinite(value) or not 0 <= value <= 2_000_000:
        raise Refused("must be from 0 to 2,000,000 seconds", "Set a number such as 20")
    return float(value)


def read_bytes(value: object) -> int:
    """A number of bytes, 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Refused("must be a number of bytes above 0", "Set a whole number such as 65536")
    return value


def read_count(value: object) -> int:
    """A whole number, 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Refused("must be a whole number above 0", "Set a number such as 1024")
    return value


def read_workers(value: object) -> int:
    """A number of parallel workers, up to the most that PostgreSQL takes."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1024:
        raise Refused("must be a whole number from 0 to 1,024", "Set 0, without quotes")
    return value


def read_source(value: object) -> str:
    """Where the documented reports come from: the database itself, or what was recorded of it."""
    if value not in (LIVE, SNAPSHOT):
        raise Refused("is no source", f"Set {LIVE!r} or {SNAPSHOT!r}")
    return str(value)


def read_url(value: object) -> URL:
    """A database URL; its value may be secret."""
    cure = "Set one such as postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    if not isinstance(value, str | URL):
        raise Refused("must be a database URL", cure)
    try:
        return make_url(value)
    except ArgumentError:
        raise Refused("is not a database URL", cure) from None
    except ValueError:
        raise Refused("has a port that is not a number", cure) from None


def read_options(value: object) -> Mapping[str, Any]:
    """Keyword arguments of SQLAlchemy's ``create_engine``."""
    mapping = read_mapping(value, "options of create_engine")
    return dict(mapping)


def read_tables(value: object) -> Mapping[str, str]:
    """PowerAuth tables and what to read instead of each."""
    mapping = read_mapping(value, "views")
    for table, relation in mapping.items():
        if table not in TABLE_NAMES:
            known = ", ".join(sorted(TABLE_NAMES))
            raise Refused(f"{table!r} is no table that is read", f"Use some of {known}")
        if not isinstance(relation, str) or not _RELATION.fullmatch(relation):
            raise Refused(
                f"what to read instead of {table} is not a name",
                "Name a view or synonym, such as reporting.activation",
            )
    if len(set(mapping.values())) < len(mapping):
        raise Refused("two tables are mapped to one view", "Give each table a view of its own")
    return dict(mapping)


def read_timezone(value: object) -> tzinfo:
    """An IANA time zone; UTC needs no time zone database."""
    name = read_text(value)
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    if not available_timezones():
        raise Refused("there is no time zone database here", "Install one: pip install tzdata")
    raise Refused(
        f"there is no time zone {name!r}", "Set an IANA name such as UTC or Europe/Prague"
    )


def read_binds(value: object) -> Mapping[str, Bind]:
    """Further databases by name."""
    return {name: _read_bind(name, bind) for name, bind in read_mapping(value, "URLs").items()}


def _read_bind(name: str, value: object) -> Bind:
    fields: Mapping[str, Any] = value if isinstance(value, Mapping) else {"url": value}
    readers: Mapping[str, Callable[[object], Any]] = {
        "url": read_url,
        "timezone": read_timezone,
        "schema": read_text,
        "statement_timeout": read_seconds,
        "parallel_workers": read_workers,
        "options": read_options,
    }
    try:
        if unknown := sorted(set(fields) - set(readers)):
            raise Refused(f"has an unknown {unknown[0]!r}", f"Use {', '.join(readers)}")
        if "url" not in fields:
            raise Refused("has no url", "Set url to the URL of the database")
        return Bind(**{field: readers[field](given) for field, given in fields.items()})
    except Refused as refused:
        raise Refused(f"the bind {name!r}: {refused.cause}", refused.cure) from refused


def read_report_binds(value: object) -> Mapping[str, str]:
    """The bind that each report reads, by the report's name."""
    mapping = read_mapping(value, "binds")
    for report, bind in mapping.items():
        if not isinstance(bind, str) or not bind:
            raise Refused(f"what {report} is to read is no name of a bind", "Name one of the binds")
    return dict(mapping)


def read_url_prefixes(value: object) -> Sequence[str]:
    """Where the routes are mounted: one path or several, without a trailing slash."""
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, list | tuple) or not paths:
        raise Refused("must be a path, a list of paths, or None", "Set /rest/v3/telemetry")
    for path in paths:
        if not isinstance(path, str) or not _URL_PREFIX.fullmatch(path):
            raise Refused(f"{path!r} is not a path", "Set paths such as /rest/v3/telemetry")
    prefixes = [path.rstrip("/") for path in paths]
    if len(set(prefixes)) < len(prefixes):
        raise Refused("names a path twice", "Name each path once")
    return prefixes


def read_names(value: object) -> Sequence[str]:
    """A list of strings."""
    if not isinstance(value, list | tuple | set | frozenset):
        raise Refused("must be a list of names", "Write a list, also for a single name")
    for name in value:
        if not isinstance(name, str) or not name.strip():
            raise Refused(f"{name!r} is not a name", "List strings that are not blank")
    return tuple(value)


def parse_json(text: str) -> object:
    """What a secrets file holds: JSON, or the bare word for PowerAuth's own table."""
    if text.strip() == PA_INTEGRATION:
        return PA_INTEGRATION
    try:
        return json.loads(text)
    except ValueError:
        raise Refused("the file does not hold JSON", "Write the value as JSON") from None


def read_mapping(value: object, of: str) -> Mapping[str, Any]:
    """A mapping with strings for keys; ``of`` says what they are mapped to."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise Refused(f"must map names to {of}", "Set a dictionary")
    return value
