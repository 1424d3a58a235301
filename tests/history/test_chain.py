"""The chain of recorded rows: corrections, hosts that add at once, and what was altered."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from flask_powerauth_telemetry.history import store
from flask_powerauth_telemetry.history.chain import Break, ChainRow, ChainWalk
from flask_powerauth_telemetry.history.recording import digest_of
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.reports.activity import ActivityProfile
from tests.support.past import INSTANCE, record, recording
from tests.support.recorded import Site, run
from tests.support.service import NOW, ask, create_app, recorded_statements, users_of

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SLOTS = [f"2026-11-25T{hour}:00:00.000000Z" for hour in (12, 13, 14)]


def whole(entries: int) -> str:
    return f"The history is whole: {entries} rows, digest "


def fill_history(site: Site) -> None:
    """Six rows: two applications at three hours."""
    for _ in range(3):
        site.record()
        site.clock.now += HOUR


def broken(site: Site) -> list[str]:
    """What the command finds wrong; its exit code and its last line fit."""
    result = run(site.auditor, "--verify")
    lines = result.stderr.splitlines()
    verdict = "whole: " if not lines else f"NOT WHOLE, {len(lines)} found: "
    assert result.stdout.startswith(f"The history is {verdict}")
    assert result.exit_code == (1 if lines else 0)
    return lines


def test_untouched_history_is_whole(site: Site) -> None:
    fill_history(site)

    result = run(site.auditor, "--verify")

    *_, (digest,) = site.rows("digest")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{whole(6)}{digest}\n"
    assert site.rows("entry, corrects, reason") == [(entry, 0, None) for entry in range(1, 7)]
    digests = [row[0] for row in site.rows("digest")]
    assert [row[0] for row in site.rows("previous")] == ["0" * 64, *digests[:-1]]


def test_verifying_needs_no_powerauth_database_and_writes_nothing(small_site: Site) -> None:
    fill_history(small_site)
    before = small_site.rows("*")

    with recorded_statements() as statements:
        assert broken(small_site) == []

    assert not [statement for statement in statements if not statement.startswith("SELECT")]
    assert small_site.rows("*") == before


def test_correction_replaces_the_row_for_reports_alone(site: Site) -> None:
    site.record()
    kept = site.rows("*")
    site.clock.now += 5 * MINUTE
    site.fill()

    result = site.record("--application", "retail", "--correct", " a replica was behind ")

    users = users_of(site.recorder().test_client(), "retail", 30)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"retail: recorded for 2026-11-25 12:00 UTC, {users} users")
    assert users_of(site.reader().test_client(), "retail", 30) == users > 0
    assert site.rows("*")[:2] == kept
    assert site.rows("entry, application_name, slot, corrects, reason") == [
        (1, "corporate", SLOTS[0], 0, None),
        (2, "retail", SLOTS[0], 0, None),
        (3, "retail", SLOTS[0], 2, "a replica was behind"),
    ]
    assert broken(site) == []


def test_newest_correction_holds_even_by_a_clock_that_is_behind(site: Site) -> None:
    site.clock.now = NOW + 20 * MINUTE
    site.record("--application", "retail")
    for minutes in (10, 15):
        site.clock.now = NOW + minutes * MINUTE
        site.fill(count=minutes * 10)
        site.record("--application", "retail", "--correct", f"by a clock at {minutes}")
        expected = users_of(site.recorder().test_client(), "retail", 365)
        with site.powerauth.begin() as connection:
            connection.execute(text("DELETE FROM pa_activation"))

    assert users_of(site.reader().test_client(), "retail", 365) == expected > 0
    assert site.rows("entry, corrects") == [(1, 0), (2, 1), (3, 2)]


def test_correction_of_what_is_not_there_is_a_first_row(small_site: Site) -> None:
    result = small_site.record("--application", "retail", "--correct", "too early")

    assert result.exit_code == 0
    assert small_site.rows("entry, corrects, reason") == [(1, 0, None)]


@pytest.mark.parametrize(
    "options",
    [
        ["--correct", " "],
        ["--correct", "x" * 1001],
        ["--correct", "x\0"],
        ["--correct", "x\udcff"],
        ["--correct"],
        ["--verify", "--correct", "why"],
        ["--verify", "--application", "retail"],
    ],
)
def test_senseless_options_are_an_error_of_usage(small_site: Site, options: list[str]) -> None:
    assert small_site.record(*options).exit_code == 2


def test_longest_reason_is_kept(site: Site) -> None:
    site.record("--application", "retail")
    reason = "ž" * 1000

    assert site.record("--application", "retail", "--correct", reason).exit_code == 0

    assert site.rows("reason") == [(None,), (reason,)]
    assert broken(site) == []


def test_hosts_that_add_at_once_wait_for_each_other(database: Engine) -> None:
    store = HistoryStore(INSTANCE)
    store.create(database)
    hosts, slots = 4, 12
    together = Barrier(hosts, timeout=30)

    def add(host: int) -> int:
        added = 0
        for number in range(slots):
            as_of = NOW + number * HOUR + timedelta(milliseconds=host)
            profile = ActivityProfile(as_of, (host,) * 365)
            together.wait()
            with database.begin() as connection:
                added += store.add(connection, recording(profile))
            correct = "to and fro" if host % 2 else None
            with database.begin() as connection:
                added += store.add(connection, recording(profile), correct)
        return added

    with ThreadPoolExecutor(hosts) as pool:
        added = sum(pool.map(add, range(hosts)))

    assert added == slots * (1 + hosts // 2)
    with database.connect() as connection:
        rows = list(store.chain(connection))
        walk = ChainWalk(lambda: store.head(connection))
        assert list(walk.breaks(rows)) == []
    assert walk.last.entries == added
    corrected = [row["corrects"] for row in rows if row["corrects"]]
    assert len(set(corrected)) == len(corrected) == slots * hosts // 2


def test_instances_have_chains_of_their_own(small_site: Site) -> None:
    small_site.record()
    app = create_app(
        clock=small_site.clock,
        arguments={"name": "emea"},
        EMEA_DATABASE_URL=small_site.powerauth.url.render_as_string(hide_password=False),
        EMEA_BINDS=small_site.binds,
        EMEA_CREDENTIALS={"billing": "sha256:" + "0" * 64},
    )

    assert run(app).exit_code == 0

    small_site.execute("DELETE FROM telemetry_recording WHERE instance = 'emea' AND entry = 1")
    assert broken(small_site) == []
    result = run(app, "--verify")
    assert (result.exit_code, result.stderr) == (1, "row 1: is gone\n")


COLUMNS = {
    "application_id": 77,
    "application_name": "else",
    "slot": SLOTS[2].replace("25", "24"),
    "as_of": SLOTS[2].replace("25", "24"),
    "definition": 2,
    "milliseconds": 12345,
    "recorded_by": "else",
    "applications": 9,
    "corrects": 2,
    "reason": "else",
    "users": "[]",
    "previous": "1" * 64,
    "digest": "0" * 64,
}


@pytest.mark.parametrize("entry", [1, 3, 6])
def test_altered_column_is_found(small_site: Site, entry: int) -> None:
    fill_history(small_site)
    for column, value in COLUMNS.items():
        ((before,),) = small_site.rows(column)[entry - 1 : entry]
        alter = f"UPDATE telemetry_recording SET {column} = :value WHERE entry = {entry}"
        small_site.execute(alter, value=value)

        (line,) = broken(small_site)
        assert line.startswith(f"row {entry} ("), column
        assert line.endswith("): was altered"), column

        small_site.execute(alter, value=before)
        assert broken(small_site) == []


def test_every_column_is_altered_above(small_site: Site) -> None:
    small_site.record()
    with small_site.history.connect() as connection:
        columns = connection.exec_driver_sql("SELECT * FROM telemetry_recording").keys()

    assert {"instance", "entry", "seal", *COLUMNS} == set(columns)


ROW_3 = f"row 3 (corporate, {SLOTS[1]})"
ROW_5 = f"row 5 (corporate, {SLOTS[2]})"
ROW_6 = f"row 6 (retail, {SLOTS[2]})"
HEAD = "UPDATE telemetry_history_head SET"


@pytest.mark.parametrize(
    ("statement", "lines"),
    [
        ("UPDATE telemetry_recording SET users = '[1]' WHERE entry = 3", [f"{ROW_3}: was altered"]),
        ("DELETE FROM telemetry_recording WHERE entry = 2", ["row 2: is gone"]),
        ("DELETE FROM telemetry_recording WHERE entry = 6", ["row 6: is gone"]),
        (
            "DELETE FROM telemetry_recording WHERE entry < 4",
            ["row 1: is gone, and all up to row 3"],
        ),
        ("DELETE FROM telemetry_recording", ["row 1: is gone, and all up to row 6"]),
        (
            "UPDATE telemetry_recording SET instance = 'other' WHERE entry IN (2, 4)",
            ["row 2: is gone", "row 4: is gone"],
        ),
        (
            "UPDATE telemetry_recording SET entry = 9 WHERE entry = 6",
            [
                "row 6: is gone, and all up to row 8",
                f"row 9 (retail, {SLOTS[2]}): was altered",
                f"row 9 (retail, {SLOTS[2]}): the head of the chain says that there are 6 rows",
            ],
        ),
        (
            f"{HEAD} entries = 5",
            [
                f"{ROW_5}: the head of the chain names another digest of it:"
                " one of the two was altered",
                f"{ROW_6}: the head of the chain says that there are 5 rows",
            ],
        ),
        (f"{HEAD} entries = 8", ["row 7: is gone, and all up to row 8"]),
        (
            f"{HEAD} digest = 'x'",
            [
                f"{ROW_6}: the head of the chain names another digest of it:"
                " one of the two was altered"
            ],
        ),
        ("DELETE FROM telemetry_history_head", [f"{ROW_6}: the head of the chain is gone"]),
    ],
)
def test_break_is_named(small_site: Site, statement: str, lines: list[str]) -> None:
    fill_history(small_site)
    small_site.execute(statement)

    assert broken(small_site) == lines


def test_breaks_are_found_on_every_database(site: Site) -> None:
    fill_history(site)
    site.execute("UPDATE telemetry_recording SET users = '[1]' WHERE entry = 3")
    site.execute("DELETE FROM telemetry_recording WHERE entry = 6")

    assert broken(site) == [f"{ROW_3}: was altered", "row 6: is gone"]


@pytest.mark.parametrize(
    ("entry", "witness"), [(1, "row after it"), (3, "row after it"), (6, "head of the chain")]
)
def test_row_altered_with_its_digest_is_found(small_site: Site, entry: int, witness: str) -> None:
    fill_history(small_site)
    forge(small_site, entry)

    (line,) = broken(small_site)

    assert line.startswith(f"row {entry} (")
    assert line.endswith(f"): the {witness} names another digest of it: one of the two was altered")


def forge(site: Site, entry: int) -> None:
    """Change the numbers of a row, and make its digest anew."""
    with site.history.begin() as connection:
        found = connection.execute(
            text("SELECT * FROM telemetry_recording WHERE entry = :entry"), {"entry": entry}
        ).one()
        row = {**found._asdict(), "users": json.dumps([9] * 365)}
        connection.execute(
            text(
                "UPDATE telemetry_recording SET users = :users, digest = :digest"
                " WHERE entry = :entry"
            ),
            {"users": row["users"], "digest": digest_of(row), "entry": entry},
        )


def test_numbers_of_another_type_are_found(small_site: Site) -> None:
    fill_history(small_site)
    small_site.execute("UPDATE telemetry_recording SET entry = 'none' WHERE entry = 4")

    assert broken(small_site) == ["row 4: is gone", f"row none (retail, {SLOTS[1]}): was altered"]


def test_recording_goes_on_over_a_gap_that_stays_found(site: Site) -> None:
    fill_history(site)
    site.execute("DELETE FROM telemetry_recording WHERE entry = 6")

    assert site.record().exit_code == 0

    assert broken(site) == ["row 6: is gone"]
    assert [row[0] for row in site.rows("entry")] == [1, 2, 3, 4, 5, 7, 8]


def test_recording_stops_without_the_head(site: Site) -> None:
    fill_history(site)
    site.execute("DELETE FROM telemetry_history_head")

    result = site.record()

    assert result.exit_code == 1
    gone = "the head of the chain of powerauth_telemetry is gone from telemetry_history_head"
    assert result.stderr.count(gone) == 2
    assert len(site.rows()) == 6


@pytest.mark.parametrize("damage", ["entries = 'many'", "entries = 2.5"])
def test_damaged_head_is_said(small_site: Site, damage: str) -> None:
    """SQLite takes anything."""
    fill_history(small_site)
    small_site.execute(f"UPDATE telemetry_history_head SET {damage}")

    verified, recorded = run(small_site.reader(), "--verify"), small_site.record()

    assert (verified.exit_code, recorded.exit_code) == (2, 1)
    assert "Traceback" not in verified.output + recorded.output


def test_first_row_that_follows_another_is_found(small_site: Site) -> None:
    fill_history(small_site)
    small_site.execute("DELETE FROM telemetry_recording WHERE entry = 1")
    small_site.execute("UPDATE telemetry_recording SET entry = 1 WHERE entry = 2")

    assert broken(small_site) == [f"row 1 (retail, {SLOTS[0]}): was altered", "row 2: is gone"]


def test_chain_is_read_a_few_rows_at_a_time(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROWS_AT_ONCE", 2)
    fill_history(small_site)
    small_site.execute("DELETE FROM telemetry_recording WHERE entry = 3")

    with recorded_statements() as statements:
        assert broken(small_site) == ["row 3: is gone"]

    assert sum("ORDER BY telemetry_recording.entry" in one for one in statements) == 4


def test_rows_that_are_added_meanwhile_are_no_break(small_site: Site) -> None:
    fill_history(small_site)
    store = HistoryStore(INSTANCE)
    with small_site.history.connect() as connection:
        walk = ChainWalk(lambda: store.head(connection))
        breaks: list[Break] = []
        rows = store.chain(connection)

        def growing() -> Iterator[ChainRow]:
            yield from rows
            small_site.record()
            yield from list(store.chain(connection))[6:]

        breaks.extend(walk.breaks(growing()))

    assert breaks == []
    assert walk.last.entries == 8


@pytest.mark.parametrize(
    "spoil",
    [
        lambda site: None,
        lambda site: site.execute("CREATE TABLE telemetry_history_version (version INTEGER)"),
    ],
    ids=["no store", "no version"],
)
def test_history_that_is_not_there_can_not_be_verified(
    small_site: Site, spoil: Callable[[Site], None]
) -> None:
    small_site.execute("CREATE TABLE other (id INTEGER)")
    spoil(small_site)

    result = run(small_site.auditor, "--verify")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "nothing is recorded yet" in result.stderr


def test_history_without_its_tables_can_not_be_verified(site: Site) -> None:
    site.record()
    site.execute("DROP TABLE telemetry_recording")

    result = run(site.auditor, "--verify")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "the history can't be read: " in result.stderr


def test_slot_has_one_row_and_one_correction_of_it(database: Engine) -> None:
    record(database, [ActivityProfile(NOW, (1,) * 365)])
    copy = (
        "INSERT INTO telemetry_recording SELECT instance, entry + :more, {id}, application_name,"
        " {slot}, as_of, definition, milliseconds, recorded_by, applications, {corrects},"
        " reason, users, previous, digest, seal FROM telemetry_recording WHERE entry = 1"
    )
    same = {"id": "application_id", "slot": "slot", "corrects": "corrects"}
    others = [same | {"id": "7"}, same | {"slot": "'later'"}, same | {"corrects": "1"}]

    with database.begin() as connection:
        for more, other in enumerate(others, 1):
            connection.execute(text(copy.format(**other)), {"more": more})
    for again in (same, others[-1]):
        with database.begin() as connection, pytest.raises(IntegrityError, match=r"slot|UNIQUE"):
            connection.execute(text(copy.format(**again)), {"more": 100})


def test_altered_row_is_one_break_while_rows_are_added(small_site: Site) -> None:
    fill_history(small_site)
    forge(small_site, 6)
    store = HistoryStore(INSTANCE)
    with small_site.history.connect() as connection:
        walk = ChainWalk(lambda: store.head(connection))

        def growing() -> Iterator[ChainRow]:
            yield from list(store.chain(connection))
            small_site.record()
            yield from list(store.chain(connection))[6:]

        breaks = list(walk.breaks(growing()))

    assert [one.entry for one in breaks] == [6]
    assert walk.last.entries == 8


def digest_of_rows(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "digest": digest_of(row)}


def last_row(site: Site) -> dict[str, Any]:
    with site.history.connect() as connection:
        rows = connection.execute(text("SELECT * FROM telemetry_recording ORDER BY entry")).all()
    return dict(rows[-1]._asdict())


def put(site: Site, row: dict[str, Any]) -> None:
    """Put a row beside the chain, as somebody who may write to the table alone can."""
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    with site.history.begin() as connection:
        if site.history.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = on")
        else:
            constraint = "telemetry_recording_entry_check"
            connection.exec_driver_sql(
                f"ALTER TABLE telemetry_recording DROP CONSTRAINT IF EXISTS {constraint}"
            )
        connection.execute(
            text(f"INSERT INTO telemetry_recording ({names}) VALUES ({values})"), row
        )


@pytest.mark.parametrize("corrects", [0, 6, 2])
def test_row_beside_the_chain_is_found_and_read_by_nothing(site: Site, corrects: int) -> None:
    fill_history(site)
    reader = site.reader(REPORTS=["MAU_HISTORY"], CACHE_SECONDS=0)
    week = {"application": "retail", "from": "2026-11-20", "to": "2026-11-25"}

    def answers() -> tuple[Any, ...]:
        client = reader.test_client()
        return users_of(client, "retail", 30), ask(client, "MAU_HISTORY", week).get_json()

    genuine = answers()
    row = last_row(site)
    for entry in (0, -1, -10, 7, 8, 10_000):
        forged = {
            **row,
            "entry": entry,
            "corrects": corrects,
            "slot": row["slot"] if corrects else "2026-11-24T00:00:00.000000Z",
            "as_of": "2026-11-25T13:59:59.000000Z" if corrects else "2026-11-24T00:00:00.000000Z",
            "users": json.dumps([999_999] * 365),
            "previous": row["digest"],
        }
        put(site, digest_of_rows(forged))

        assert answers() == genuine, entry
        assert broken(site) != [], entry

        site.execute("DELETE FROM telemetry_recording WHERE entry = :entry", entry=entry)
        assert broken(site) == [], entry


def test_recording_goes_on_beside_a_forged_row(small_site: Site) -> None:
    fill_history(small_site)
    put(small_site, digest_of_rows({**last_row(small_site), "entry": -1, "corrects": 5}))

    assert small_site.record().exit_code == 0

    assert [entry for (entry,) in small_site.rows("entry")] == [-1, *range(1, 9)]


def test_store_itself_refuses_a_row_below_the_first(site: Site) -> None:
    fill_history(site)
    row = digest_of_rows({**last_row(site), "entry": 0, "slot": "2026-01-01T00:00:00.000000Z"})
    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)

    with pytest.raises(IntegrityError):
        site.execute(f"INSERT INTO telemetry_recording ({names}) VALUES ({values})", **row)


def kept_line(site: Site) -> str:
    line = site.record().stdout.splitlines()[-1]
    assert line.startswith("The history has ")
    site.clock.now += HOUR
    return line


def test_kept_line_of_any_age_is_still_in_the_history(site: Site) -> None:
    lines = [kept_line(site) for _ in range(3)]

    for line in (*lines, f"Nov 25 12:00 host cron: {lines[0]} (kept)"):
        result = run(site.auditor, "--verify", "--expect", line)
        assert (result.exit_code, result.stderr) == (0, "")


def test_cut_tail_is_found_by_a_kept_line(site: Site) -> None:
    old, new = kept_line(site), kept_line(site)
    entries, digest = site.rows("entry, digest")[1]
    site.execute("DELETE FROM telemetry_recording WHERE entry > :e", e=entries)
    site.execute("UPDATE telemetry_history_head SET entries = :e, digest = :d", e=entries, d=digest)

    assert broken(site) == []
    assert run(site.auditor, "--verify", "--expect", old).exit_code == 0
    result = run(site.auditor, "--verify", "--expect", new)
    assert (result.exit_code, result.stderr) == (1, "row 3: is gone, and all up to row 4\n")


def test_history_written_anew_is_found_by_a_kept_line(small_site: Site) -> None:
    line = kept_line(small_site)
    small_site.execute("DELETE FROM telemetry_recording")
    small_site.execute("UPDATE telemetry_history_head SET entries = 0, digest = :d", d="0" * 64)
    small_site.fill()
    kept_line(small_site)

    assert broken(small_site) == []
    result = run(small_site.auditor, "--verify", "--expect", line)
    assert result.exit_code == 1
    assert "what is expected names another digest of it" in result.stderr


@pytest.mark.parametrize("line", ["", "2 rows", "x rows, digest " + "0" * 64, "2 rows, digest 0f"])
def test_line_that_tells_no_digest_is_an_error_of_usage(small_site: Site, line: str) -> None:
    fill_history(small_site)

    assert run(small_site.auditor, "--verify", "--expect", line).exit_code == 2
    assert small_site.record("--expect", "2 rows, digest " + "0" * 64).exit_code == 2
