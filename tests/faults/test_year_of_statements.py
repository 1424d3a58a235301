"""A year of recordings with gaps, a pruned audit, a renamed application: what statements say."""

import json
import random
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.audit import DAY, HOUR
from tests.support.commands import command
from tests.support.past import local_midnight
from tests.support.powerauth import wall_clock
from tests.support.recorded import Site
from tests.support.recorded_days import Life, random_rows, rename, told

ZONE = ZoneInfo("Europe/Prague")
FIRST = date(2025, 11, 1)
MONTHS = [(2025, 11), (2025, 12), *((2026, month) for month in range(1, 11))]
REPORTS = ["USERS_IN_MONTH", "MAU_HISTORY", "SIGNATURES_IN_MONTH"]
KEPT_DAYS = 40
OUTAGES = ((date(2026, 1, 10), date(2026, 3, 15)), (date(2026, 8, 1), date(2026, 8, 1)))
"""When nothing is recorded, both days included; the first is longer than the audit is kept."""

RENAMED = date(2026, 6, 20)


def is_out(day: date) -> bool:
    return any(first <= day <= last for first, last in OUTAGES)


def operate(site: Site) -> Life:
    """The year: recorded each fifth day and at each month's end, pruned each third night."""
    rows = random_rows(random.Random(5), ZONE, ZONE, FIRST - DAY, 390)
    life = Life(site, ZONE, ZONE, rows)
    names = ["corporate", "retail"]
    day = FIRST
    while day <= date(2026, 11, 15):
        site.clock.now = local_midnight(day, ZONE)
        if day == RENAMED:
            names = ["corporate", "rshop"]
            rename(site, 1, "rshop")
        if (day.day == 1 or day.day % 5 == 0) and not is_out(day):
            life.record(names)
        if day.day % 3 == 0:
            life.prune(wall_clock(site.clock.now - KEPT_DAYS * DAY + 3 * HOUR, ZONE))
        day += DAY
    return life


def statement(life: Life, month: tuple[int, int], name: str) -> tuple[int, dict[str, Any]]:
    app = life.site.recorder(**{**life.keys, "REPORTS": REPORTS})
    asked = ["--application", name, "--month", f"{month[0]}-{month[1]:02}"]
    result = command(app, "statement", *asked, "--json")
    return result.exit_code, json.loads(result.stdout)


def recorded_at_its_end(month: tuple[int, int]) -> bool:
    return not is_out(date(month[0] + month[1] // 12, month[1] % 12 + 1, 1))


def test_statements_of_all_months_say_what_is_known_and_no_more(small_site: Site) -> None:
    life = operate(small_site)
    renamed_in = (RENAMED.year, RENAMED.month)

    for month in MONTHS:
        code, made = statement(life, month, "rshop")

        is_known = month >= renamed_in and recorded_at_its_end(month)
        assert (code == 0) == (made["users"]["users"] is not None) == is_known, month
        must = life.must_answer(month, "rshop")
        assert told(made["verifications"]) == must, month
        said = [line for line in made["missing"] if "verifications may have been deleted" in line]
        assert len(said) == bool(must["missing"])
        if said:
            days = f"{len(must['missing'])} days were" if must["missing"][1:] else "1 day was"
            assert f"and {days} not recorded: {must['missing'][0]}" in said[0]

        code, made = statement(life, month, "corporate")
        assert (code == 0) == recorded_at_its_end(month), month
        must = life.must_answer(month, "corporate")
        assert told(made["verifications"]) == must, month

        code, made = statement(life, month, "retail")
        assert (code == 0) == (month < renamed_in and recorded_at_its_end(month)), month
        assert made["verifications"] is None
        assert "The report SIGNATURES_IN_MONTH knows no such application." in made["missing"]

    missing = {month: len(life.must_answer(month, "corporate")["missing"]) for month in MONTHS}
    lost = {month for month, days in missing.items() if days}
    assert lost == {(2026, 1), (2026, 2)}, missing
    before = life.must_answer((2026, 4), "rshop")
    assert before["recordedDays"] == []
    assert before["missing"][0] == "2026-04-01"
    after = life.must_answer((2026, 7), "rshop")
    assert len(after["recordedDays"]) == 31
