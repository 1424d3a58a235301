"""Rows of PowerAuth's history and audit tables, at random, and counts of them by hand."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from itertools import islice
from typing import Any

from sqlalchemy import Engine, delete, insert

from flask_powerauth_telemetry.database.tables import PowerAuthTables
from tests.support.powerauth import Activation, wall_clock

HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
CREATED, PENDING_COMMIT, ACTIVE, BLOCKED, REMOVED = range(1, 6)
_HISTORIES: tuple[tuple[int | None, ...], ...] = (
    (),
    (CREATED, PENDING_COMMIT),
    (CREATED, ACTIVE),
    (CREATED, PENDING_COMMIT, ACTIVE, ACTIVE, REMOVED),
    (CREATED, ACTIVE, BLOCKED, ACTIVE, None),
)
_TYPES = ("POSSESSION", "POSSESSION_KNOWLEDGE", "possession_biometry", "Ω'\"")
_ALGORITHMS = (None, "PowerAuth-V3", "ECDSA_P256")


@dataclass(frozen=True)
class Change:
    """A row of pa_activation_history; the time is naive, of the database's clock."""

    activation_id: str
    activation_status: int | None
    timestamp_created: datetime


@dataclass(frozen=True)
class Verification:
    """A row of pa_signature_audit; the time is naive, of the database's clock."""

    activation_id: str
    timestamp_created: datetime
    valid: bool | None = True
    signature_type: str = "POSSESSION_KNOWLEDGE"
    signature_algorithm: str | None = None


def add_changes(engine: Engine, changes: Sequence[Change]) -> None:
    """Rows of pa_activation_history."""
    _add(engine, "pa_activation_history", [vars(change) for change in changes])


def add_verifications(
    engine: Engine, verifications: Sequence[Verification], version: str = "2.2", first: int = 0
) -> None:
    """Rows of pa_signature_audit, as that version of PowerAuth writes them, numbered from first."""
    rows = [{**vars(verification)} for verification in verifications]
    if version != "2.2":
        for row in rows:
            del row["signature_algorithm"]
    _add(engine, "pa_signature_audit", rows, first)


def delete_verifications(engine: Engine, before: datetime = datetime.max) -> None:
    """Prune pa_signature_audit of the rows before a naive time of the database's clock."""
    audit = PowerAuthTables().pa_signature_audit
    with engine.begin() as connection:
        connection.execute(delete(audit).where(audit.c.timestamp_created < before))


def _add(engine: Engine, table: str, rows: Iterable[dict[str, Any]], first: int = 0) -> None:
    numbered = [{"id": number, **row} for number, row in enumerate(rows, first)]
    with engine.begin() as connection:
        connection.execute(insert(getattr(PowerAuthTables(), table)), numbered)


def random_times(source: random.Random, now: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Naive times around the past year, every second one at the very edge of some window."""
    edges = [wall_clock(now - days * DAY, zone) for days in range(367)]
    while True:
        yield source.choice(edges) + source.choice((-TICK, timedelta(0), TICK))
        yield wall_clock(now - timedelta(seconds=source.uniform(-86_400, 33_000_000)), zone)


def random_changes(
    source: random.Random, activations: Sequence[Activation], now: datetime, zone: tzinfo
) -> list[Change]:
    """Histories of every shape: none, never active, renamed, blocked and unblocked."""
    changes = []
    any_time = random_times(source, now, zone)
    for activation in activations:
        statuses = source.choice(_HISTORIES)
        times = sorted(islice(any_time, len(statuses)))
        changes += [
            Change(activation.activation_id, status, time)
            for status, time in zip(statuses, times, strict=True)
        ]
    source.shuffle(changes)
    return changes


def new_users_by_hand(
    activations: Iterable[Activation],
    changes: Iterable[Change],
    application_id: int,
    edges: Sequence[datetime],
) -> list[int]:
    """The users who are new in each window; ``edges`` are its end and the starts, newest first."""
    users = {
        activation.activation_id: activation.user_id
        for activation in activations
        if activation.application_id == application_id
    }
    firsts: dict[str, datetime] = {}
    for change in changes:
        if change.activation_status == ACTIVE and change.activation_id in users:
            user = users[change.activation_id]
            firsts[user] = min(firsts.get(user, change.timestamp_created), change.timestamp_created)
    return [sum(start <= first <= edges[0] for first in firsts.values()) for start in edges[1:]]


def random_verifications(
    source: random.Random,
    activations: Sequence[Activation],
    now: datetime,
    zone: tzinfo,
    count: int,
) -> list[Verification]:
    """Verifications of every kind by activations of all applications."""
    return [
        Verification(
            activation_id=source.choice(activations).activation_id,
            timestamp_created=time,
            valid=source.choice((True, True, True, False, None)),
            signature_type=source.choice(_TYPES),
            signature_algorithm=source.choice(_ALGORITHMS),
        )
        for time in islice(random_times(source, now, zone), count)
    ]


def signatures_by_hand(
    verifications: Sequence[Verification], now: datetime, days: int, zone: tzinfo
) -> dict[str, Any]:
    """What the report says of the verifications of one application in a window up to now."""
    start, end = wall_clock(now - days * DAY, zone), wall_clock(now, zone)
    within = [one for one in verifications if start <= one.timestamp_created <= end]
    by_hour = _by_hour_by_hand(within, now - days * DAY, now, zone)
    return {**_totals_by_hand(within, zone), "byHour": by_hour}


def month_by_hand(
    verifications: Sequence[Verification],
    month: tuple[int, int],
    now: datetime,
    report_zone: tzinfo,
    zone: tzinfo,
) -> dict[str, Any]:
    """What the report says of those of one application in a month, by year and number.

    ``report_zone`` is that of the calendar, ``zone`` that of the database's clock.
    """
    first = datetime(*month, 1)
    days = (first.replace(year=month[0] + month[1] // 12, month=month[1] % 12 + 1) - first).days
    midnights = [
        (first + number * DAY).replace(tzinfo=report_zone).astimezone(UTC)
        for number in range(days + 1)
    ]
    ends = [wall_clock(time, zone) for time in midnights]
    within = [
        one
        for one in verifications
        if ends[0] <= one.timestamp_created < ends[-1]
        and one.timestamp_created <= wall_clock(now, zone)
    ]
    return {
        **_totals_by_hand(within, zone),
        "month": f"{month[0]}-{month[1]:02}",
        "from": midnights[0].astimezone(report_zone).isoformat(),
        "to": midnights[-1].astimezone(report_zone).isoformat(),
        "complete": midnights[-1] <= now,
        "byDay": [
            sum(ends[day] <= one.timestamp_created < ends[day + 1] for one in within)
            if midnights[day] <= now
            else None
            for day in range(days)
        ],
    }


def _totals_by_hand(within: Sequence[Verification], zone: tzinfo) -> dict[str, Any]:
    kinds = {(one.signature_type, one.signature_algorithm) for one in within}
    return {
        **_verified(within),
        "byType": [
            {
                "type": kind,
                "algorithm": algorithm,
                **_verified(
                    one
                    for one in within
                    if (one.signature_type, one.signature_algorithm) == (kind, algorithm)
                ),
            }
            for kind, algorithm in sorted(kinds, key=lambda key: (key[0], key[1] or ""))
        ],
        "busiestHour": _busiest_by_hand(within, zone),
    }


def _verified(verifications: Iterable[Verification]) -> dict[str, int]:
    valid = Counter(bool(one.valid) for one in verifications)
    return {"total": valid.total(), "valid": valid[True], "invalid": valid[False]}


def _by_hour_by_hand(
    within: Iterable[Verification], start: datetime, end: datetime, zone: tzinfo
) -> dict[str, Any]:
    counts = Counter(_hours_of(_quarter(one.timestamp_created), zone)[0] for one in within)
    first = hour = _hours_of(wall_clock(start, zone), zone)[0]
    verifications: list[int | None] = []
    while hour <= end:
        counted = _hours_of(wall_clock(hour, zone), zone)[0] == hour
        verifications.append(counts[hour] if counted else None)
        hour += HOUR
    return {"start": _shown(first), "verifications": verifications}


def _busiest_by_hand(within: Iterable[Verification], zone: tzinfo) -> dict[str, Any] | None:
    counts = Counter(_hours_of(_quarter(one.timestamp_created), zone) for one in within)
    if not counts:
        return None
    hours, count = min(counts.items(), key=lambda item: (-item[1] / len(item[0]), item[0]))
    return {
        "start": _shown(hours[0]),
        "verifications": count,
        "perSecond": round(count / len(hours) / 3600, 6),
    }


def _shown(hour: datetime) -> str:
    return f"{hour:%Y-%m-%dT%H:00:00Z}"


@cache
def _hours_of(shown: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """The hours of UTC that a naive time can't be told to lie in or not to."""
    hours = {_hour(instant) for instant in _instants(shown, zone)}
    while (
        more := {
            _hour(instant)
            for hour in hours
            for minute in range(0, 60, 15)
            for instant in _instants(wall_clock(hour + timedelta(minutes=minute), zone), zone)
        }
        - hours
    ):
        hours |= more
    return tuple(sorted(hours))


def _instants(shown: datetime, zone: tzinfo) -> set[datetime]:
    return {shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _quarter(shown: datetime) -> datetime:
    return shown.replace(minute=shown.minute // 15 * 15, second=0, microsecond=0)
