"""Which run a slot belongs to, what a run tries again, and which database it records from."""

import logging
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flask_powerauth_telemetry.cli import attempts
from tests.support import powerauth
from tests.support.databases import Loan
from tests.support.recorded import Site, run
from tests.support.service import NOW, ask, create_app, recorded_statements, url_of, users_of

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
SLOT = "2026-11-25 12:00 UTC"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens in each pause between attempts, in turn; pauses take no time."""
    happenings: list[Callable[[], object]] = []
    monotonic, passed = time.monotonic, 0.0

    def pause(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        if happenings and seconds == attempts.SECONDS_BETWEEN:
            happenings.pop(0)()

    monkeypatch.setattr(f"{attempts.__name__}.time.sleep", pause)
    monkeypatch.setattr(f"{attempts.__name__}.time.monotonic", lambda: monotonic() + passed)
    return happenings


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [
        ("UTC", "2026-11-01T00:00"),
        ("Asia/Kolkata", "2026-10-31T18:30"),
        ("Asia/Kathmandu", "2026-10-31T18:15"),
        ("Pacific/Chatham", "2026-10-31T10:15"),
        ("Australia/Lord_Howe", "2026-10-31T13:00"),
        ("America/St_Johns", "2026-11-01T02:30"),
    ],
)
def test_end_of_a_month_is_a_slot_in_every_zone(small_site: Site, zone: str, midnight: str) -> None:
    small_site.fill()
    end = datetime.fromisoformat(f"{midnight}Z")
    recorder = small_site.recorder(REPORT_TIMEZONE=zone)
    for minutes in range(-60, 76, 15):
        small_site.clock.now = end + minutes * MINUTE
        assert run(recorder).exit_code == 0

    client = small_site.reader(REPORT_TIMEZONE=zone, REPORTS=["USERS_IN_MONTH"]).test_client()
    answer = ask(client, "USERS_IN_MONTH", {"application": "retail", "month": "2026-10"})
    data = answer.get_json()["responseObject"]["reportData"]

    assert (data["state"], data["secondsLate"]) == ("recorded", 0)


def test_slot_belongs_to_the_nearest_run(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.clock.now = NOW - 20 * MINUTE
    early = site.record("--application", "retail")
    site.clock.now = NOW + SECOND
    site.fill(count=150)

    late = site.record("--application", "retail")

    users = users_of(site.recorder().test_client(), "retail", 30)
    off = "more than 5 minutes off: a month that ends then has bounds alone."
    off += " Start it at the full hour"
    assert (early.exit_code, late.exit_code) == (0, 0)
    assert early.stderr == f"retail: the pass for {SLOT} was made at 11:40:00, {off}\n"
    assert late.stderr == ""
    assert late.stdout.startswith(f"retail: recorded for {SLOT}, {users} users")
    assert site.rows("entry, as_of, corrects, reason") == [
        (1, "2026-11-25T11:40:00.000000Z", 0, None),
        (
            2,
            "2026-11-25T12:00:01.000000Z",
            1,
            "a pass nearer to the hour, 0:00:01 off and not 0:20:00",
        ),
    ]
    assert users_of(site.reader().test_client(), "retail", 30) == users
    assert run(site.auditor, "--verify").exit_code == 0


@pytest.mark.parametrize(
    ("first", "second", "replaced"),
    [
        (-1200, 1, True),
        (-1200, -1199, False),  # within a second they are the same
        (-1200, -1198, True),
        (-1200, 1200, False),
        (-1200, 1300, False),
        (-30, 29, False),
        (-30, 28, True),
        (1, 600, False),
        (0, 0, False),
    ],
)
def test_nearer_run_is_nearer_by_more_than_a_second(
    small_site: Site, first: int, second: int, replaced: bool
) -> None:
    for seconds in (first, second):
        small_site.clock.now = NOW + seconds * SECOND
        assert small_site.record("--application", "retail").exit_code == 0

    assert len(small_site.rows()) == 1 + replaced


def test_month_whose_end_was_taken_too_early_has_its_number(site: Site) -> None:
    end = NOW.replace(month=12, day=1, hour=0)
    for now in (end - 20 * MINUTE, end + SECOND):
        site.clock.now = now
        site.record()
        if now < end:
            site.fill()
    month = {"application": "retail", "month": "2026-11"}

    answer = ask(site.reader(REPORTS=["USERS_IN_MONTH"]).test_client(), "USERS_IN_MONTH", month)

    data = answer.get_json()["responseObject"]["reportData"]
    assert data["complete"]
    assert data["users"] == users_of(site.recorder().test_client(), "retail", 30) > 0


def test_slot_of_a_far_run_is_a_warning(small_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    small_site.clock.now = NOW + 10 * MINUTE
    small_site.record("--application", "retail")
    small_site.clock.now = NOW + 20 * MINUTE
    caplog.clear()

    result = small_site.record("--application", "retail")

    assert result.exit_code == 0
    assert result.stdout == f"retail: is recorded already for {SLOT}\n"
    assert "made at 12:10:00, more than 5 minutes off" in result.stderr
    (record,) = caplog.records
    assert (record.name, record.levelno) == (
        "flask_powerauth_telemetry.snapshot",
        logging.WARNING,
    )
    assert record.getMessage() == result.stderr.rstrip()


@pytest.mark.parametrize("minutes", [-5, 0, 5])
def test_run_within_five_minutes_is_no_warning(small_site: Site, minutes: int) -> None:
    small_site.clock.now = NOW + minutes * MINUTE

    assert small_site.record().stderr == small_site.record().stderr == ""


def test_correction_by_hand_is_kept_against_runs_that_are_farther(small_site: Site) -> None:
    for minutes in (1, 2, 20):
        small_site.clock.now = NOW + minutes * MINUTE
        options = ("--correct", "by hand") if minutes == 2 else ()
        small_site.record("--application", "retail", *options)

    assert small_site.rows("entry, reason") == [(1, None), (2, "by hand")]


def test_damaged_row_in_the_slot_is_named_until_it_is_corrected(small_site: Site) -> None:
    small_site.record()
    small_site.execute("UPDATE telemetry_recording SET users = '[]' WHERE entry = 2")

    result = small_site.record()

    assert result.exit_code == 1
    assert result.stderr == ("retail: not recorded: the row 2 of telemetry_recording is damaged\n")
    assert small_site.record("--application", "retail", "--correct", "damaged").exit_code == 0
    assert small_site.record().exit_code == 0


def test_powerauth_database_that_comes_back_is_recorded(
    postgresql_site: Site, waits: list[Callable[[], object]]
) -> None:
    site = postgresql_site
    rename = "ALTER TABLE {} RENAME TO {}"

    def move(table: str, name: str) -> None:
        with site.powerauth.begin() as connection:
            connection.exec_driver_sql(rename.format(table, name))

    move("pa_application", "away")
    waits += [lambda: None, lambda: move("away", "pa_application")]

    result = site.record("--retry-for", "1m")

    assert result.exit_code == 0
    assert result.stderr.count("Nothing is recorded") == 1
    assert [row[0] for row in site.rows()] == ["corporate", "retail"]


def test_application_that_failed_is_tried_again_alone(
    postgresql_site: Site, waits: list[Callable[[], object]]
) -> None:
    site = postgresql_site
    with site.powerauth.begin() as connection:
        connection.exec_driver_sql(
            "CREATE VIEW failing AS SELECT application_id, user_id, timestamp_last_used"
            " FROM pa_activation WHERE application_id <> 1 OR 1 / (application_id - 1) > 0"
        )
    site.fill()

    def repair() -> None:
        with site.powerauth.begin() as connection:
            connection.exec_driver_sql(
                "CREATE OR REPLACE VIEW failing AS SELECT application_id, user_id,"
                " timestamp_last_used FROM pa_activation"
            )

    waits.append(repair)
    app = site.recorder(TABLES={"pa_activation": "failing"})

    result = run(app, "--retry-for", "5m")

    assert result.exit_code == 0
    assert result.stderr == "retail: not recorded: the database main: DataError: division by zero\n"
    first, _, head, second, end = result.stdout.splitlines()
    assert first.startswith(f"corporate: recorded for {SLOT}")
    assert second.startswith(f"retail: recorded for {SLOT}")
    assert head.startswith("The history has 1 rows")
    assert end.startswith("The history has 2 rows")
    assert [row[0] for row in site.rows()] == ["corporate", "retail"]


def test_history_that_is_locked_for_a_while_is_written_afterwards(
    small_site: Site, waits: list[Callable[[], object]]
) -> None:
    small_site.record()
    small_site.clock.now += 60 * MINUTE
    other = sqlite3.connect(str(small_site.history.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waits.append(lambda: other.execute("ROLLBACK"))
    options = {
        "history": {
            "url": url_of(small_site.history),
            "options": {"connect_args": {"timeout": 0.1}},
        }
    }

    result = run(small_site.recorder(BINDS=options), "--retry-for", "90s")
    other.close()

    assert result.exit_code == 0
    assert "database is locked" in result.stderr
    assert len(small_site.rows()) == 4


def test_time_that_is_over_ends_the_attempts(
    small_site: Site, waits: list[Callable[[], object]]
) -> None:
    with small_site.powerauth.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE pa_activation RENAME TO away")

    with recorded_statements() as statements:
        result = small_site.record("--application", "retail", "--retry-for", "1m")

    assert result.exit_code == 1
    assert sum("pa_activation" in statement for statement in statements) == 4
    first, last = result.stderr.splitlines()
    assert first.startswith("retail: not recorded: ")
    assert last == f"Given up after 60 s. {first}"


def test_attempt_stands_for_the_hour_nearest_to_it(
    small_site: Site, waits: list[Callable[[], object]]
) -> None:
    with small_site.powerauth.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE pa_activation RENAME TO away")

    def come_back() -> None:
        small_site.clock.now = NOW + 45 * MINUTE
        with small_site.powerauth.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE away RENAME TO pa_activation")

    waits.append(come_back)

    assert small_site.record("--retry-for", "1h").exit_code == 0

    assert {row[1] for row in small_site.rows()} == {"2026-11-25T13:00:00.000000Z"}


def test_name_that_does_not_exist_is_not_waited_for(
    small_site: Site, waits: list[Callable[[], object]]
) -> None:
    waits.append(lambda: pytest.fail("waited"))

    result = small_site.record(
        "--application", "retial", "--application", "retail", "--retry-for", "1m"
    )

    assert result.exit_code == 1
    assert result.stderr == "retial: there is no such application\n"
    assert [row[0] for row in small_site.rows()] == ["retail"]


def test_nothing_is_tried_again_without_being_told(
    small_site: Site, waits: list[Callable[[], object]]
) -> None:
    waits.append(lambda: pytest.fail("waited"))
    with small_site.powerauth.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE pa_activation RENAME TO away")

    assert small_site.record().exit_code == 1


@pytest.mark.parametrize("time", ["", "5", "m", "0m", "-5m", "5 m", "5d", "1.5h", "5M", "1h5m"])
def test_time_that_is_none_is_refused(small_site: Site, time: str) -> None:
    assert small_site.record("--retry-for", time).exit_code == 2


def test_numbers_come_from_the_database_that_the_reports_read(
    small_site: Site, loan: Loan, tmp_path: Path
) -> None:
    (tmp_path / "copy").mkdir()
    site = Site(loan.create("sqlite", tmp_path / "copy"), small_site.history)
    powerauth.create_schema(site.powerauth)
    powerauth.add_applications(site.powerauth, ["elsewhere", "corporate"])
    site.fill()
    app = create_app(
        small_site.powerauth,
        clock=small_site.clock,
        BINDS={**small_site.binds, "copy": url_of(site.powerauth)},
        REPORT_BINDS={"CURRENT_MAU": "copy", "USERS_IN_PAST_DAYS": "copy"},
    )

    result = run(app)

    assert result.exit_code == 0
    assert [row[0] for row in small_site.rows()] == ["corporate", "elsewhere"]
    live = users_of(app.test_client(), "elsewhere", 30)
    assert users_of(small_site.reader().test_client(), "elsewhere", 30) == live > 0


@pytest.mark.parametrize("report", ["CURRENT_MAU", "USERS_IN_PAST_DAYS"])
def test_reports_of_two_databases_are_refused(small_site: Site, report: str) -> None:
    app = create_app(
        small_site.powerauth,
        BINDS={**small_site.binds, "copy": url_of(small_site.powerauth)},
        REPORT_BINDS={report: "copy"},
    )

    with recorded_statements() as statements:
        result = run(app)

    assert result.exit_code == 1
    assert "POWERAUTH_TELEMETRY_REPORT_BINDS" in result.stderr
    assert "Bind both to the same" in result.stderr
    assert statements == []
