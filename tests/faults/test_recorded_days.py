"""Runs at once, a run that is killed, and weeks of recording days and pruning the audit."""

import random
import subprocess
import time
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from flask_powerauth_telemetry.history.store import HistoryStore
from tests.history.test_snapshot import APPLICATION, COMMAND, SLOT, environment
from tests.support.audit import DAY, HOUR, TICK
from tests.support.held import locked
from tests.support.past import INSTANCE, local_midnight
from tests.support.powerauth import wall_clock
from tests.support.recorded import Site, run
from tests.support.recorded_days import NOVEMBER, Life, month_of, random_rows, steady, told
from tests.support.service import NOW

CASES = [
    ("UTC", "UTC", (2026, 10)),
    ("UTC", "Europe/Prague", (2026, 10)),
    ("Europe/Prague", "Europe/Prague", (2026, 3)),
    ("Europe/Prague", "Atlantic/Cape_Verde", (2026, 10)),
    ("America/Havana", "America/Havana", (2026, 11)),
    ("Australia/Lord_Howe", "Asia/Kathmandu", (2026, 4)),
    ("UTC", "America/Santiago", (2026, 9)),
]
"""The zone of the database, that of the report, and a month with a change of clock."""


@pytest.mark.parametrize(("zone", "calendar", "month"), CASES)
def test_known_days_are_the_whole_truth_however_it_is_pruned(
    small_site: Site, zone: str, calendar: str, month: tuple[int, int]
) -> None:
    live(small_site, zone, calendar, month)


@pytest.mark.parametrize(("zone", "calendar", "month"), CASES[2:4])
def test_known_days_are_the_whole_truth_on_every_database(
    postgresql_site: Site, zone: str, calendar: str, month: tuple[int, int]
) -> None:
    live(postgresql_site, zone, calendar, month)


def live(site: Site, zone: str, calendar: str, month: tuple[int, int]) -> None:
    """Record and prune at random for some weeks; every answer is what is known by hand."""
    source = random.Random(f"{zone}{calendar}{site.powerauth.name}")
    own, shown = ZoneInfo(zone), ZoneInfo(calendar)
    first = date(*month, 1) - 9 * DAY
    life = Life(site, own, shown, random_rows(source, own, shown, first, 48))
    for number in (3, 8, 20, 27, 40, 47):
        day = first + number * DAY
        edge = local_midnight(day, shown) + source.choice((-TICK, 0 * TICK, TICK, HOUR, DAY / 2))
        site.clock.now = edge
        names = source.choice((["retail"], ["corporate", "retail"], ["corporate", "retail"]))
        if number != 20:
            life.record(names)
        back = source.choice((1, 4, 9, 30)) * DAY
        at = source.choice((edge - back, local_midnight(day, shown) - back + TICK))
        life.prune(wall_clock(at, own))

        client = life.client()
        for name in ("retail", "corporate"):
            if site.clock.now >= local_midnight(date(*month, 1), shown):
                assert told(month_of(client, month, name)) == life.must_answer(month, name)

    life.prune(datetime.max)
    data = month_of(life.client(), month)
    assert told(data) == life.must_answer(month)
    assert data["recordedDays"]
    assert data["missing"]
    verified = run(site.auditor, "--verify")
    assert verified.stdout.startswith("The history is whole: ")


def day_rows(site: Site) -> int:
    return sum(slot.endswith("M") for _, slot, _ in site.rows())


def start(folder: Path, site: Site, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, *options],
        cwd=folder,
        env=environment(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the operator's application."""
    (tmp_path / "app.py").write_text(APPLICATION, encoding="utf-8")
    return tmp_path


def test_two_hosts_at_once_record_one_row(postgresql_site: Site, folder: Path) -> None:
    site = postgresql_site
    with locked(site.powerauth) as await_waiting:
        hosts = [start(folder, site) for _ in range(2)]
        await_waiting(2)
    outputs = [host.communicate(timeout=60) for host in hosts]

    assert [host.returncode for host in hosts] == [0, 0], outputs
    assert [errors for _, errors in outputs] == ["", ""]
    lines = sorted(line for output, _ in outputs for line in output.splitlines())
    assert [line.split(",")[0] for line in lines if " history " not in line] == [
        f"corporate: is recorded already for {SLOT}",
        f"corporate: recorded for {SLOT}",
        f"retail: is recorded already for {SLOT}",
        f"retail: recorded for {SLOT}",
    ]
    assert [row[0] for row in site.rows()] == ["corporate", "retail"]


def test_runs_that_start_together_make_one_store(postgresql_site: Site, folder: Path) -> None:
    runs = [start(folder, postgresql_site) for _ in range(3)]
    ends = [run.communicate(timeout=60) for run in runs]

    assert [run.returncode for run in runs] == [0] * 3, ends
    rows = [(name, slot) for name, slot, _ in postgresql_site.rows()]
    assert len(rows) == len(set(rows))
    assert {name for name, _ in rows} == {"corporate", "retail"}


def test_two_runs_at_once_record_each_day_once(postgresql_site: Site, folder: Path) -> None:
    site = postgresql_site
    life = steady(site, 20)
    runs = [start(folder, site, "--signatures") for _ in range(2)]
    ends = [run.communicate(timeout=120) for run in runs]

    assert [run.returncode for run in runs] == [0, 0], ends
    assert len(site.rows()) == 2 + 2 * 20
    assert run(site.auditor, "--verify").exit_code == 0
    life.known = {
        (name, NOW.date() - number * DAY): NOW
        for name in ("corporate", "retail")
        for number in range(1, 21)
    }
    assert told(month_of(life.client(), NOVEMBER)) == life.must_answer(NOVEMBER)
    life.prune(datetime.max)
    assert told(month_of(life.client(), NOVEMBER)) == life.must_answer(NOVEMBER)


def test_run_that_is_killed_leaves_whole_days_and_the_next_one_goes_on(
    postgresql_site: Site, folder: Path
) -> None:
    site = postgresql_site
    steady(site, 31)
    HistoryStore(INSTANCE).create(site.history)
    killed = start(folder, site, "--signatures")
    while day_rows(site) == 0 and killed.poll() is None:
        time.sleep(0.001)
    killed.kill()
    killed.communicate(timeout=60)

    assert 0 < day_rows(site) < 2 * 31
    assert run(site.auditor, "--verify").exit_code == 0
    again = start(folder, site, "--signatures")
    assert again.communicate(timeout=120)[1] == ""
    assert (again.returncode, day_rows(site)) == (0, 2 * 31)
    assert run(site.auditor, "--verify").exit_code == 0
