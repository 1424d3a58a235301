"""How a value of each kind is read, and the words that values are made of."""

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from flask_powerauth_telemetry.config.base import Refused, Value
from flask_powerauth_telemetry.text import IN_NO_TEXT

PA_INTEGRATION = "pa_integration"
"""The value of CREDENTIALS that reads PowerAuth's own table."""

INTEGRATION_BIND = "integration"
"""The bind that this table is read from."""

HISTORY_BIND = "history"
"""The bind that holds what is recorded."""

LIVE = "live"
SNAPSHOT = "snapshot"
"""The values of SOURCE."""

MOST_WORKERS = 1024
"""The parallel workers that PostgreSQL takes at most."""

_DURATION = re.compile(
    r"(\d+(?:\.\d+)?) *(|s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?|d(?:ays?)?)",
    re.IGNORECASE,
)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_GROUPED = re.compile(r"(\d{1,3}(?:[ _,]\d{3}){1,5}|\d{1,18})(?:\.0)?")
_OFFSET = re.compile(r"[+-]\d")
# Not of IANA's: with leap seconds, which no server counts, or another zone on each host.
_OF_NO_PLACE = re.compile(r"(posix|right)/.*|localtime|posixrules|Factory")
_YES = ("true", "yes", "on", "1")
_NO = ("false", "no", "off", "0")
_URL_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+/?|/?")


class Flag(Value):
    """True or False, nothing that looks like it."""

    types, words = bool, ("bool", "")
    must, example = "must be True or False", True

    def _meant(self, value: Any) -> bool | None:
        word = str(value).strip().lower()
        return True if word in _YES else False if word in _NO else None


class Seconds(Value):
    """A number of seconds, 0 or more."""

    types, words = int | float, ("number", "seconds")
    must, example = "must be a number of seconds, from 0 to 2,000,000", 20

    def _fits(self, value: float) -> bool:
        return 0 <= value <= 2_000_000  # NaN is refused too

    def _meant(self, value: Any) -> float | None:
        """A number with a unit."""
        written = _DURATION.fullmatch(str(value).strip())
        if written is None:
            return None
        seconds = float(written[1]) * _SECONDS[written[2][:1].lower()]
        return int(seconds) if seconds.is_integer() else seconds

    def _read(self, value: float) -> float:
        return float(value)


class Count(Value):
    """A whole number from ``least``, 0 or 1, to ``most``, of a ``unit``."""

    types, example = int, 0

    def __init__(self, unit: str = "", *, least: int = 0, most: int | None = None) -> None:
        super().__init__()
        self.words = ("int", unit)
        self.must = f"must be a whole number{' of bytes' if unit == 'bytes' else ''}"
        self.must += " above 0" if least else " from 0"
        self.must += f" to {most:,}" if most else ""
        self._least, self._most = least, most or math.inf

    def _fits(self, value: int) -> bool:
        return self._least <= value <= self._most

    def _meant(self, value: Any) -> int | None:
        written = _GROUPED.fullmatch(str(value).strip())
        return int(re.sub(r"[ _,]", "", written[1])) if written else None


class Text(Value):
    """A string that is not blank."""

    types, words = str, ("string", "")
    must, cure = "must be a string that is not blank", "Correct or remove it"

    def _fits(self, value: str) -> bool:
        return bool(value.strip())

    def _meant(self, value: Any) -> str | None:
        return str(value) if isinstance(value, int | float) else None


class Source(Value):
    """Where the documented reports come from: the database itself, or what was recorded of it."""

    types, words = str, ("string", "")
    must, example = f"must be {LIVE} or {SNAPSHOT}", LIVE

    def _fits(self, value: str) -> bool:
        return value in (LIVE, SNAPSHOT)

    def _meant(self, value: Any) -> str:
        word = str(value).lower()
        return SNAPSHOT if word.startswith(("snapshot", "record", HISTORY_BIND)) else word


class TimeZone(Text):
    """An IANA time zone; UTC needs no time zone database."""

    words = ("string", "IANA name")
    example = "Europe/Prague"

    def _read(self, value: str) -> tzinfo:
        if value == "UTC":
            return UTC
        if _OF_NO_PLACE.fullmatch(value) is None:
            with suppress(KeyError, ValueError, OSError):
                return ZoneInfo(value)
        names = [name for name in available_timezones() if not _OF_NO_PLACE.fullmatch(name)]
        if not names:
            raise Refused("there is no time zone database here", "Install one: pip install tzdata")
        cure = "It is an IANA name"
        if "/" not in value or _OFFSET.search(value):
            cure += ": of a place, because an offset has no summer time"
        cause = f"there is no time zone {value!r}"
        raise Refused(cause, cure, meant=_nearest(value, names), example=self.example)

    def _meant(self, value: Any) -> None:
        return None


def _nearest(value: str, names: Iterable[str]) -> str | None:
    """The zone that differs in case or blanks only, or is of this place, or looks most like it.

    Of an offset and an abbreviation none: what looks like them shows another time.
    """
    written = re.sub(r"\s+", "_", value.lower())
    known = {name.lower(): name for name in names if not name.startswith("Etc/")}
    places = {name.rpartition("/")[2]: name for name in sorted(known, key=len, reverse=True)}
    close = [written] if written in known else []
    if not close and (place := places.get(written.rpartition("/")[2])):
        close = [place]
    elif not close and "/" in written and not _OFFSET.search(written):
        close = difflib.get_close_matches(written, known, n=1, cutoff=0.8)
    return known[close[0]] if close else None


class DatabaseUrl(Value):
    """A database URL; its value may be secret."""

    types, words, secret = str | URL, ("URL", ""), True
    must = "must be a database URL"
    example = "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    file = "A UTF-8 file with the URL."

    def parse(self, text: str) -> str:
        """The URL that a file holds."""
        return text.strip()

    def _fits(self, value: str | URL) -> bool:
        return bool(value)

    def _read(self, value: str | URL) -> URL:
        if str(value).startswith("jdbc:"):
            raise Refused("is a URL for Java", example=self.example)
        try:
            url = make_url(value)
        except ArgumentError:
            raise Refused("is not a database URL", example=self.example) from None
        except ValueError:
            raise Refused("has a port that is not a number", example=self.example) from None
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
            raise Refused("does not have one user and one password", example=self.example)
        rest = url.difference_update_query(["user", "password"])
        return rest.set(username=user, password=password)


@dataclasses.dataclass(frozen=True)
class Keys:
    """Secret keys, the newest first; none, where nothing is sealed."""

    values: tuple[bytes, ...] = dataclasses.field(default=(), repr=False)


class SealKeys(Value):
    """Keys of the history's seals: one, or several with the newest first."""

    types, words, secret = str | list | tuple, ("string or list", ""), True
    must = "must be a key of 32 characters or more, or a list of keys"
    cure = 'Make one with: python -c "import secrets; print(secrets.token_hex(32))"'
    file = "A UTF-8 file with the keys, the newest on the first line."

    def parse(self, text: str) -> Sequence[str]:
        """The keys of a file or of a text, one on each line."""
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _refuse_slips(self, text: str) -> None:
        for line in self.parse(text) or [text]:
            super()._refuse_slips(line)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            cure = f"Write its digits in double quotes, as JSON has text. {self.cure}"
            raise Refused(f"{self.must}, and this is read as a number", cure)
        return super()._deserialize(value)

    def _read(self, value: str | Sequence[Any]) -> Keys:
        keys = self.parse(value) if isinstance(value, str) else value
        if not keys or not all(map(self._is_key, keys)):
            raise self.make_error("invalid")
        return Keys(tuple(key.encode() for key in keys))

    def _is_key(self, key: Any) -> bool:
        return isinstance(key, str) and len(key) >= 32 and not IN_NO_TEXT.search(key)


class UrlPrefixes(Value):
    """Where the routes are mounted: one path or several, without a trailing slash."""

    types, words = str | list | tuple, ("string, list or `None`", "path")
    must = "must be a path, a list of paths, or None"
    example = "/rest/v3/telemetry"

    def _fits(self, value: str | Sequence[Any]) -> bool:
        return isinstance(value, str) or bool(value)

    def _read(self, value: str | Sequence[Any]) -> Sequence[str]:
        paths = [value] if isinstance(value, str) else value
        for path in paths:
            if not isinstance(path, str) or not _URL_PREFIX.fullmatch(path):
                slashed = f"/{path}"
                meant = slashed if value == path and _URL_PREFIX.fullmatch(slashed) else None
                raise Refused(f"{path!r} is not a path", meant=meant, example=self.example)
            if path.rstrip("/").endswith("/report"):
                meant = path.rstrip("/").removesuffix("/report")
                cause = f"{path!r} ends in /report, which is added to it"
                raise Refused(cause, meant=meant if value == path else None, example=self.example)
        prefixes = [path.rstrip("/") for path in paths]
        if len(set(prefixes)) < len(prefixes):
            raise Refused("names a path twice", "Name each path once")
        return prefixes


class Names(Value):
    """A list of strings."""

    types, words = list | tuple | set | frozenset, ("list", "")
    must, example = "must be a list of names, also for a single one", ["NAME"]

    def _read(self, value: Iterable[Any]) -> Sequence[str]:
        for name in value:
            if not isinstance(name, str) or not name.strip():
                raise Refused(f"{name!r} is not a name", "List strings that are not blank")
        return tuple(value)

    def _meant(self, value: Any) -> Sequence[str] | None:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else []
        return names if all(names) and names else None
