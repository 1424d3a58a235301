"""What proves the rows of days is what proves all others: whoever alters one is found out."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest

from flask_powerauth_telemetry.history.recording import digest_of
from tests.history.test_chain import COLUMNS, broken, digest_of_rows, last_row, put
from tests.history.test_seal import NEW, WAYS, all_rows, verify, write_anew
from tests.support.audit import DAY
from tests.support.databases import Databases, Loan
from tests.support.recorded import Site, create_site, run
from tests.support.recorded_days import NOVEMBER, REPORT, Life, month_of, steady
from tests.support.service import ask

MANY = json.dumps(
    {"day": "2026-11-24", "zone": "UTC", "kinds": [["FORGED", None, 9, 9]], "hours": []}
)


@pytest.fixture(scope="module")
def recorded_life(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Two rows of users, then ten days of each application; the audit is gone."""
    loan = Loan(databases)
    life = steady(create_site(loan, ("sqlite", "sqlite"), tmp_path_factory.mktemp("life")), 10)
    life.record()
    life.prune(datetime.max)
    yield life
    loan.end()


@pytest.fixture
def life(recorded_life: Life, small_site: Site) -> Life:
    """A copy for one test, since recording takes longer than most of them."""
    return recorded_life.copied(small_site)


def status(life: Life) -> int:
    asked = {"application": "retail", "month": "2026-11"}
    return ask(life.client(), REPORT, asked).status_code


@pytest.mark.parametrize("entry", [3, 13, 22])
def test_altered_column_is_found(life: Life, entry: int) -> None:
    site = life.site
    for column, value in COLUMNS.items():
        ((before,),) = site.rows(column)[entry - 1 : entry]
        alter = f"UPDATE telemetry_recording SET {column} = :value WHERE entry = {entry}"
        site.execute(alter, value=value)

        (line,) = broken(site)
        assert line.startswith(f"row {entry} ("), column
        assert line.endswith("): was altered"), column

        site.execute(alter, value=before)
        assert broken(site) == []


@pytest.mark.parametrize("value", [MANY, "{}", "[]", "", "null", "[1]"])
def test_altered_numbers_are_never_answered(life: Life, value: str) -> None:
    assert status(life) == 200
    life.site.execute("UPDATE telemetry_recording SET users = :v WHERE entry = 20", v=value)

    assert status(life) == 500


def test_numbers_with_their_digest_made_anew_are_found(life: Life) -> None:
    row = all_rows(life.site)[19]
    row = digest_of_rows({**row, "users": MANY})
    change = "UPDATE telemetry_recording SET users = :users, digest = :digest WHERE entry = 20"
    life.site.execute(change, users=MANY, digest=row["digest"])

    assert [line.partition(" (")[0] for line in broken(life.site)] == ["row 20"]


@pytest.mark.parametrize("entry", [0, -1, 23, 24, 10_000])
@pytest.mark.parametrize("corrects", [0, 22, 13])
def test_row_beside_the_chain_is_found_and_read_by_nothing(
    life: Life, entry: int, corrects: int
) -> None:
    before = month_of(life.client(), NOVEMBER)
    row = all_rows(life.site)[(corrects or 22) - 1]
    slot = row["slot"] if corrects else "2026-11-02T00:00Z/PT1440M"
    forged = {**row, "entry": entry, "corrects": corrects, "slot": slot, "users": MANY}
    put(life.site, digest_of_rows({**forged, "previous": last_row(life.site)["digest"]}))

    assert month_of(life.client(), NOVEMBER) == before
    assert before["missing"][1] == "2026-11-02"
    assert broken(life.site) != []


def test_row_that_says_it_is_a_profile_is_no_day_and_the_other_way_round(life: Life) -> None:
    """Each is read by its own definition alone."""
    slots = {slot for _, slot, _ in life.site.rows()}
    assert len(slots) == 1 + 10  # those of the two applications are the same
    reader = life.site.reader(REPORTS=["MAU_HISTORY", "USERS_BY_MONTH"]).test_client()
    asked = {"application": "retail", "from": "2026-11-01", "to": "2026-11-25"}

    data = ask(reader, "MAU_HISTORY", asked).get_json()["responseObject"]["reportData"]

    assert list(data["usersByDay"]) == ["2026-11-25"]


Forge = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def sealed_life(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Two rows of users and two days without a seal, then as many with one; the audit is gone."""
    loan = Loan(databases)
    site = create_site(loan, ("sqlite", "sqlite"), tmp_path_factory.mktemp("sealed"))
    life = steady(site, 2)
    now = site.clock.now
    site.clock.now = now - DAY
    line = run(site.recorder(**life.keys), "--signatures").stdout.splitlines()[-1]
    site.clock.now = now
    keys = {**life.keys, "HISTORY_KEY": NEW}
    result = run(site.recorder(**keys), "--signatures", "--expect", line)
    assert result.exit_code == 0, result.output
    assert [row["seal"] is None for row in all_rows(site)] == [True] * 4 + [False] * 4
    assert verify(site) == []
    life.prune(datetime.max)
    yield life
    loan.end()


@pytest.fixture
def sealed(sealed_life: Life, small_site: Site) -> Life:
    return sealed_life.copied(small_site)


@pytest.mark.parametrize("way", WAYS)
def test_history_written_anew_is_found_by_the_key(sealed: Life, way: str) -> None:
    genuine = all_rows(sealed.site)
    for key in (None, "made up"):
        write_anew(sealed.site, WAYS[way](deepcopy(genuine)), key=key)

        assert verify(sealed.site) != []


def test_day_without_a_seal_is_read_by_nothing(sealed: Life) -> None:
    site = sealed.site
    sealed_keys = {**sealed.keys, "HISTORY_KEY": NEW}
    client = site.recorder(**sealed_keys).test_client()
    genuine = month_of(client, NOVEMBER)
    assert genuine["byDay"][23] == 2
    rows = all_rows(site)
    forged = {**rows[-1], "corrects": rows[-1]["entry"], "users": MANY, "seal": None}
    forged |= {"entry": rows[-1]["entry"] + 1, "previous": rows[-1]["digest"]}
    forged["digest"] = digest_of(forged)
    put(site, forged)
    end = {"e": forged["entry"], "d": forged["digest"]}
    site.execute("UPDATE telemetry_history_head SET entries = :e, digest = :d", **end)

    assert month_of(site.recorder(**sealed_keys).test_client(), NOVEMBER) == genuine
    assert verify(site) != []
