"""Applications that PowerAuth has no longer, answered from the history."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.recorded import Site
from tests.support.service import ask, users_of

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
    small_site.clock.now += timedelta(minutes=minutes)
    small_site.record("--correct", "again")

    assert status(small_site, "retail") == 200
