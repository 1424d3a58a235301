"""Days of verifications that were recorded answer for what was pruned, and for nothing else."""

import json
import shlex
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, event, text

from flask_powerauth_telemetry.cli import attempts
from flask_powerauth_telemetry.history.store import HistoryStore
from tests.support import audit, powerauth
from tests.support.audit import DAY, HOUR, TICK, Verification
from tests.support.commands import command
from tests.support.dashboard import dashboard, get, page_of
from tests.support.databases import Loan
from tests.support.powerauth import Activation
from tests.support.recorded import Site, run
from tests.support.recorded_days import (
    NOVEMBER,
    OCTOBER,
    REPORT,
    YEAR,
    Life,
    month_of,
    rename,
    steady,
    told,
)
from tests.support.service import NOW, ask, url_of


def test_second_run_records_nothing_twice(small_site: Site) -> None:
    life = steady(small_site)
    life.record()
    before = small_site.rows("*")

    life.record()

    assert small_site.rows("*") == before
    assert len(before) == 2 + 2 * 20


def test_days_left_are_recorded_by_the_next_runs_or_tries(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = steady(small_site, 100)
    life.record(["retail"])
    assert len(small_site.rows()) == 1 + 31

    result = run(small_site.recorder(**life.keys), "--signatures", "--application", "retail")
    assert (result.exit_code, len(small_site.rows())) == (1, 1 + 62)
    assert "retail: not all verifications are recorded: 38 earlier days are left" in result.stderr

    monkeypatch.setattr(attempts, "SECONDS_BETWEEN", 0.01)
    result = run(small_site.recorder(**life.keys), "--signatures", "--retry-for", "1m")
    assert result.exit_code == 0, result.output
    assert len(small_site.rows()) == 2 + 2 * 100


def test_only_what_is_asked_for_is_recorded(small_site: Site) -> None:
    life = steady(small_site)

    assert run(small_site.recorder(**life.keys)).exit_code == 0
    assert len(small_site.rows()) == 2
    assert run(small_site.auditor, "--verify", "--signatures").exit_code == 2


def test_day_is_recorded_an_hour_after_it_is_over(small_site: Site) -> None:
    life = steady(small_site, 2)
    midnight = NOW.replace(hour=0)
    for now, days in ((midnight + HOUR - TICK, 1), (midnight + HOUR, 2)):
        small_site.clock.now = now
        life.record(["retail"])
        assert sum(slot.endswith("M") for _, slot, _ in small_site.rows()) == days


def test_days_after_the_newest_row_are_not_recorded(small_site: Site) -> None:
    """A copy that is fed no longer, or a clock that is ahead, gives no day without numbers."""
    life = steady(small_site)
    small_site.clock.now = NOW + 9 * DAY
    life.record(["retail"])

    slots = [slot for _, slot, _ in small_site.rows() if slot.endswith("M")]
    assert len(slots) == 20
    assert max(slots) == "2026-11-24T00:00Z/PT1440M"


def test_audit_with_a_zone_is_recorded(postgresql_site: Site) -> None:
    life = steady(postgresql_site, 5, "Europe/Prague")
    with postgresql_site.powerauth.begin() as connection:
        connection.execute(
            text(
                "CREATE VIEW zoned AS SELECT activation_id, valid, signature_type,"
                " signature_algorithm, timestamp_created AT TIME ZONE 'UTC'"
                " AS timestamp_created FROM pa_signature_audit"
            )
        )
    zoned = postgresql_site.recorder(**life.keys, TABLES={"pa_signature_audit": "zoned"})
    life.record()
    plain = {row[1]: row[2] for row in postgresql_site.rows("entry, slot, users")}
    postgresql_site.execute("DELETE FROM telemetry_recording")
    start = {"digest": "0" * 64}
    postgresql_site.execute(
        "UPDATE telemetry_history_head SET entries = 0, digest = :digest", **start
    )

    assert run(zoned, "--signatures").exit_code == 0

    assert {row[1]: row[2] for row in postgresql_site.rows("entry, slot, users")} == plain


def test_empty_audit_gives_no_days(site: Site) -> None:
    life = steady(site, 3)
    life.prune(datetime.max)
    life.record()

    assert len(site.rows()) == 2


def test_row_holds_what_is_documented(site: Site) -> None:
    times = [datetime(2026, 10, 24, 21, 59), datetime(2026, 10, 24, 22), datetime(2026, 10, 27)]
    rows = [Verification("a", times[1], False, "Ω'\"", "ECDSA"), Verification("a", times[1], None)]
    rows += [Verification("a", time) for time in times]
    life = Life(site, ZoneInfo("UTC"), ZoneInfo("Europe/Prague"), rows)
    life.record(["retail"])

    names = "application_name, slot, as_of, definition, corrects, users"
    (row,) = [row for row in site.rows(names) if row[1].startswith("2026-10-24T22")]
    assert row[:5] == (
        "retail",
        "2026-10-24T22:00Z/PT1500M",
        "2026-11-25T12:00:00.000000Z",
        1001,
        0,
    )
    numbers = json.loads(row[5])
    assert sorted(numbers.pop("kinds"), key=str) == [
        ["POSSESSION_KNOWLEDGE", None, 2, 1],
        ["Ω'\"", "ECDSA", 1, 0],
    ]
    hours = [["2026-10-24T22:00:00Z", 1, 3]]
    shown = ["2026-10-24T22:00:00", "2026-10-25T23:00:00"]
    assert numbers == {"day": "2026-10-25", "zone": "Europe/Prague", "shown": shown, "hours": hours}


def test_day_is_used_for_calendars_that_have_it_alone(small_site: Site) -> None:
    """Those of New York begin and end at other instants; those of Berlin are the same."""
    life = steady(small_site, 40, "Europe/Prague")
    life.record()
    life.record()
    before = small_site.rows("*")
    other = small_site.recorder(**{**life.keys, "REPORT_TIMEZONE": "America/New_York"})
    run(other, "--signatures", "--application", "corporate")
    run(other, "--signatures", "--application", "corporate")
    assert len(small_site.rows("*")) > len(before)

    life.prune(datetime.max)

    assert month_of(other.test_client(), OCTOBER)["byDay"] == [None] * 31
    assert month_of(other.test_client(), OCTOBER, "corporate")["byDay"][-1] == 0
    berlin = small_site.recorder(**{**life.keys, "REPORT_TIMEZONE": "Europe/Berlin"})
    data = month_of(berlin.test_client(), OCTOBER)
    assert data == month_of(life.client(), OCTOBER)
    assert told(data) == life.must_answer(OCTOBER)
    assert data["byDay"][-1] == 2


def test_days_of_another_zone_of_the_database_are_not_used(small_site: Site) -> None:
    """Somebody corrects DATABASE_TIMEZONE, and records anew what the audit still holds."""
    life = steady(small_site, 40, "UTC")
    wrong = small_site.recorder(**{**life.keys, "DATABASE_TIMEZONE": "Asia/Tokyo"})
    for _ in range(2):
        run(wrong, "--signatures")
    before = month_of(life.client(), OCTOBER)
    assert (before["recordedDays"], told(before)) == ([], life.must_answer(OCTOBER))

    life.record()
    life.record()
    life.prune(datetime.max)

    data = month_of(life.client(), OCTOBER)
    assert told(data) == life.must_answer(OCTOBER)
    assert data["byDay"][-3:] == [2, 2, 2]
    for slot, reason in small_site.rows("slot, reason"):
        began = f"the time zone of the database was corrected, it began at {slot[:10]} 09:00:00"
        assert reason in (None, began)
    assert run(small_site.auditor, "--verify").exit_code == 0


def test_day_that_another_host_records_meanwhile_is_recorded_once(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = steady(small_site, 10)
    life.record()
    rows = small_site.rows()
    monkeypatch.setattr(HistoryStore, "recorded_days", lambda *_: {})

    result = run(small_site.recorder(**life.keys), "--signatures")

    assert result.exit_code == 0
    assert "verifications" not in result.stdout
    assert small_site.rows() == rows


def test_renamed_application_begins_anew(site: Site) -> None:
    """What the audit still holds is recorded under the new name; older days are not known."""
    life = steady(site, 40)
    life.record()
    life.record()
    life.prune(datetime(2026, 10, 30, 6))
    rename(site, 1, "rshop")
    assert month_of(life.client(), OCTOBER, "rshop")["byDay"][-3:] == [None, None, 2]
    life.record(["rshop"])
    life.prune(datetime.max)

    data = month_of(life.client(), OCTOBER, "rshop")

    assert told(data) == life.must_answer(OCTOBER, "rshop")
    assert data["byDay"][-3:] == [None, None, 2]
    reasons = {reason for (reason,) in site.rows("reason")}
    assert reasons == {None, "the application was renamed, it was retail"}
    old = ask(life.client(), REPORT, {"application": "retail", "month": "2026-10"})
    assert old.status_code == 400
    assert run(site.auditor, "--verify").exit_code == 0


def test_name_of_another_application_brings_no_days_of_the_first(small_site: Site) -> None:
    life = steady(small_site, 30)
    life.record()
    life.prune(datetime.max)
    for number, name in ((1, "past"), (2, "retail")):
        rename(small_site, number, name)

    assert month_of(life.client(), OCTOBER)["byDay"] == [None] * 31


def test_day_that_is_pruned_while_it_is_read_is_not_recorded(small_site: Site) -> None:
    life = steady(small_site, 10)
    pruned = datetime(2026, 11, 20, 6)
    read = []

    def prune(_: object, __: object, statement: str, *others: object) -> None:
        if "pa_activation JOIN" not in statement and "JOIN pa_activation" not in statement:
            return
        read.append(statement)
        if len(read) == 5:  # the fifth day back, of which the first row goes
            audit.delete_verifications(small_site.powerauth, pruned)

    event.listen(Engine, "before_cursor_execute", prune)
    try:
        result = run(small_site.recorder(**life.keys), "--signatures", "--application", "retail")
    finally:
        event.remove(Engine, "before_cursor_execute", prune)

    assert result.exit_code == 0, result.output
    slots = [slot[:10] for _, slot, _ in small_site.rows() if slot.endswith("M")]
    assert slots == ["2026-11-24", "2026-11-23", "2026-11-22", "2026-11-21"]


def test_more_in_the_audit_is_nearer_to_the_truth(small_site: Site) -> None:
    life = steady(small_site, 40)
    life.record()
    life.record()
    late = [Verification("a", datetime(2026, 10, 20, 5 + number)) for number in range(3)]
    life.rows = [*life.rows, *late]
    audit.add_verifications(small_site.powerauth, late, first=1_000)

    data = month_of(life.client(), OCTOBER)
    assert (data["byDay"][19], data["recordedDays"]) == (5, [])
    # Half of that day is pruned: more is left than was recorded, so neither is the number.
    life.prune(datetime(2026, 10, 20, 5))
    data = month_of(life.client(), OCTOBER)
    assert data["byDay"][18:21] == [2, None, 2]
    assert data["missing"][-1] == "2026-10-20"


def test_recorded_day_counts_where_rows_were_deleted_in_between(site: Site) -> None:
    """As by somebody who keeps a few old rows for a court."""
    life = steady(site, 40)
    life.record()
    life.record()
    truth = month_of(life.client(), OCTOBER)
    assert truth["recordedDays"] == []
    with site.powerauth.begin() as connection:
        between = "> '2026-10-17' AND timestamp_created < '2026-10-30 12:00:00'"
        connection.execute(
            text(f"DELETE FROM pa_signature_audit WHERE timestamp_created {between}")
        )

    data = month_of(life.client(), OCTOBER)

    days = [day["day"] for day in data["recordedDays"]]
    assert days == [f"2026-10-{day}" for day in range(17, 31)]
    assert data["auditSince"] == truth["auditSince"]
    for key in ("total", "byDay", "missing", "byType"):
        assert data[key] == truth[key]


UNREACHABLE = {"history": "postgresql+psycopg://nobody@127.0.0.1:1/nothing"}


def test_history_that_can_not_be_reached_gives_no_number(small_site: Site) -> None:
    """Without it, nobody knows whether a number is lower than what was recorded."""
    life = steady(small_site, 40)
    client = small_site.recorder(**{**life.keys, "BINDS": UNREACHABLE}).test_client()

    for month in ("2026-10", "2026-11"):
        answer = ask(client, REPORT, {"application": "retail", "month": month})
        assert answer.status_code == 503


@pytest.mark.parametrize("made", [False, True])
def test_history_that_nobody_made_holds_no_day(small_site: Site, made: bool) -> None:
    life = steady(small_site, 40)
    life.prune(datetime(2026, 10, 25))
    if made:
        small_site.execute("CREATE TABLE other (id INTEGER)")

    assert told(month_of(life.client(), OCTOBER)) == life.must_answer(OCTOBER)


def test_check_tells_a_day_that_is_damaged(small_site: Site) -> None:
    life = steady(small_site, 40)
    life.record()
    app = small_site.recorder(**life.keys)
    assert command(app, "check", "--no-pass").exit_code in (0, 1)
    small_site.execute("UPDATE telemetry_recording SET users = '{}' WHERE definition = 1001")

    result = command(app, "check", "--no-pass")

    assert result.exit_code == 2
    assert "of telemetry_recording is damaged" in result.output


def test_statement_tells_which_days_were_recorded_and_by_which_rows(small_site: Site) -> None:
    life = steady(small_site, 40)
    life.record()
    life.record()
    life.prune(datetime(2026, 10, 30))
    app = small_site.recorder(**life.keys)

    result = command(app, "statement", "--application", "retail", "--month", "2026-10")

    lines = [line.strip() for line in result.stdout.splitlines()]
    assert (
        "14 days are as recorded on 2026-11-25, in rows 60 to 82 of the history, because the audit"
        " may hold less: 2026-10-16 to 2026-10-29." in lines
    ), result.stdout
    assert any(line.startswith("At least 32 verifications") for line in lines)
    assert any(
        line.endswith("and 15 days were not recorded: 2026-10-01 to 2026-10-15.") for line in lines
    )
    (check,) = [line for line in lines if line.startswith("flask telemetry snapshot --verify")]
    assert command(app, *shlex.split(check)[2:]).exit_code == 0
    small_site.execute("UPDATE telemetry_recording SET users = '{}' WHERE entry = 70")
    assert command(app, *shlex.split(check)[2:]).exit_code == 1


def test_audit_that_can_not_be_read_leaves_users_recorded(small_site: Site) -> None:
    with small_site.powerauth.begin() as connection:
        connection.execute(text("DROP TABLE pa_signature_audit"))

    result = run(small_site.recorder(), "--signatures")

    assert result.exit_code == 1
    assert len(small_site.rows()) == 2
    assert "The history has 2 rows" in result.stdout
    assert result.stderr.startswith("Error: No verifications are recorded: ")


def test_days_are_recorded_from_the_database_that_the_report_reads(
    loan: Loan, small_site: Site, tmp_path: Path
) -> None:
    """There, the application has another number."""
    other = loan.create("sqlite", tmp_path)
    powerauth.create_schema(other)
    powerauth.add_applications(other, ["kiosk", "corporate", "retail"])
    powerauth.add_activations(other, [Activation("a", 3, "anna", YEAR)])
    times = [datetime(2026, 10, day, 12) for day in range(1, 32)]
    audit.add_verifications(other, [Verification("a", time) for time in times])
    keys = {
        "REPORTS": [REPORT],
        "REPORT_BINDS": {REPORT: "audit"},
        "BINDS": {**small_site.binds, "audit": url_of(other)},
    }

    result = run(small_site.recorder(**keys), "--signatures", "--application", "retail")

    assert result.exit_code == 0, result.output
    assert "retail: recorded 2026-10-30, 1 verifications" in result.stdout
    audit.delete_verifications(other)
    data = month_of(small_site.recorder(**keys).test_client(), OCTOBER)
    assert data["byDay"] == [None, *[1] * 29, None]


@pytest.mark.parametrize(
    "oldest", [datetime(1999, 12, 31), datetime(1970, 1, 1), datetime.min, datetime(1, 1, 1, 5)]
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_row_of_a_senseless_time_does_not_make_the_audit_whole(
    small_site: Site, oldest: datetime, zone: str
) -> None:
    life = steady(small_site, 10, zone)
    life.record()
    rows = small_site.rows("*")
    audit.add_verifications(small_site.powerauth, [Verification("b", oldest)], first=1_000)

    assert run(small_site.recorder(**life.keys), "--signatures").exit_code == 0

    assert small_site.rows("*") == rows
    assert told(month_of(life.client(), NOVEMBER)) == life.must_answer(NOVEMBER)
    assert month_of(life.client(), OCTOBER)["missing"][-1] == "2026-10-31"


def test_dashboard_tells_the_days_that_were_recorded(small_site: Site) -> None:
    life = steady(small_site, 10)
    life.record()
    life.prune(datetime(2026, 11, 20, 6))
    client = dashboard(small_site.powerauth, BINDS=small_site.binds).test_client()

    page = get(client, "/figure/month-signatures", application="retail")

    (figure,) = page_of(page).figures.values()
    assert "; 6 days are as recorded before: verifications of 14 days of the month" in figure.text
    assert figure.numbers["Verifications in 2026-11"] == str(2 * 10 + 1)
    assert ["2026-11-20", "2"] in figure.rows
