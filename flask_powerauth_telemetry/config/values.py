"""How a value of each kind is read: by a field of marshmallow that carries its cure.

A field takes what stands in the configuration and returns what the package works with, or raises
``Refused``. Values of secrets never stand in a message.
"""

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from functools import partial
from types import UnionType
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from marshmallow import ValidationError, fields
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from flask_powerauth_telemetry.auth.credentials import DIGEST_PREFIX, EVERYONE_ELSE, digest
from flask_powerauth_telemetry.database.tables import TABLE_NAMES
from flask_powerauth_telemetry.text import shortened

PA_INTEGRATION = "pa_integration"
"""The value of CREDENTIALS that reads PowerAuth's own table."""

INTEGRATION_BIND = "integration"
"""The bind that this table is read from."""

HISTORY_BIND = "history"
"""The bind that holds what is recorded."""

LIVE = "live"
SNAPSHOT = "snapshot"
"""The values of SOURCE."""

_EMPTY = digest("")
_DIGEST = re.compile(re.escape(DIGEST_PREFIX) + r"[0-9a-fA-F]{64}")
_RELATION = re.compile(r"[A-Za-z_][A-Za-z0-9_$#]*(\.[A-Za-z_][A-Za-z0-9_$#]*){0,2}")
_IS_MEANT_AS_JSON = re.compile(r"\s*(\{|\[|(True|False|None)\s*$)")
_AS_JSON = (
    "Write JSON: double quotes around every string, true, false, null, no comma before a closing"
    " bracket"
)
_BEGINS_URL = "://"
_SHOWN_LENGTH = 12
"""How much of a principal's name is shown: where name and token are swapped, it is a token."""
_URL_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+/?|/?")


class Refused(ValidationError):
    """A value that can't be used: why, and what to do."""

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.cure = cure


class Value(fields.Raw):
    """A kind of value: of which ``types``, and the cause and the cure of the ``refusal`` of others.

    ``words`` name its type and its unit in the documents. ``file`` says what the file holds that
    the key's ``_FILE`` names; where it is empty, there is no such key.
    """

    types: type | UnionType
    words: tuple[str, str]
    refusal: tuple[str, str]
    file = ""
    is_shown = True
    """Whether the ``repr`` of a configuration shows it; not, where it may hold a secret."""

    def parse(self, text: str) -> Any:
        """What a file holds: JSON, or the bare word for PowerAuth's own table."""
        if text.strip() == PA_INTEGRATION:
            return PA_INTEGRATION
        try:
            return json.loads(text)
        except ValueError:
            raise Refused("the file does not hold JSON", "Write the value as JSON") from None

    def make_error(self, key: str, **_: Any) -> Refused:
        """The refusal of another kind of value; marshmallow raises it for None."""
        return Refused(*self.refusal)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        stray_bool = isinstance(value, bool) and self.types is not bool
        if stray_bool or not isinstance(value, self.types) or not self._fits(value):
            if isinstance(value, str) and _IS_MEANT_AS_JSON.match(value):
                raise Refused("is text that is not JSON", _AS_JSON)
            raise self.make_error("invalid")
        return self._read(value)

    def _fits(self, value: Any) -> bool:
        return True

    def _read(self, value: Any) -> Any:
        return value


def setting(kind: Value, default: Any, *, file: str = "") -> Any:
    """A field of a dataclass, read by ``kind``; its default stands as one would configure it."""
    kind.load_default, kind.file = default, file
    read = partial(kind.deserialize, default) if default is not None else lambda: None
    return dataclasses.field(default_factory=read, metadata={"kind": kind}, repr=kind.is_shown)


def kinds_of(configuration: type) -> Mapping[str, Value]:
    """How the settings of such a dataclass are read, by the names of their fields."""
    every = dataclasses.fields(configuration)
    return {one.name: one.metadata["kind"] for one in every if one.metadata}


class Flag(Value):
    """True or False, nothing that looks like it."""

    types, words = bool, ("bool", "")
    refusal = ("must be True or False", "Set one of them, without quotes")


class Seconds(Value):
    """A number of seconds, 0 or more."""

    types, words = int | float, ("number", "seconds")
    refusal = ("must be a number of seconds", "Set a number such as 20, without quotes")

    def _read(self, value: float) -> float:
        if not 0 <= value <= 2_000_000:  # NaN is refused too
            raise Refused("must be from 0 to 2,000,000 seconds", "Set a number such as 20")
        return float(value)


class Count(Value):
    """A whole number from ``least`` to ``most``; a number of reports, unless a subclass differs."""

    types, words = int, ("int", "results")
    refusal = ("must be a whole number above 0", "Set a number such as 1024")
    least, most = 1, math.inf

    def _fits(self, value: int) -> bool:
        return self.least <= value <= self.most


class Bytes(Count):
    """A number of bytes."""

    words = ("int", "bytes")
    refusal = ("must be a number of bytes above 0", "Set a whole number such as 65536")


class Workers(Count):
    """A number of parallel workers, up to the most that PostgreSQL takes."""

    words = ("int", "")
    refusal = ("must be a whole number from 0 to 1,024", "Set 0, without quotes")
    least, most = 0, 1024


class Callers(Count):
    """A number of callers, 0 for no limit."""

    words = ("int", "callers")
    refusal = ("must be a whole number from 0", "Set a number such as 6, without quotes")
    least = 0


class Text(Value):
    """A string that is not blank."""

    types, words = str, ("string", "")
    refusal = ("must be a string that is not blank", "Correct or remove it")

    def _fits(self, value: str) -> bool:
        return bool(value.strip())


class Source(Value):
    """Where the documented reports come from: the database itself, or what was recorded of it."""

    types, words = str, ("string", "")
    refusal = ("is no source", f"Set {LIVE!r} or {SNAPSHOT!r}")

    def _fits(self, value: str) -> bool:
        return value in (LIVE, SNAPSHOT)


class TimeZone(Text):
    """An IANA time zone; UTC needs no time zone database."""

    words = ("string", "IANA name")

    def _read(self, value: str) -> tzinfo:
        if value == "UTC":
            return UTC
        try:
            return ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            pass
        if not available_timezones():
            raise Refused("there is no time zone database here", "Install one: pip install tzdata")
        cure = "Set an IANA name such as UTC or Europe/Prague"
        raise Refused(f"there is no time zone {value!r}", cure)


class DatabaseUrl(Value):
    """A database URL; its value may be secret."""

    types, words = str | URL, ("URL", "")
    cure = "Set one such as postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    refusal = ("must be a database URL", cure)
    is_shown = False

    def parse(self, text: str) -> str:
        """The URL that a file holds."""
        return text.strip()

    def _read(self, value: str | URL) -> URL:
        try:
            url = make_url(value)
        except ArgumentError:
            raise Refused("is not a database URL", self.cure) from None
        except ValueError:
            raise Refused("has a port that is not a number", self.cure) from None
        behind = url.database if url.username is not None else None
        if "@" in f"{url.host or ''}{behind or ''}":
            # The rest of a password would be taken for a host, and stand in messages.
            raise Refused("has more than one @", "Percent-encode an @ in a password as %40")
        return self._hiding_password(url)

    def _hiding_password(self, url: URL) -> URL:
        """The same URL with its password in the one place that SQLAlchemy never shows."""
        if "password" not in url.query:
            return url
        user = url.query.get("user", url.username)
        password = url.query["password"]
        if not isinstance(user, str) or not isinstance(password, str):
            raise Refused("does not have one user and one password", self.cure)
        rest = url.difference_update_query(["user", "password"])
        return rest.set(username=user, password=password)


@dataclasses.dataclass(frozen=True)
class Keys:
    """Secret keys, the newest first; none, where nothing is sealed."""

    values: tuple[bytes, ...] = dataclasses.field(default=(), repr=False)


class SealKeys(Value):
    """Keys of the history's seals: one, or several with the newest first."""

    types, words = str | list | tuple, ("string or list", "")
    cure = 'Make one with: python -c "import secrets; print(secrets.token_hex(32))"'
    refusal = ("must be a key of 32 characters or more, or a list of keys", cure)

    def parse(self, text: str) -> Sequence[str]:
        """The keys that a file holds, one on each line."""
        return text.split()

    def _read(self, value: str | Sequence[Any]) -> Keys:
        keys = [value] if isinstance(value, str) else value
        if not keys or not all(isinstance(key, str) and len(key) >= 32 for key in keys):
            raise Refused(*self.refusal)
        return Keys(tuple(key.encode() for key in keys))


class UrlPrefixes(Value):
    """Where the routes are mounted: one path or several, without a trailing slash."""

    types, words = str | list | tuple, ("string, list or `None`", "path")
    refusal = ("must be a path, a list of paths, or None", "Set /rest/v3/telemetry")

    def _fits(self, value: str | Sequence[Any]) -> bool:
        return isinstance(value, str) or bool(value)

    def _read(self, value: str | Sequence[Any]) -> Sequence[str]:
        paths = [value] if isinstance(value, str) else value
        for path in paths:
            if not isinstance(path, str) or not _URL_PREFIX.fullmatch(path):
                raise Refused(f"{path!r} is not a path", "Set paths such as /rest/v3/telemetry")
        prefixes = [path.rstrip("/") for path in paths]
        if len(set(prefixes)) < len(prefixes):
            raise Refused("names a path twice", "Name each path once")
        return prefixes


class Names(Value):
    """A list of strings."""

    types, words = list | tuple | set | frozenset, ("list", "")
    refusal = ("must be a list of names", "Write a list, also for a single name")

    def _read(self, value: Iterable[Any]) -> Sequence[str]:
        for name in value:
            if not isinstance(name, str) or not name.strip():
                raise Refused(f"{name!r} is not a name", "List strings that are not blank")
        return tuple(value)


class ByName(Value):
    """A mapping with strings for keys."""

    types, words = Mapping, ("mapping", "")

    def _fits(self, value: Mapping[Any, Any]) -> bool:
        return all(isinstance(name, str) for name in value)

    def _read(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return {name: self._read_one(name, one) for name, one in value.items()}

    def _read_one(self, name: str, one: Any) -> Any:
        return one


class EngineOptions(ByName):
    """Keyword arguments of SQLAlchemy's ``create_engine``."""

    refusal = ("must map names to options of create_engine", "Set a dictionary")
    is_shown = False


class Tables(ByName):
    """PowerAuth tables and what to read instead of each."""

    refusal = ("must map names to views", "Set a dictionary")

    def _read(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        views = super()._read(value)
        if len(set(views.values())) < len(views):
            raise Refused("two tables are mapped to one view", "Give each table a view of its own")
        return views

    def _read_one(self, name: str, one: Any) -> str:
        if name not in TABLE_NAMES:
            known = ", ".join(sorted(TABLE_NAMES))
            raise Refused(f"{name!r} is no table that is read", f"Use some of {known}")
        if not isinstance(one, str) or not _RELATION.fullmatch(one):
            cure = "Name a view or synonym, such as reporting.activation"
            raise Refused(f"what to read instead of {name} is not a name", cure)
        return one


class ReportBinds(ByName):
    """The bind that each report reads, by the report's name."""

    refusal = ("must map names to binds", "Set a dictionary")

    def _read_one(self, name: str, one: Any) -> str:
        if not isinstance(one, str) or not one or _BEGINS_URL in one:
            raise Refused(f"what {name} is to read is no name of a bind", "Name one of the binds")
        return one


class Scopes(ByName):
    """The names of applications that each principal may ask for."""

    refusal = ("must map names to lists of applications", "Set a dictionary")

    def _read_one(self, name: str, one: Any) -> Any:
        return Names().deserialize(one)


@dataclasses.dataclass(frozen=True)
class Bind:
    """A further database; what is None is as for the main one."""

    url: URL = dataclasses.field(repr=False)
    timezone: tzinfo | None = setting(TimeZone(), None)
    schema: str | None = setting(Text(), None)
    statement_timeout: float | None = setting(Seconds(), None)
    parallel_workers: int = setting(Workers(), 0)
    options: Mapping[str, Any] = setting(EngineOptions(), {})


class Binds(ByName):
    """Further databases by name, each by its URL or by the fields of a ``Bind``."""

    refusal = ("must map names to URLs", "Set a dictionary")

    def _read_one(self, name: str, one: Any) -> Bind:
        if _BEGINS_URL in name:
            raise Refused("has a URL for a name", "Map names to URLs")
        given = one if isinstance(one, Mapping) else {"url": one}
        kinds = {"url": DatabaseUrl(), **kinds_of(Bind)}
        try:
            if unknown := sorted(set(given) - set(kinds)):
                raise Refused(f"has an unknown {unknown[0]!r}", f"Use {', '.join(kinds)}")
            if "url" not in given:
                raise Refused("has no url", "Set url to the URL of the database")
            return Bind(**{field: kinds[field].deserialize(raw) for field, raw in given.items()})
        except Refused as refused:
            raise Refused(f"the bind {name!r}: {refused.cause}", refused.cure) from refused


class Credentials(Value):
    """Digests by principal, or the word for PowerAuth's own table."""

    types, words = str | Mapping, ("mapping or string", "")
    cure = "Create credentials with: flask telemetry create-credential NAME"
    refusal = (f"must map principals to digests, or be {PA_INTEGRATION!r}", cure)

    def _fits(self, value: str | Mapping[Any, Any]) -> bool:
        return value == PA_INTEGRATION or (isinstance(value, Mapping) and bool(value))

    def _read(self, value: str | Mapping[Any, Any]) -> str | Mapping[str, Sequence[str]]:
        if isinstance(value, str):
            return PA_INTEGRATION
        return {read_principal(name): self._digests(name, both) for name, both in value.items()}

    def _digests(self, principal: str, value: Any) -> Sequence[str]:
        both = [value] if isinstance(value, str) else value
        shown = shortened(principal, _SHOWN_LENGTH)
        if not isinstance(both, list | tuple) or not 1 <= len(both) <= 2:
            raise Refused(f"{shown!r} must have one digest or a list of two", self.cure)
        if not all(isinstance(known, str) and _DIGEST.fullmatch(known) for known in both):
            cause = f"{shown!r} has something else than sha256: and 64 hexadecimal digits"
            raise Refused(cause, self.cure)
        if _EMPTY in (digests := tuple(known.lower() for known in both)):
            raise Refused(f"{shown!r} has the digest of an empty token", self.cure)
        return digests


def read_principal(name: object) -> str:
    """A principal's name, which has to fit into HTTP Basic; raises ``Refused``."""
    if not isinstance(name, str) or not name.strip() or name == EVERYONE_ELSE:
        raise Refused(f"{name!r} can't be the name of a principal", "Choose another name")
    if ":" in name or not name.isprintable():
        cure = "Choose another name, HTTP Basic can't carry this one"
        raise Refused(f"the principal {name!r} has a colon or a control character", cure)
    return name
