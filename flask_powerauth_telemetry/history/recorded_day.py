"""A recorded day: the verifications of an application between two midnights, and its row.

It is a row like that of a profile, in the same chain, with a definition and slots of its own. So
what proves profiles proves days, and nothing that reads profiles reads days.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from flask_powerauth_telemetry.config.values import Keys
from flask_powerauth_telemetry.history.recording import Recorded, facts_of
from flask_powerauth_telemetry.reports.audit_by_day import DaySpan
from flask_powerauth_telemetry.reports.clock_hours import ClockHour
from flask_powerauth_telemetry.reports.verifications import HOUR_FORMAT, Verifications

VERIFICATIONS_OF_A_DAY = 1001
"""The version of what is counted for a day; those of profiles are below 1000."""

_START_FORMAT = "%Y-%m-%dT%H:%MZ"


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
        present = day_of_row(row, keys)
        if present.application.name != self.application.name:
            return f"the application was renamed, it was {present.application.name}"
        if present.shown != self.shown:
            return f"the time zone of the database was corrected, it began at {present.shown[0]}"
        return None


def day_of_row(row: Mapping[str, Any], keys: Keys) -> RecordedDay:
    """The day that a row keeps; raises as ``facts_of``."""
    facts = facts_of(row, keys)
    numbers = json.loads(row["users"])
    return RecordedDay(
        **facts,
        span=_span_of(row["slot"]),
        day=date.fromisoformat(numbers["day"]),
        zone=numbers["zone"],
        shown=_times(numbers["shown"]),
        as_of=datetime.fromisoformat(row["as_of"]),
        verifications=Verifications(
            Counter({(*kind,): total for *kind, total, _ in numbers["kinds"]}),
            Counter({(*kind,): valid for *kind, _, valid in numbers["kinds"]}),
            Counter({_hour(*hour): count for *hour, count in numbers["hours"]}),
        ),
        entry=row["entry"],
    )


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
    return f"{start.strftime(_START_FORMAT)}/PT{minutes}M"


def _span_of(slot: str) -> DaySpan:
    begins, minutes = slot.removesuffix("M").split("/PT")
    start = datetime.fromisoformat(begins)
    return start, start + timedelta(minutes=int(minutes))


def _hour(start: str, count: int) -> ClockHour:
    return ClockHour(datetime.fromisoformat(start), count)
