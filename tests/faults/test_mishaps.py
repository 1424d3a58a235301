"""Forty days of hourly recordings, among all that goes wrong: nothing untrue is ever recorded."""

import json
import os
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from flask_powerauth_telemetry.database.dialects.base import Replay
from flask_powerauth_telemetry.database.dialects.sqlite import SQLite
from flask_powerauth_telemetry.history import instants
from flask_powerauth_telemetry.history.instants import NotNow
from flask_powerauth_telemetry.history.snapshot import Recorder, Writer
from flask_powerauth_telemetry.history.store import HistoryStore
from tests.faults.test_year_of_recordings import Operation
from tests.history.test_months import HOUR, MINUTE, SECOND, month_of, reader
from tests.support.past import DAY, RETAIL, Past, local_midnight, month_by_hand, random_past
from tests.support.recorded import Site, run

ZONE = ZoneInfo("Europe/Prague")
START = datetime(2026, 10, 23, tzinfo=UTC)
END = START + 40 * DAY
FIRST_END = local_midnight(date(2026, 11, 1), ZONE)
SECOND_END = local_midnight(date(2026, 12, 1), ZONE)
EVERY_HOUR = "TELEMETRY_GENERATED_REQUESTS" in os.environ
"""Also far from the ends of months, where six hours are left out otherwise, to be quick."""

ROWS = text(
    "SELECT as_of, slot, users FROM telemetry_recording AS one WHERE NOT EXISTS"
    " (SELECT 1 FROM telemetry_recording AS other WHERE other.corrects = one.entry) ORDER BY as_of"
)


class Killed(BaseException):
    """The end of a process, at a point that it did not choose."""


class DyingStore(HistoryStore):
    """A store whose process ends before its transaction does."""

    def add(self, *arguments: Any, **options: Any) -> bool:
        super().add(*arguments, **options)
        raise Killed


class Mishaps(Operation):
    """A cron that runs every hour, nearly."""

    def run(
        self,
        now: datetime,
        *,
        clock: timedelta = timedelta(0),
        killed: bool = False,
        behind: bool = False,
    ) -> bool:
        """A run at a true time, by a clock that may be wrong; whether it recorded."""
        self._use_until(now)
        lag = Replay(
            replayed=1,
            received=2,
            sent=None,
            committed=now - HOUR,
            told=None,
            receiver=1,
            silence=60,
            paused=False,
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(instants, "WAIT_SECONDS", -1)
            patch.setattr(SQLite, "server_clock", f"SELECT {now.timestamp()!r}")
            patch.setattr(SQLite, "replay", lambda *_: lag if behind else None)
            store = (DyingStore if killed else HistoryStore)("powerauth_telemetry")
            writer = Writer(self.site.history, store, lambda: now + clock, "host")
            recorder = Recorder(database=self._database, writer=writer)
            try:
                recorder.begin()
                return recorder.record(RETAIL)[1]
            except (NotNow, Killed):
                return False


def mishaps(operation: Mishaps) -> Iterator[tuple[datetime, bool]]:
    """Each true time of a run, and whether it recorded."""
    source = random.Random(4)
    hour = START
    while hour <= END:
        start = hour + source.uniform(0, 20) * SECOND
        near = min(abs(hour - end) for end in (FIRST_END, SECOND_END)) < DAY
        hour += HOUR
        if not near and not EVERY_HOUR and hour.hour % 6:
            continue
        kind = source.choice(
            ("good",) * 5 + ("missed", "killed", "doubled", "ahead", "behind", "lag")
        )
        if hour - HOUR == FIRST_END:
            # Early by hand, by a host whose clock is a day ahead, killed at once, then at last.
            early = FIRST_END - 20 * MINUTE
            yield early, operation.run(early)
            assert not operation.run(start, clock=DAY)
            assert not operation.run(start, killed=True)
            kind = "doubled"
        if SECOND_END - 3 * HOUR < hour - HOUR < SECOND_END + 2 * HOUR:
            kind = "lag"
        if kind in ("good", "doubled"):
            yield start, operation.run(start)
        if kind == "doubled":
            again = start + source.uniform(0, 25) * MINUTE
            yield again, operation.run(again)
        if kind == "killed":
            assert not operation.run(start, killed=True)
        if kind in ("ahead", "behind"):
            wrong = source.choice((45 * SECOND, HOUR, DAY, 31 * DAY))
            assert not operation.run(start, clock=wrong if kind == "ahead" else -wrong)
        if kind == "lag":
            assert not operation.run(start, behind=True)


def test_forty_days_of_mishaps(small_site: Site) -> None:
    past: Past = random_past(3, START - 60 * DAY, END, users=40)
    operation = Mishaps(small_site, past)

    recorded = [start for start, is_new in mishaps(operation) if is_new]

    with small_site.history.connect() as connection:
        rows = [
            (datetime.fromisoformat(as_of), datetime.fromisoformat(slot), tuple(json.loads(users)))
            for as_of, slot, users in connection.execute(ROWS)
        ]
    assert len(rows) > 100
    assert {as_of for as_of, _, _ in rows} <= set(recorded)
    assert len({slot for _, slot, _ in rows}) == len(rows)
    for as_of, slot, users in rows:
        assert abs(as_of - slot) <= 30 * MINUTE
        assert users == past.profile(as_of).users
    client = reader(small_site.history, "Europe/Prague", END, DATABASE_TIMEZONE="Europe/Prague")
    hold = [as_of for as_of, _, _ in rows]
    for month in (10, 11):
        assert month_of(client, f"2026-{month}") == month_by_hand(past, hold, 2026, month, ZONE)
    assert month_of(client, "2026-10")["complete"]
    november = month_of(client, "2026-11")
    assert november["state"] == "bounded"
    true = past.active(SECOND_END - 30 * DAY, SECOND_END)
    assert november["lowerBound"] <= true <= november["upperBound"]
    assert run(small_site.auditor, "--verify").exit_code == 0
