"""A recording: what a run of the command found for an application, and its row.

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
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask_powerauth_telemetry.config.values import Keys
from flask_powerauth_telemetry.exceptions import DatabaseFault
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import DEFINITION_VERSION, ActivityProfile

REASON_LENGTH = 1000
"""How many characters the reason of a correction may have."""

TOLERANCE = timedelta(minutes=5)
"""How far a pass may be from the hour it stands for, and give the number of a month ending then."""

_SAME_RUN = timedelta(seconds=1)
# The fields of what is recorded that are columns as they are.
_SHARED = ("definition", "milliseconds", "recorded_by", "applications")
_INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"


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
        """Why this takes the place of its slot's row, or None; raises as ``facts_of``."""


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
        present = recording_of(row, keys)
        if not present.gives_way_to(self.profile.as_of):
            return None
        return f"a pass nearer to the hour, {self.distance} off and not {present.distance}"

    @property
    def distance(self) -> timedelta:
        """How far its pass is from its slot."""
        return abs(self.profile.as_of - self.slot)

    def gives_way_to(self, as_of: datetime) -> bool:
        """Whether a pass of this aware instant is nearer to the slot, which then belongs to it."""
        # Hosts that start within a second of each other are equally near.
        return abs(as_of - self.slot) + _SAME_RUN < self.distance


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


def recording_of(row: Mapping[str, Any], keys: Keys) -> Recording:
    """The profile that a row keeps; raises as ``facts_of``."""
    return Recording(
        **facts_of(row, keys),
        slot=datetime.fromisoformat(row["slot"]),
        profile=ActivityProfile(
            as_of=datetime.fromisoformat(row["as_of"]), users=tuple(json.loads(row["users"]))
        ),
    )


def facts_of(row: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
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
