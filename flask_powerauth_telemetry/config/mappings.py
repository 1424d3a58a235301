"""How values are read that are made of others: mappings by name, further databases, credentials."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from sqlalchemy import URL

from flask_powerauth_telemetry.auth.credentials import DIGEST_PREFIX, EVERYONE_ELSE, digest
from flask_powerauth_telemetry.config.base import SHOWN_LENGTH, Refused, Value, kinds_of, setting
from flask_powerauth_telemetry.config.values import (
    MOST_WORKERS,
    PA_INTEGRATION,
    Count,
    DatabaseUrl,
    Names,
    Seconds,
    Text,
    TimeZone,
)
from flask_powerauth_telemetry.database.tables import TABLE_NAMES
from flask_powerauth_telemetry.text import shortened

CREATE = "flask telemetry create-credential NAME"
"""The command that makes credentials, for the instance with the default name."""

_EMPTY = digest("")
_DIGEST = re.compile(re.escape(DIGEST_PREFIX) + r"[0-9a-fA-F]{64}")
_ALMOST_DIGEST = re.compile(r"(?:sha-?256\W{0,2})?[0-9a-f]{64}", re.IGNORECASE)
_BEGIN = f"Begin it by {DIGEST_PREFIX}, with the digits right behind"
_RELATION = re.compile(r"[A-Za-z_][A-Za-z0-9_$#]*(\.[A-Za-z_][A-Za-z0-9_$#]*){0,2}")
_MUST_BE_CREDENTIALS = f"must map principals to digests, or be {PA_INTEGRATION!r}"


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

    must, example = "must map names to options of create_engine", {"pool_size": 5}
    secret = True


class Tables(ByName):
    """PowerAuth tables and what to read instead of each."""

    must, example = "must map names to views", {"pa_activation": "reporting.activation"}

    def _read(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        views = super()._read(value)
        if len({*views.values(), *(TABLE_NAMES - views.keys())}) < len(TABLE_NAMES):
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

    must, example = "must map names to binds", {"CURRENT_MAU": "replica"}

    def _read_one(self, name: str, one: Any) -> str:
        if not isinstance(one, str) or not one:
            raise Refused(f"what {name} is to read is no name of a bind", "Name one of the binds")
        return one


class Scopes(ByName):
    """The names of applications that each principal may ask for."""

    must, example = "must map names to lists of applications", {"billing": ["retail"], "*": []}
    file = "A UTF-8 file with the scopes as JSON."
    closing = True

    def _read_one(self, name: str, one: Any) -> Any:
        try:
            return frozenset(Names().deserialize(one))
        except Refused as refused:
            meant = {name: refused.instead} if isinstance(one, str) else None
            cause = f"what {name!r} may see {refused.cause}"
            raise Refused(cause, meant=meant, example=self.example) from refused


@dataclasses.dataclass(frozen=True)
class Bind:
    """A further database; what is None is as for the main one."""

    url: URL = dataclasses.field(repr=False)
    timezone: tzinfo | None = setting(TimeZone(), None)
    schema: str | None = setting(Text(), None)
    statement_timeout: float | None = setting(Seconds(), None)
    parallel_workers: int = setting(Count(most=MOST_WORKERS), 0)
    options: Mapping[str, Any] = setting(EngineOptions(), {})


class Binds(ByName):
    """Further databases by name, each by its URL or by the fields of a ``Bind``."""

    must, example = "must map names to URLs", {"history": DatabaseUrl.example}
    file = "A UTF-8 file with the binds as JSON."
    secret = True

    def _read_one(self, name: str, one: Any) -> Bind:
        if "://" in name:  # names are told
            raise Refused("has a URL for a name", example=self.example)
        given = one if isinstance(one, Mapping) else {"url": one}
        kinds = {"url": DatabaseUrl(), **kinds_of(Bind)}
        try:
            if unknown := set(given) - set(kinds):
                raise Refused(f"has an unknown {min(unknown)!r}", f"Use {', '.join(kinds)}")
            if "url" not in given:
                raise Refused("has no url", "Set url to the URL of the database")
            return Bind(**{field: kinds[field].deserialize(raw) for field, raw in given.items()})
        except Refused as refused:
            raise Refused(f"the bind {name!r}: {refused.cause}", refused.cure) from refused


class Credentials(Value):
    """Digests by principal, or the word for PowerAuth's own table."""

    types, words, secret = str | Mapping, ("mapping or string", ""), True
    must, example = _MUST_BE_CREDENTIALS, {"billing": f"{DIGEST_PREFIX}DIGEST"}
    cure = f"Create credentials with: {CREATE}"
    file = "A UTF-8 file with the credentials as JSON, or the word `pa_integration`."

    def parse(self, text: str) -> Any:
        """What a file holds: JSON, or the bare word for PowerAuth's own table."""
        return PA_INTEGRATION if text.strip() == PA_INTEGRATION else super().parse(text)

    def _fits(self, value: str | Mapping[Any, Any]) -> bool:
        return value == PA_INTEGRATION or (isinstance(value, Mapping) and bool(value))

    def _read(self, value: str | Mapping[Any, Any]) -> str | Mapping[str, Sequence[str]]:
        if isinstance(value, str):
            return PA_INTEGRATION
        return {read_principal(name): self._digests(name, both) for name, both in value.items()}

    def _digests(self, principal: str, value: Any) -> Sequence[str]:
        both = [value] if isinstance(value, str) else value
        shown = shortened(principal, SHOWN_LENGTH)
        if not isinstance(both, list | tuple) or not 1 <= len(both) <= 2:
            raise Refused(f"{shown!r} must have one digest or a list of two", self.cure)
        if not all(isinstance(known, str) and _DIGEST.fullmatch(known) for known in both):
            cause = f"{shown!r} has something else than sha256: and 64 hexadecimal digits"
            is_digest = all(_ALMOST_DIGEST.fullmatch(str(known)) for known in both)
            raise Refused(cause, _BEGIN if is_digest else self.cure)
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
