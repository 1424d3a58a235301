"""A past made up of uses, the rows that a history has of it, and counts by hand."""

import random
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo

from sqlalchemy import Engine

from flask_powerauth_telemetry.history.recording import Recording
from flask_powerauth_telemetry.history.snapshot import nearest_hour
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import ActivityProfile

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
RETAIL = Application(1, "retail")
INSTANCE = "powerauth_telemetry"


@dataclass
class Past:
    """When each user was active, at aware instants in UTC."""

    uses: dict[str, list[datetime]] = field(default_factory=dict)

    def last_use(self, user: str, as_of: datetime) -> datetime | None:
        return max((use for use in self.uses[user] if use <= as_of), default=None)

    def last_uses(self, as_of: datetime) -> Mapping[str, datetime]:
        """The newest use of each user who had one by then."""
        known = {user: self.last_use(user, as_of) for user in self.uses}
        return {user: use for user, use in known.items() if use is not None}

    def active(self, start: datetime, end: datetime) -> int:
        """The users with any use in a closed interval."""
        return sum(any(start <= use <= end for use in uses) for uses in self.uses.values())

    def last_used(self, start: datetime, end: datetime, as_of: datetime) -> int:
        """The users whose newest use, as of an instant, lies in a closed interval."""
        return sum(start <= use <= end for use in self.last_uses(as_of).values())

    def profile(self, as_of: datetime) -> ActivityProfile:
        """What a pass finds at an instant."""
        ages = sorted(as_of - use for use in self.last_uses(as_of).values())
        users = (bisect_right(ages, days * DAY) for days in range(1, 366))
        return ActivityProfile(as_of, tuple(users))


def random_past(seed: int, start: datetime, end: datetime, users: int) -> Past:
    """Users who come, go and come back, each at a pace of its own, at times also at midnight."""
    source = random.Random(seed)
    past = Past()
    length = (end - start).total_seconds()
    for number in range(users):
        joined, left = sorted(source.uniform(0, length) for _ in range(2))
        count = source.choice((1, 2, 5, 20))
        uses = [start + timedelta(seconds=source.uniform(joined, left)) for _ in range(count)]
        # Some at the full hour, where windows begin and end.
        past.uses[f"user-{number}"] = [
            nearest_hour(use) if source.random() < 0.3 else use for use in uses
        ]
    return past


def record(
    engine: Engine,
    profiles: Iterable[ActivityProfile],
    *,
    application: Application = RETAIL,
    reason: str | None = None,
) -> None:
    """Rows of a history, as the command adds them."""
    store = HistoryStore(INSTANCE)
    store.create(engine)
    with engine.begin() as connection:
        for profile in profiles:
            store.add(connection, recording(profile, application), reason)


def recording(profile: ActivityProfile, application: Application = RETAIL) -> Recording:
    return Recording(
        application=application,
        slot=nearest_hour(profile.as_of),
        profile=profile,
        milliseconds=7,
        recorded_by="host",
    )


def local_midnight(day: date, zone: tzinfo) -> datetime:
    """The first instant of a day, found by trying every quarter of an hour."""
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) - DAY
    while instant.astimezone(zone).date() < day:
        instant += timedelta(minutes=15)
    return instant


def month_by_hand(
    past: Past, rows: Sequence[datetime], year: int, month: int, zone: tzinfo
) -> dict[str, object]:
    """What USERS_IN_MONTH must answer for a month that is over.

    ``rows`` are the instants of the passes that hold, one ``as_of`` for each.
    """
    first, following = date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)
    days = (following - first).days
    end = local_midnight(following, zone)
    start = end - days * DAY
    nearest = min(rows, key=lambda row: abs(row - end))
    before = sorted((row for row in rows if row < end), reverse=True)[:48]
    after = sorted(row for row in rows if row >= end)[:48]
    complete = abs(nearest - end) <= timedelta(minutes=5)
    lower, upper = (None, None) if complete else _bounds(past, before, after, start, end)
    known = lower is not None or upper is not None
    return {
        "application": "retail",
        "month": f"{year}-{month:02}",
        "users": past.active(nearest - days * DAY, nearest) if complete else None,
        "from": start.astimezone(zone).isoformat(),
        "to": end.astimezone(zone).isoformat(),
        "complete": complete,
        "state": "recorded" if complete else "bounded" if known else "unknown",
        "asOf": nearest.astimezone(zone).isoformat(),
        "secondsLate": (nearest - end).total_seconds(),
        "hoursLeftOut": (start - local_midnight(first, zone)) / timedelta(hours=1),
        "lowerBound": lower,
        "upperBound": upper,
    }


def days_by_hand(
    past: Past, rows: Sequence[datetime], first: date, last: date, zone: tzinfo, days: int
) -> dict[str, object]:
    """What MAU_HISTORY must answer."""
    dates = [first + count * DAY for count in range((last - first).days + 1)]
    latest = {row.astimezone(zone).date(): row for row in sorted(rows)}
    users = {
        day: past.active(latest[day] - days * DAY, latest[day]) for day in dates if day in latest
    }
    return {
        "application": "retail",
        "from": str(first),
        "to": str(last),
        "days": days,
        "usersByDay": {str(day): count for day, count in users.items()},
        "missing": [str(day) for day in dates if day not in users],
        "average": round(sum(users.values()) / len(users), 2) if users else None,
        "maximum": max(users.values(), default=None),
    }


def _bounds(
    past: Past,
    before: Sequence[datetime],
    after: Sequence[datetime],
    start: datetime,
    end: datetime,
) -> tuple[int | None, int | None]:
    """The best bounds by whole days, counted over uses."""
    lower, upper = [], []
    for row in before:
        first = _first_at_or_after(start, row)
        if first < row:
            lower.append(past.active(first, row))
    for row in after:
        first = _first_at_or_after(start, row)
        last = row - -((end - row) // DAY) * DAY  # the last one at the end or before
        if first <= last:
            lower.append(past.last_used(first, last - TICK, row))
        reach = first if first == start else first - DAY
        if row - reach <= 365 * DAY:
            upper.append(past.last_used(reach, row, row))
    return max(lower, default=None), min(upper, default=None)


def _first_at_or_after(start: datetime, row: datetime) -> datetime:
    """The first instant from ``start`` on that lies whole days before a row, a year at most."""
    return max(row - (row - start) // DAY * DAY, row - 365 * DAY)
