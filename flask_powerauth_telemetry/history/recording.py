"""What is recorded, a profile or the verifications of a day, and its row.

A row of either kind is in the same chain, with a definition and slots of its own. So what proves
profiles proves days, and nothing that reads profiles reads days.

Instants are kept as text in UTC, which every database orders and gives back exactly. Each row has
a digest of its other columns, so that a damaged one is noticed when it is read. The digest of the
row before is among them, so that the rows of an instance are a chain. Anybody can compute digests
anew. A seal is HMAC-SHA256 of one, by a key that is not in the database. Sealed rows follow
unsealed ones, never the other way round.
"""

import hashlib
import hmac
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

from flask_powerauth_telemetry.config.values import Keys
from flask_powerauth_telemetry.exceptions import DatabaseFault
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import DEFINITION_VERSION, ActivityProfile
from flask_powerauth_telemetry.reports.audit_by_day import DaySpan
from flask_powerauth_telemetry.reports.clock_hours import ClockHour
from flask_powerauth_telemetry.reports.verifications import HOUR_FORMAT, Verifications

REASON_LENGTH = 1000
"""How many characters the reason of a correction may have."""

TOLERANCE = timedelta(minutes=5)
"""How far a pass may be from the hour it stands for, and give the number of a month ending then."""

VERIFICATIONS_OF_A_DAY = 1001
"""The version of what is counted for a day; those of profiles are below 1000."""

_SAME_RUN = timedelta(seconds=1)
# The fields of what is recorded that are columns as they are.
_SHARED = ("definition", "milliseconds", "recorded_by", "applications")
_INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"
_START = "%Y-%m-%dT%H:%MZ"


@dataclass(frozen=True, kw_only=True)
class Recorded(ABC):
    """What every row has: whose numbers it holds, and how they came about.

    ``milliseconds`` is the time that reading them took, ``recorded_by`` the name of the host.
    ``applications`` is how many PowerAuth had then, 0 where nobody knows. ``definition`` is the
    version of what is counted.
    """

    application: Application
    milliseconds: int
    recorded_by: str
    applications: int = 0
    definition: int

    @property
    @abstractmethod
    def slot_text(self) -> str:
        """What the row stands for, of which there is one for each application."""

    @abstractmethod
    def numbers(self) -> tuple[datetime, Any]:
        """The aware instant that the numbers hold for, and the numbers as JSON can carry them."""

    @abstractmethod
    def reason_to_replace(self, row: Mapping[str, Any], keys: Keys) -> str | None:
        """Why this takes the place of its slot's row, or None; raises as ``_facts_of``."""


@dataclass(frozen=True, kw_only=True)
class Recording(Recorded):
    """An application's profile; ``slot`` is the aware instant that the run stands for."""

    slot: datetime
    profile: ActivityProfile
    definition: int = DEFINITION_VERSION

    @property
    def slot_text(self) -> str:
        """The slot, as it is kept."""
        return instant_text(self.slot)

    def numbers(self) -> tuple[datetime, Any]:
        """The users of each window."""
        return self.profile.as_of, self.profile.users

    def reason_to_replace(self, row: Mapping[str, Any], keys: Keys) -> str | None:
        """Whether its pass is nearer to the slot."""
        present = self.of_row(row, keys)
        if not present.gives_way_to(self.profile.as_of):
            return None
        return f"a pass nearer to the hour, {self.distance} off and not {present.distance}"

    @classmethod
    def of_row(cls, row: Mapping[str, Any], keys: Keys) -> Self:
        """The profile that a row keeps; raises ``DatabaseFault`` as ``_facts_of``."""
        return cls(
            **_facts_of(row, keys),
            slot=datetime.fromisoformat(row["slot"]),
            profile=ActivityProfile(
                as_of=datetime.fromisoformat(row["as_of"]), users=tuple(json.loads(row["users"]))
            ),
        )

    @property
    def distance(self) -> timedelta:
        """How far its pass is from its slot."""
        return abs(self.profile.as_of - self.slot)

    def gives_way_to(self, as_of: datetime) -> bool:
        """Whether a pass of this aware instant is nearer to the slot, which then belongs to it."""
        # Hosts that start within a second of each other are equally near.
        return abs(as_of - self.slot) + _SAME_RUN < self.distance


@dataclass(frozen=True, kw_only=True)
class RecordedDay(Recorded):
    """The verifications of a day.

    ``span`` is from its midnight to the next one, aware, in UTC; ``day`` is what the calendar of
    ``zone`` calls it. ``shown`` is what the clock of PowerAuth's database was taken to show at
    both ends, naive: rows between these times were counted. ``as_of`` is the aware instant at
    which the audit was read. ``entry`` is the number of the row, 0 before there is one.
    """

    span: DaySpan
    day: date
    zone: str
    shown: DaySpan
    as_of: datetime
    verifications: Verifications
    entry: int = 0
    definition: int = VERIFICATIONS_OF_A_DAY

    @property
    def slot_text(self) -> str:
        """The span; days of two zones share it only if they are the same."""
        return slot_of_day(self.span)

    def numbers(self) -> tuple[datetime, Any]:
        """The verifications by kind and by hour."""
        found = self.verifications
        kinds = [[*kind, total, found.valid[kind]] for kind, total in found.totals.items()]
        hours = [
            [hour.start.strftime(HOUR_FORMAT), hour.count, count]
            for hour, count in found.hours.items()
        ]
        return self.as_of, {
            "day": str(self.day),
            "zone": self.zone,
            "shown": [time.isoformat() for time in self.shown],
            "kinds": kinds,
            "hours": hours,
        }

    def reason_to_replace(self, row: Mapping[str, Any], keys: Keys) -> str | None:
        """Whether the application had another name, or the database's clock another zone."""
        present = self.of_row(row, keys)
        if present.application.name != self.application.name:
            return f"the application was renamed, it was {present.application.name}"
        if present.shown != self.shown:
            return f"the time zone of the database was corrected, it began at {present.shown[0]}"
        return None

    @classmethod
    def of_row(cls, row: Mapping[str, Any], keys: Keys) -> Self:
        """The day that a row keeps; raises ``DatabaseFault`` as ``_facts_of``."""
        facts, numbers = _facts_of(row, keys), json.loads(row["users"])
        return cls(
            **facts,
            span=_span_of(row["slot"]),
            day=date.fromisoformat(numbers["day"]),
            zone=numbers["zone"],
            shown=_times(numbers["shown"]),
            as_of=datetime.fromisoformat(row["as_of"]),
            verifications=Verifications(
                Counter({(*kind,): total for *kind, total, _ in numbers["kinds"]}),
                Counter({(*kind,): valid for *kind, _, valid in numbers["kinds"]}),
                Counter(
                    {
                        ClockHour(datetime.fromisoformat(start), length): count
                        for start, length, count in numbers["hours"]
                    }
                ),
            ),
            entry=row["entry"],
        )


def row_of(
    recording: Recorded,
    instance: str,
    keys: Keys,
    *,
    entry: int,
    previous: str,
    corrects: int,
    reason: str | None,
) -> dict[str, Any]:
    """The row that keeps a recording of an instance of the extension, sealed by the newest key.

    ``entry`` counts the rows from 1. ``previous`` is the digest of the row before. ``corrects`` is
    the entry of the row that this one replaces, 0 for none, and ``reason`` says why.
    """
    as_of, numbers = recording.numbers()
    content = {
        "instance": instance,
        "entry": entry,
        "application_id": recording.application.id,
        "application_name": recording.application.name,
        "slot": recording.slot_text,
        "as_of": instant_text(as_of),
        **{name: getattr(recording, name) for name in _SHARED},
        "corrects": corrects,
        "reason": reason,
        "users": json.dumps(numbers, separators=(",", ":")),
        "previous": previous,
    }
    digest = digest_of(content)
    seal = _seal(digest, keys.values[0]) if keys.values else None
    return {**content, "digest": digest, "seal": seal}


def _facts_of(row: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """The fields of ``Recorded``; raises ``DatabaseFault`` for a damaged row, or a false seal."""
    if digest_of(row) != row["digest"]:
        raise DatabaseFault(f"the row {row['entry']} of telemetry_recording is damaged")
    is_sealed = keys.values and row["seal"] is not None
    if is_sealed and not is_genuine(row["digest"], row["seal"], keys):
        raise DatabaseFault(f"the row {row['entry']} of telemetry_recording has a false seal")
    application = Application(id=row["application_id"], name=row["application_name"])
    return {"application": application, **{name: row[name] for name in _SHARED}}


def digest_of(row: Mapping[str, Any]) -> str:
    """SHA-256 over the columns before the digest, by name; whatever a damaged row holds in them."""
    content = {name: value for name, value in row.items() if name not in ("digest", "seal")}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def is_genuine(digest: str, seal: object, keys: Keys) -> bool:
    """Whether one of the keys made the seal of a row with this digest."""
    given = str(seal).encode()
    return any(hmac.compare_digest(_seal(digest, key).encode(), given) for key in keys.values)


def _seal(digest: str, key: bytes) -> str:
    return hmac.new(key, digest.encode(), "sha256").hexdigest()


def instant_text(instant: datetime) -> str:
    """How an aware instant is kept."""
    return instant.astimezone(UTC).strftime(_INSTANT)


def shown_of(users: str) -> DaySpan | None:
    """What the database's clock was taken to show at both ends of a day, None in a damaged row."""
    try:
        return _times(json.loads(users)["shown"])
    except (ValueError, LookupError, TypeError):
        return None


def _times(texts: Sequence[str]) -> DaySpan:
    start, end = map(datetime.fromisoformat, texts)
    return start, end


def slot_of_day(span: DaySpan) -> str:
    """How a span is kept: its start in UTC and its length in minutes, as ISO 8601 writes them."""
    start, end = span
    minutes = (end - start) // timedelta(minutes=1)
    return f"{start.strftime(_START)}/PT{minutes}M"


def _span_of(slot: str) -> DaySpan:
    begins, minutes = slot.removesuffix("M").split("/PT")
    start = datetime.fromisoformat(begins)
    return start, start + timedelta(minutes=int(minutes))
