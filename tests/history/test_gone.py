"""Applications that PowerAuth has no longer, answered from the history."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import ActivityProfile
from tests.support.commands import command
from tests.support.past import record
from tests.support.recorded import Site
from tests.support.service import NOW, ask, create_app, url_of, users_of

HOUR = timedelta(hours=1)


def change(site: Site, statement: str) -> None:
    with site.powerauth.begin() as connection:
        connection.execute(text(statement))


def status(site: Site, name: str) -> int:
    """As a new process answers, which has kept nothing."""
    client = site.reader().test_client()
    return ask(client, "CURRENT_MAU", {"application": name}).status_code


RENAME = "UPDATE pa_application SET name = 'shop' WHERE id = 1"


def test_renamed_application_is_unknown_after_the_next_run(site: Site) -> None:
    site.fill()
    site.record()
    change(site, RENAME)
    assert (status(site, "retail"), status(site, "shop")) == (200, 400)
    site.clock.now += HOUR

    site.record()

    assert (status(site, "retail"), status(site, "shop")) == (400, 200)
    assert users_of(site.reader().test_client(), "shop", 365) > 0
    site.clock.now += 24 * HOUR
    site.record()
    assert (status(site, "retail"), status(site, "shop")) == (400, 200)


def test_deleted_application_is_unknown_after_the_next_run(small_site: Site) -> None:
    small_site.record()
    change(small_site, "DELETE FROM pa_application WHERE id = 1")
    small_site.clock.now += HOUR

    small_site.record()

    assert (status(small_site, "retail"), status(small_site, "corporate")) == (400, 200)


def test_application_that_was_not_recorded_is_still_there(small_site: Site) -> None:
    small_site.record()
    small_site.clock.now += HOUR
    small_site.record("--application", "corporate")
    small_site.clock.now += HOUR
    small_site.record("--application", "corporate")

    assert (status(small_site, "retail"), status(small_site, "corporate")) == (200, 200)


def test_run_of_which_nobody_knows_how_many_it_had_tells_nothing(sqlite: Engine) -> None:
    record(sqlite, profiles(NOW - 3 * HOUR, 7))
    record(sqlite, profiles(NOW - HOUR, 9), application=Application(2, "corporate"))
    app = create_app(SOURCE="snapshot", BINDS={"history": url_of(sqlite)})

    assert users_of(app.test_client(), "retail", 1) == 7


def test_name_that_comes_back_is_known_again(small_site: Site) -> None:
    small_site.record()
    for name in ("shop", "retail"):
        change(small_site, f"UPDATE pa_application SET name = '{name}' WHERE id = 1")
        small_site.clock.now += HOUR
        small_site.record()

    assert (status(small_site, "retail"), status(small_site, "shop")) == (200, 400)


@pytest.mark.parametrize("minutes", [-10, 10])
def test_run_for_the_same_hour_tells_nothing(small_site: Site, minutes: int) -> None:
    small_site.record()
    change(small_site, RENAME)
    told = small_site.record().stdout.splitlines()
    assert told[1] == "shop: is recorded already for 2026-11-25 12:00 UTC, as retail"
    change(small_site, RENAME.replace("shop", "retail"))
    small_site.clock.now += timedelta(minutes=minutes)
    small_site.record("--correct", "again")

    assert status(small_site, "retail") == 200


OCTOBER = ("--application", "retail", "--month", "2026-10")


def profiles(day: datetime, users: int) -> list[ActivityProfile]:
    return [ActivityProfile(day + hours * HOUR, (users,) * 365) for hours in (0, 24, 48)]


def bounds(history: Engine) -> tuple[Any, ...]:
    """What is known of October, alike by both reports, and the exit code of its statement."""
    reports = ["USERS_IN_MONTH", "USERS_BY_MONTH"]
    app = create_app(SOURCE="snapshot", BINDS={"history": url_of(history)}, REPORTS=reports)
    client = app.test_client()
    answers = [
        ask(client, report, {"application": "retail", "month": "2026-10"}).get_json()
        for report in reports
    ]
    month, year = (answer["responseObject"]["reportData"] for answer in answers)
    (same,) = [one for one in year["months"] if one["month"] == "2026-10"]
    assert {**same, "application": "retail"} == month
    code = command(app, "statement", *OCTOBER).exit_code
    return month["state"], month["lowerBound"], month["upperBound"], code


def test_months_take_nothing_from_another_application_of_the_same_name(sqlite: Engine) -> None:
    first, second = Application(1, "retail"), Application(9, "retail")
    record(sqlite, profiles(datetime(2026, 10, 20, tzinfo=UTC), 5), application=first)
    record(sqlite, profiles(datetime(2026, 11, 5, tzinfo=UTC), 10), application=second)

    assert bounds(sqlite) == ("bounded", 0, 10, 1)


def test_month_is_that_of_who_had_the_name_next_to_its_end(sqlite: Engine) -> None:
    first, second = Application(1, "retail"), Application(9, "retail")
    record(sqlite, profiles(datetime(2026, 10, 20, tzinfo=UTC), 5), application=first)
    record(sqlite, profiles(datetime(2026, 11, 2, tzinfo=UTC), 7), application=first)
    record(sqlite, profiles(datetime(2026, 11, 5, tzinfo=UTC), 100), application=second)

    assert bounds(sqlite) == ("bounded", 5, 7, 1)


def test_bounds_that_contradict_each_other_are_none(sqlite: Engine) -> None:
    record(sqlite, profiles(datetime(2026, 10, 20, tzinfo=UTC), 1000))
    record(sqlite, profiles(datetime(2026, 11, 5, tzinfo=UTC), 10))

    assert bounds(sqlite) == ("unknown", None, None, 2)


def test_fall_of_another_application_of_the_same_name_is_refused(small_site: Site) -> None:
    """It may as well be another database."""
    small_site.fill()
    small_site.record()
    change(small_site, "DELETE FROM pa_application WHERE id = 1")
    change(small_site, "INSERT INTO pa_application (id, name) VALUES (3, 'retail')")
    small_site.clock.now += HOUR

    refused, allowed = small_site.record(), small_site.record("--allow-zero")

    assert (refused.exit_code, allowed.exit_code) == (1, 0)
    assert "--allow-zero records it" in refused.stderr
    assert users_of(small_site.reader().test_client(), "retail", 365) == 0
