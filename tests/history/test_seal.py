"""The key of the history: rows that nobody makes who has only the database."""

import hashlib
import hmac
import json
import re
import shutil
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import text

from flask_powerauth_telemetry.config.loading import load_config
from flask_powerauth_telemetry.exceptions import ConfigurationError
from flask_powerauth_telemetry.history.recording import digest_of, instant_text
from tests.support.databases import Databases, Loan
from tests.support.recorded import Site, create_site, run
from tests.support.service import ask, users_of

HOUR = timedelta(hours=1)
OLD, NEW = "old-key-" * 4, "new-key-" * 4


def record(site: Site, *options: str, key: object = NEW) -> Result:
    result = run(site.recorder(HISTORY_KEY=key), *options)
    site.clock.now += HOUR
    return result


def verify(site: Site, *options: str, key: object = NEW) -> list[str]:
    result = run(site.reader(HISTORY_KEY=key), "--verify", *options)
    assert result.exit_code == bool(result.stderr), result.output
    return result.stderr.splitlines()


def last_line(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[-1]


def all_rows(site: Site) -> list[dict[str, Any]]:
    statement = text("SELECT * FROM telemetry_recording ORDER BY entry")
    with site.history.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(statement)]


def write_anew(site: Site, rows: list[dict[str, Any]], key: str | None = None) -> None:
    """Replace the whole history, with every digest and the head as they have to be."""
    previous = "0" * 64
    with site.history.begin() as connection:
        connection.execute(text("DELETE FROM telemetry_recording"))
        for entry, row in enumerate(rows, 1):
            row |= {"entry": entry, "previous": previous}
            row["digest"] = previous = digest_of(row)
            if key is not None and row["seal"] is not None:
                row["seal"] = hmac.new(key.encode(), previous.encode(), hashlib.sha256).hexdigest()
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(
                text(f"INSERT INTO telemetry_recording ({names}) VALUES ({values})"), row
            )
        end = {"entries": len(rows), "digest": previous}
        connection.execute(
            text("UPDATE telemetry_history_head SET entries = :entries, digest = :digest"), end
        )


def test_sealed_rows_are_recorded_read_and_whole(site: Site) -> None:
    site.fill()
    for _ in range(2):
        record(site)

    users = users_of(site.recorder().test_client(), "retail", 365)
    for key in (NEW, [NEW, OLD], [OLD, NEW], None):
        assert verify(site, key=key) == []
        assert users_of(site.reader(HISTORY_KEY=key).test_client(), "retail", 365) == users > 0
    assert all(len(row["seal"]) == 64 for row in all_rows(site))


def test_keys_rotate(site: Site) -> None:
    record(site, key=OLD)
    record(site, key=[NEW, OLD])
    record(site, key=[NEW, OLD])

    assert verify(site, key=[NEW, OLD]) == []
    assert len(verify(site, key=NEW)) == 2  # the rows of the key that was left out
    assert record(site, key=NEW).exit_code == 0


def test_key_begins_after_the_line_that_is_told(site: Site) -> None:
    old = last_line(record(site, key=None))
    line = last_line(record(site, key=None))

    assert "has no seal of the HISTORY_KEY" in record(site).stderr
    assert record(site, "--expect", old).exit_code == 1
    assert len(all_rows(site)) == 4
    assert "has no seal, as all before it" in " ".join(verify(site))
    assert record(site, "--expect", line).exit_code == 0
    assert record(site).exit_code == 0

    assert verify(site) == verify(site, "--expect", old) == verify(site, key=None) == []
    assert [row["seal"] is None for row in all_rows(site)] == [True] * 4 + [False] * 4


def test_key_that_can_not_begin_in_this_hour_is_told(site: Site) -> None:
    line = last_line(run(site.recorder()))
    keys = {"HISTORY_KEY": NEW}

    early = run(site.recorder(**keys), "--expect", line)

    assert early.exit_code == 1
    told = re.search(r"No row is sealed: .* --expect again, from (\d\d):(\d\d) UTC", early.stderr)
    assert told is not None
    hour, minute = int(told[1]), int(told[2])
    site.clock.now = site.clock.now.replace(hour=hour, minute=minute) - timedelta(seconds=1)
    assert run(site.recorder(**keys), "--expect", line).exit_code == 1
    site.clock.now += timedelta(seconds=1)
    assert run(site.recorder(**keys), "--expect", line).exit_code == 0
    assert verify(site) == []


def test_key_that_lacks_the_old_one_is_told_to_keep_it(small_site: Site) -> None:
    record(small_site, key=OLD)

    refused = record(small_site, key=NEW)

    assert refused.exit_code == 1
    assert "has a seal of another HISTORY_KEY: write that key below the new one" in refused.stderr
    assert record(small_site, key=[NEW, OLD]).exit_code == 0
    assert verify(small_site, key=[NEW, OLD]) == []


def test_nobody_goes_back_to_rows_without_a_seal(site: Site) -> None:
    record(site)

    result = record(site, key=None)

    assert result.exit_code == 1
    assert "the history is sealed, and no HISTORY_KEY is configured" in result.stderr
    assert len(all_rows(site)) == 2


def test_false_key_neither_records_nor_answers(small_site: Site) -> None:
    record(small_site)

    assert record(small_site, key=OLD).exit_code == 1
    client = small_site.reader(HISTORY_KEY=OLD).test_client()
    assert ask(client, "CURRENT_MAU", {"application": "retail"}).status_code == 500
    assert len(verify(small_site, key=OLD)) == 2


Forge = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
MANY = json.dumps([9] * 365)


def change(position: int, **columns: Any) -> Forge:
    def forge(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[position] |= columns
        return rows

    return forge


def append(**columns: Any) -> Forge:
    return lambda rows: [*rows, {**rows[-1], "slot": "2026-11-26T00:00:00.000000Z", **columns}]


WAYS: Mapping[str, Forge] = {
    **{f"numbers of row {row}": change(row, users=MANY) for row in range(8)},
    **{f"name of row {row}": change(row, application_name="x") for row in (0, 3, 7)},
    "time": change(5, as_of="2026-11-24T00:00:00.000000Z"),
    "slot": change(4, slot="2026-11-24T00:00:00.000000Z"),
    "definition": change(5, definition=2),
    "reason": change(5, reason="so"),
    "correction": append(corrects=8),
    "new row": append(application_id=9),
    "new row without a seal": append(application_id=9, seal=None),
    "first row gone": lambda rows: rows[1:],
    "sealed row gone": lambda rows: rows[:5] + rows[6:],
    "row without a seal gone": lambda rows: rows[:2] + rows[3:],
    "two rows change places": lambda rows: [*rows[:4], rows[5], rows[4], *rows[6:]],
    "row twice": lambda rows: [*rows[:7], {**rows[6], "application_id": 9}, *rows[7:]],
    "no seals": lambda rows: [{**row, "seal": None, "users": MANY} for row in rows],
    "no seal at the end": change(7, seal=None),
    "no seal in the middle": change(5, seal=None),
    "cut to what has no seal": lambda rows: rows[:4],
    "cut and changed": lambda rows: [{**row, "users": MANY} for row in rows[:4]],
    "seal of another row": lambda rows: change(5, seal=rows[4]["seal"])(rows),
    "empty seal": change(6, seal=""),
    "seal where none was": lambda rows: change(1, seal=rows[6]["seal"])(rows),
    "all rows anew": lambda rows: [{**row, "users": MANY} for row in rows],
}


@pytest.fixture(scope="module")
def sealed_files(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The databases of ``sealed``, made once."""
    folder = tmp_path_factory.mktemp("sealed")
    site = create_site(Loan(databases), ("sqlite", "sqlite"), folder)
    record(site, key=None)
    line = last_line(record(site, key=None))
    record(site, "--expect", line)
    record(site)
    assert verify(site) == []
    return folder


@pytest.fixture
def sealed(sealed_files: Path, small_site: Site, tmp_path: Path) -> Site:
    """Four rows without a seal and four with one."""
    shutil.copytree(sealed_files, tmp_path, dirs_exist_ok=True)
    small_site.clock.now += 4 * HOUR
    return small_site


def test_ways_are_many() -> None:
    assert len(WAYS) == 32


@pytest.mark.parametrize("way", WAYS)
def test_history_written_anew_is_found_by_the_key(sealed: Site, way: str) -> None:
    genuine = all_rows(sealed)
    write_anew(sealed, WAYS[way](deepcopy(genuine)))

    assert verify(sealed) != []
    # As by somebody who makes up a key of his own.
    write_anew(sealed, WAYS[way](deepcopy(genuine)), key="made up")
    assert verify(sealed) != []


def test_history_written_anew_by_the_key_is_not_found_but_by_a_kept_line(sealed: Site) -> None:
    line = last_line(record(sealed))

    write_anew(sealed, WAYS["all rows anew"](all_rows(sealed)), key=NEW)

    assert verify(sealed) == []
    assert verify(sealed, "--expect", line) != []


def forge(site: Site, **columns: object) -> None:
    """Add a row by somebody who has the database alone: the last one, but for these columns."""
    last = all_rows(site)[-1]
    forged = {**last, "entry": last["entry"] + 1, "previous": last["digest"], **columns}
    forged["digest"] = digest_of(forged)
    names, values = ", ".join(forged), ", ".join(f":{name}" for name in forged)
    site.execute(f"INSERT INTO telemetry_recording ({names}) VALUES ({values})", **forged)
    end = "UPDATE telemetry_history_head SET entries = :entry, digest = :digest"
    site.execute(end, entry=forged["entry"], digest=forged["digest"])


@pytest.mark.parametrize(("seal", "status"), [(None, 200), ("f" * 64, 500)])
def test_forged_run_without_an_application_makes_it_no_unknown_one(
    sealed: Site, seal: str | None, status: int
) -> None:
    """Who asks without strict applications would be told 0 users."""
    sealed.fill()
    record(sealed)
    record(sealed, "--application", "corporate")
    between = instant_text(datetime.fromisoformat(all_rows(sealed)[-1]["as_of"]) - HOUR / 2)
    forge(sealed, application_id=99, applications=1, seal=seal, slot=between, as_of=between)
    client = sealed.reader(HISTORY_KEY=NEW, STRICT_APPLICATION=False).test_client()

    answer = ask(client, "CURRENT_MAU", {"application": "retail"})

    assert answer.status_code == status
    if status == 200:
        assert answer.get_json()["responseObject"]["reportData"]["users"] > 0


def test_row_without_a_seal_is_read_by_nothing(sealed: Site) -> None:
    sealed.fill()
    record(sealed)
    genuine = users_of(sealed.reader(HISTORY_KEY=NEW).test_client(), "retail", 365)
    rows = all_rows(sealed)
    forge(sealed, corrects=rows[-1]["entry"], users=MANY, seal=None)

    assert users_of(sealed.reader(HISTORY_KEY=NEW).test_client(), "retail", 365) == genuine != 9
    assert verify(sealed) != []
    assert record(sealed).exit_code == 1


@pytest.mark.parametrize("key", ["", "short", [], ["x" * 31], [NEW, 7], 7, {"a": NEW}])
def test_key_that_is_none_is_refused(key: object) -> None:
    with pytest.raises(ConfigurationError, match="HISTORY_KEY: must be a key of 32") as refused:
        load_config({"POWERAUTH_TELEMETRY_HISTORY_KEY": key})

    assert "x" * 31 not in str(refused.value)


@pytest.mark.parametrize("key", ["HISTORY_KEY_FILE", "HISTORY_KEY"])
def test_keys_come_from_lines_and_stand_in_no_text(tmp_path: Path, key: str) -> None:
    path, text = tmp_path / "keys", f"{NEW}\nan old key of words with blanks between"
    path.write_text(f"{text}\n", encoding="utf-8")

    config = load_config({f"POWERAUTH_TELEMETRY_{key}": str(path) if "FILE" in key else text})

    assert config.history_key is not None
    assert config.history_key.values == tuple(line.encode() for line in text.splitlines())
    assert NEW not in repr(config) + repr(config.history_key)
