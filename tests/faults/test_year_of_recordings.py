"""A year as an operator would see it: a cron that fails at times, users who come and go."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import event, text

from flask_powerauth_telemetry.history.snapshot import Recorder, Writer
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.state import EXTENSION_KEY
from tests.history.test_months import HOUR, MINUTE, SECOND, days_of, month_of, reader
from tests.support import powerauth
from tests.support.past import (
    DAY,
    INSTANCE,
    RETAIL,
    Past,
    days_by_hand,
    local_midnight,
    month_by_hand,
    random_past,
)
from tests.support.recorded import Site, run

ZONE = ZoneInfo("Europe/Prague")
START = datetime(2023, 9, 1, tzinfo=UTC)
END = datetime(2025, 1, 12, 9, tzinfo=UTC)
FIRST = date(2023, 11, 1)
MONTHS = [(2023, 11), (2023, 12), *((2024, month) for month in range(1, 13))]

OUTAGES = (
    (date(2024, 1, 31), date(2024, 2, 3)),  # over an end, seen two days later
    (date(2024, 4, 28), date(2024, 5, 9)),  # over an end, seen after it for more than a week
    (date(2024, 8, 1), date(2024, 8, 1)),  # the one run that matters
)
DELAYS = {
    date(2024, 3, 1): 4 * MINUTE,  # a day after the leap day; near enough
    date(2024, 4, 1): 2 * HOUR,  # after the change of the clock
    date(2024, 6, 1): 6 * MINUTE,
    date(2024, 11, 1): 7 * SECOND,
    date(2024, 12, 1): 29 * MINUTE,
    date(2024, 10, 1): -HOUR,
}
"""How late the run of a day was; others take some seconds to start."""

USE = text("UPDATE pa_activation SET timestamp_last_used = :used WHERE activation_id = :device")


@dataclass
class Operation:
    """A cron on two hosts, and the database as it was at each run."""

    site: Site
    past: Past
    rows: list[datetime] = field(default_factory=list)

    def __post_init__(self) -> None:
        uses = ((use, user) for user, uses in self.past.uses.items() for use in uses)
        self._coming = sorted(uses)
        app = self.site.recorder(DATABASE_TIMEZONE="Europe/Prague")
        self._database = app.extensions[EXTENSION_KEY][INSTANCE].databases[None]
        for engine in (self.site.powerauth, self.site.history):
            event.listen(engine, "connect", _need_not_outlive_a_crash)
        self._store = HistoryStore(INSTANCE)
        self._store.create(self.site.history)
        powerauth.add_activations(
            self.site.powerauth,
            [
                powerauth.Activation(f"{user}-{device}", 1, user, datetime(2000, 1, 1))
                for user in self.past.uses
                for device in range(2)
            ],
        )

    def run_at(self, instant: datetime) -> bool:
        """Do what the command does for one application; whether it recorded."""
        self._use_until(instant)
        writer = Writer(self.site.history, self._store, lambda: instant, "host")
        recorder = Recorder(database=self._database, writer=writer)
        recorder.begin()
        _, recorded = recorder.record(RETAIL)
        if recorded:
            self.rows.append(instant)
        return recorded

    def _use_until(self, instant: datetime) -> None:
        rows = []
        while self._coming and self._coming[0][0] <= instant:
            use, user = self._coming.pop(0)
            used = powerauth.wall_clock(use, ZONE).isoformat(" ", "microseconds")
            rows.append({"used": used, "device": f"{user}-{use.second % 2}"})
        update = (
            "UPDATE pa_activation SET timestamp_last_used = :used WHERE activation_id = :device"
        )
        if rows:
            with self.site.powerauth.begin() as connection:
                connection.execute(text(update), rows)


def _need_not_outlive_a_crash(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


def cron() -> Iterator[tuple[date, datetime]]:
    """Each local midnight near the end of a month, and every fourth one else, without outages."""
    day = FIRST
    while day < END.date():
        near = day.day <= 4 or (day + 3 * DAY).month != day.month
        out = any(first <= day <= last for first, last in OUTAGES)
        if (near or day.day % 4 == 0) and not out:
            yield day, local_midnight(day, ZONE)
        day += DAY


def operate(site: Site, past: Past) -> Operation:
    """The whole year; at times the second host is there as well, a moment earlier or later."""
    operation = Operation(site, past)
    source = random.Random(1)
    for day, midnight in cron():
        start = midnight + DELAYS.get(day, source.uniform(0, 3) * SECOND)
        assert operation.run_at(start)
        if source.random() < 0.2:
            assert not operation.run_at(start + source.uniform(0, 2) * SECOND)
    return operation


def test_year_of_recordings(small_site: Site) -> None:
    past = random_past(9, START, END, users=120)
    operation = operate(small_site, past)
    client = reader(small_site.history, "Europe/Prague", END, DATABASE_TIMEZONE="Europe/Prague")

    months = {
        f"{year}-{month:02}": month_of(client, f"{year}-{month:02}") for year, month in MONTHS
    }

    assert list(months.values()) == [
        month_by_hand(past, operation.rows, year, month, ZONE) for year, month in MONTHS
    ]
    without = [month for month, data in months.items() if not data["complete"]]
    assert without == ["2024-01", "2024-03", "2024-04", "2024-05", "2024-07", "2024-09", "2024-11"]
    for month in without:
        start, end = (datetime.fromisoformat(months[month][key]) for key in ("from", "to"))
        true = past.active(start, end)
        assert 0 < months[month]["lowerBound"] <= true <= months[month]["upperBound"] < 120

    days = days_of(client, FIRST, END.date() - DAY)
    assert days == days_by_hand(past, operation.rows, FIRST, END.date() - DAY, ZONE, 30)
    assert {"2024-02-01", "2024-05-05", "2024-08-01"} <= set(days["missing"])

    count = len(operation.rows)
    verified = run(small_site.auditor, "--verify")
    assert verified.stdout.startswith(f"The history is whole: {count} rows")
    small_site.execute(
        "UPDATE telemetry_recording SET milliseconds = 1 + milliseconds WHERE entry = 50"
    )
    small_site.execute(f"DELETE FROM telemetry_recording WHERE entry IN (70, {count})")
    verified = run(small_site.auditor, "--verify")
    assert verified.exit_code == 1
    first, *others = verified.stderr.splitlines()
    assert first.startswith("row 50 (retail, ")
    assert others == ["row 70: is gone", f"row {count}: is gone"]
