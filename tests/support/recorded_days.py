"""An audit that is written, recorded and pruned, and what must be known of it."""

import random
import shutil
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask.testing import FlaskClient
from sqlalchemy import text

from tests.support import audit, powerauth
from tests.support.audit import DAY, HOUR, TICK, Verification
from tests.support.past import local_midnight
from tests.support.powerauth import Activation, wall_clock
from tests.support.recorded import Site, run
from tests.support.service import ask

REPORT = "SIGNATURES_IN_MONTH"
YEAR = datetime(2025, 1, 1)
OCTOBER, NOVEMBER = (2026, 10), (2026, 11)
ACTIVATIONS = str.maketrans("rc", "ab")


@dataclass
class Life:
    """An audit that is written, pruned and recorded, and what must be known of it."""

    site: Site
    zone: ZoneInfo
    calendar: ZoneInfo
    rows: Sequence[Verification]
    pruned: datetime = datetime.min
    known: dict[tuple[str, date], datetime] = field(default_factory=dict)
    midnights: dict[date, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        powerauth.add_activations(
            self.site.powerauth,
            [Activation("a", 1, "anna", YEAR), Activation("b", 2, "bob", YEAR)],
        )
        audit.add_verifications(self.site.powerauth, self.rows)

    def copied(self, site: Site) -> "Life":
        """The same in another place, whose databases are new files of SQLite."""
        for name in ("powerauth", "history"):
            own, other = getattr(self.site, name), getattr(site, name)
            other.dispose()
            shutil.copyfile(own.url.database, other.url.database)
        life = copy(self)
        life.site, life.known = site, dict(self.known)
        return life

    @property
    def keys(self) -> dict[str, Any]:
        zones = {"DATABASE_TIMEZONE": str(self.zone), "REPORT_TIMEZONE": str(self.calendar)}
        return {**zones, "REPORTS": [REPORT]}

    def client(self) -> FlaskClient:
        return self.site.recorder(**self.keys).test_client()

    def prune(self, shown: datetime) -> None:
        """Delete what is older than a time of the database's clock."""
        audit.delete_verifications(self.site.powerauth, shown)
        self.pruned = max(self.pruned, shown)

    def held(self) -> list[datetime]:
        return [one.timestamp_created for one in self.rows if one.timestamp_created >= self.pruned]

    def reaches(self, day: date) -> bool:
        return bool(self.held()) and min(self.held()) <= self.midnight(day)

    def midnight(self, day: date) -> datetime:
        """The time that the database's clock shows at the day's first instant."""
        if day not in self.midnights:
            self.midnights[day] = wall_clock(local_midnight(day, self.calendar), self.zone)
        return self.midnights[day]

    def record(self, names: Sequence[str] = ("corporate", "retail")) -> None:
        """Run the command, and note what it must have recorded."""
        now = self.site.clock.now
        newest = max(
            (one for one in self.held() if one <= wall_clock(now, self.zone)), default=YEAR
        )
        day = now.astimezone(self.calendar).date()
        whole: list[date] = []
        while self.reaches(day := day - DAY):
            over_since = local_midnight(day + DAY, self.calendar)
            if over_since + HOUR <= now and self.midnight(day + DAY) <= newest:
                whole.append(day)
        lines, left = [], False
        for name in names:
            missing = [day for day in whole if (name, day) not in self.known]
            self.known |= {(name, day): now for day in missing[:31]}
            lines += [f"{name}: recorded {one}, " for one in missing[:31]]
            left |= len(missing) > 31
        chosen = [option for name in names for option in ("--application", name)]

        result = run(self.site.recorder(**self.keys), "--signatures", *chosen)

        assert result.exit_code == left, result.output
        said = [line for line in result.stdout.splitlines() if " verifications" in line]
        assert len(said) == len(lines)
        assert all(map(str.startswith, said, lines))

    def must_answer(self, month: tuple[int, int], name: str = "retail") -> dict[str, Any]:
        """Counted by hand: the whole truth of each day that is known, else what is left of it."""
        own = [one for one in self.rows if one.activation_id == name[0].translate(ACTIVATIONS)]
        now = self.site.clock.now
        today = now.astimezone(self.calendar).date()
        first = date(*month, 1)
        days = [day for number in range(31) if (day := first + number * DAY).month == month[1]]
        begun = [day for day in days if day <= today]
        recorded = [day for day in begun if not self.reaches(day) and (name, day) in self.known]
        missing = [day for day in begun if not self.reaches(day) and day not in recorded]
        kept = [
            one
            for one in own
            if one.timestamp_created >= self.pruned
            or any(self.lies_in(one, day) for day in recorded)
        ]
        must = audit.month_by_hand(kept, month, now, self.calendar, self.zone)
        for day in missing:
            must["byDay"][day.day - 1] = None
        at = [self.known[name, day].astimezone(self.calendar).isoformat() for day in recorded]
        must["recordedDays"] = [
            {"day": str(day), "recordedAt": time} for day, time in zip(recorded, at, strict=True)
        ]
        truth = audit.month_by_hand(own, month, now, self.calendar, self.zone)
        for told, true in zip(must["byDay"], truth["byDay"], strict=True):
            assert told in (None, true)
        return {**must, "application": name, "missing": [str(day) for day in missing]}

    def lies_in(self, one: Verification, day: date) -> bool:
        return self.midnight(day) <= one.timestamp_created < self.midnight(day + DAY)


def month_of(client: FlaskClient, month: tuple[int, int], name: str = "retail") -> dict[str, Any]:
    asked = {"application": name, "month": f"{month[0]}-{month[1]:02}"}
    answer = ask(client, REPORT, asked)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    data: dict[str, Any] = answer.get_json()["responseObject"]["reportData"]
    return data


def told(data: Mapping[str, Any]) -> dict[str, Any]:
    """What is told, but for where it was read."""
    days = [{key: day[key] for key in ("day", "recordedAt")} for day in data["recordedDays"]]
    ends = {"auditSince", "auditUntil"}
    return {key: data[key] for key in data if key not in ends} | {"recordedDays": days}


def random_rows(
    source: random.Random, zone: ZoneInfo, calendar: ZoneInfo, first: date, days: int
) -> list[Verification]:
    """Some on most days, with many at the midnights, a tick before or after."""
    times = []
    for number in range(days):
        midnight = local_midnight(first + number * DAY, calendar)
        if source.random() < 0.8:
            times += [midnight + ticks * TICK for ticks in (-1, 0, 1) if source.random() < 0.7]
            times += [midnight + source.random() * DAY for _ in range(source.choice((0, 3, 9)))]
    return [
        Verification(
            activation_id=source.choice("aaab"),
            timestamp_created=wall_clock(time, zone),
            valid=source.choice((True, True, False, None)),
            signature_type=source.choice(("POSSESSION", "POSSESSION_KNOWLEDGE", "Ω'\"")),
            signature_algorithm=source.choice((None, "ECDSA_P256")),
        )
        for time in times
    ]


def steady(site: Site, days: int = 20, zone: str = "UTC") -> Life:
    """Two verifications on each day up to the clock, at 0:00 and at noon."""
    end = datetime.combine(site.clock.now.date(), datetime.min.time())
    times = [end - number * DAY / 2 for number in range(2 * days + 1)]
    rows = [Verification("a", time) for time in times]
    return Life(site, ZoneInfo("UTC"), ZoneInfo(zone), rows)


def rename(site: Site, application: int, name: str) -> None:
    with site.powerauth.begin() as connection:
        connection.execute(
            text("UPDATE pa_application SET name = :name WHERE id = :id"),
            {"name": name, "id": application},
        )
