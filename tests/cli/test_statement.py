"""``flask telemetry statement``: a month on one page, that says what is known and no more."""

import csv
import io
import json
import re
import shlex
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import insert, text

from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import ActivityProfile
from tests.support import audit, powerauth
from tests.support.audit import DAY, HOUR, Verification
from tests.support.commands import command
from tests.support.past import local_midnight, record
from tests.support.powerauth import Activation, wall_clock
from tests.support.recorded import Site
from tests.support.service import NOW, create_app

REPORTS = ["USERS_IN_MONTH", "MAU_HISTORY", "SIGNATURES_IN_MONTH"]
DOCS = Path(__file__).parents[2] / "docs"
PRAGUE = ZoneInfo("Europe/Prague")
END = local_midnight(date(2026, 11, 1), PRAGUE)


def app_of(site: Site, now: datetime = NOW, **keys: Any) -> Flask:
    settings = {"REPORTS": REPORTS, "BINDS": site.binds, "REPORT_TIMEZONE": "Europe/Prague"}
    return create_app(site.powerauth, clock=lambda: now, **{**settings, **keys})


def profile(as_of: datetime, users: int) -> ActivityProfile:
    """So many users in each window."""
    return ActivityProfile(as_of, (users,) * 365)


def statement(app: Flask, month: str, *options: str, application: str = "retail") -> Any:
    return command(app, "statement", "--application", application, "--month", month, *options)


def data_of(app: Flask, month: str, code: int, **options: str) -> Any:
    result = statement(app, month, "--json", **options)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def recorded(small_site: Site) -> Site:
    """October's end and some of its days were recorded; verifications from its start on."""
    days = [local_midnight(date(2026, 10, day), PRAGUE) + 3 * HOUR for day in (1, 2, 3, 20, 31)]
    record(
        small_site.history,
        [profile(one, 1_000 + number) for number, one in enumerate(days)]
        + [profile(END + timedelta(seconds=2), 1_234)],
    )
    activations = [Activation("a", 1, "anna", datetime(2026, 1, 1))]
    powerauth.add_activations(small_site.powerauth, activations)
    times = [datetime(2026, 9, 1), datetime(2026, 10, 5), datetime(2026, 10, 6)]
    times.append(datetime(2026, 11, 24))
    rows = [Verification("a", time, time.day != 6) for time in times]
    audit.add_verifications(small_site.powerauth, rows)
    return small_site


def test_month_that_was_recorded_is_told_with_all_that_is_known(recorded: Site) -> None:
    result = statement(app_of(recorded), "2026-10")

    assert result.exit_code == 0, result.output
    told = re.sub(r"\d+ rows, digest [0-9a-f]{64}", "NUMBER rows, digest DIGEST", result.stdout)
    documented = (DOCS / "recording.md").read_text(encoding="utf-8")
    assert f"```text\n{told}```" in documented, told


@pytest.mark.parametrize(
    ("after", "told"), [(0, "0 s after"), (1.5, "1.5 s after"), (-2, "2 s before")]
)
def test_it_says_how_far_from_the_end_was_recorded(
    small_site: Site, after: float, told: str
) -> None:
    end = local_midnight(date(2026, 4, 1), PRAGUE)
    record(small_site.history, [profile(end + timedelta(seconds=after), 1_234)])

    text = statement(app_of(small_site), "2026-03").stdout

    assert f"1,234 unique users were active, as recorded {told} the end of the month." in text
    assert "; it begins 1 h before the month, as the clock was set forward." in text


def test_month_without_a_change_of_the_clock_has_its_whole_window(small_site: Site) -> None:
    record(small_site.history, [profile(local_midnight(date(2026, 7, 1), PRAGUE), 1_234)])

    text = statement(app_of(small_site), "2026-06").stdout

    assert "to 2026-07-01T00:00:00+02:00, by the calendar of Europe/Prague.\n" in text


def test_json_has_what_the_reports_answer(recorded: Site) -> None:
    app = app_of(recorded)

    data = data_of(app, "2026-10", 0)

    for key, report in (("users", REPORTS[0]), ("verifications", REPORTS[2])):
        asked = ["report", report, "-p", "application=retail", "-p", "month=2026-10", "--json"]
        assert data[key] == json.loads(command(app, *asked).stdout)
    assert data["users"]["users"] == 1_234
    assert data["usersByDay"]["maximum"] == 1_004
    assert data["verifications"]["total"] == 2
    entries, digest = recorded.rows("entry, digest")[-1]
    assert data["history"] == {"entries": entries, "digest": digest}
    assert (data["application"], data["month"], data["zone"]) == (
        "retail",
        "2026-10",
        "Europe/Prague",
    )


def test_csv_is_one_line(recorded: Site) -> None:
    result = statement(app_of(recorded), "2026-10", "--csv")

    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert row["users.users"] == "1234"
    assert row["verifications.valid"] == "1"
    assert row["missing"].startswith("26 days have no recording")


def test_command_that_it_tells_checks_the_history(recorded: Site) -> None:
    app = app_of(recorded)
    told = statement(app, "2026-10").stdout
    (check,) = re.findall(r"flask telemetry (snapshot --verify --expect .*)", told)

    assert command(app, *shlex.split(check)).exit_code == 0
    recorded.execute("UPDATE telemetry_recording SET as_of = '2026-10-31T23:00:05.000000Z'")
    assert command(app, *shlex.split(check)).exit_code == 1


@pytest.mark.parametrize(
    ("rows", "bounds"),
    [
        ([(END - DAY, 900), (END + 3 * HOUR, 1_000)], "at least 900 and at most 1,000"),
        ([(END - DAY, 900)], "at least 900"),
        ([(END + 3 * HOUR, 1_000)], "at least 0 and at most 1,000"),
    ],
)
def test_month_without_a_recording_at_its_end_has_bounds(
    small_site: Site, rows: list[tuple[datetime, int]], bounds: str
) -> None:
    record(small_site.history, [profile(*row) for row in rows])

    result = statement(app_of(small_site), "2026-10")

    assert result.exit_code == 1
    assert f"The number of users is not known; it is {bounds}." in result.stdout
    assert (
        "No recording at its end counts exactly the uses of the month,"
        " so only bounds are known of its users."
    ) in result.stdout


def test_month_of_which_nothing_is_known_says_so(small_site: Site) -> None:
    """Activations were deleted in between, so what was recorded contradicts itself."""
    record(small_site.history, [profile(END - 3 * DAY, 1_000), profile(END + 3 * DAY, 10)])

    result = statement(app_of(small_site), "2026-10")

    assert result.exit_code == 2
    assert "The number of users is not known.\n" in result.stdout
    assert "of the month, so nothing is known of its users." in result.stdout


def test_single_days_are_told_as_one(recorded: Site) -> None:
    record(recorded.history, [profile(END + 3 * HOUR, 1_250)])
    audit.delete_verifications(recorded.powerauth)
    first = [Verification("a", datetime(2026, 11, 1, 10))]
    audit.add_verifications(recorded.powerauth, first)

    text = statement(app_of(recorded, now=END + 36 * HOUR), "2026-11").stdout

    assert "over 1 recorded day of the month" in text
    assert "1 day has no recording: 2026-11-02." in text
    assert "and 1 day was not recorded: 2026-11-01." in text


def test_running_month_has_bounds_so_far(recorded: Site) -> None:
    result = statement(app_of(recorded, END - DAY), "2026-10")

    assert result.exit_code == 1
    assert "The month is not over" in result.stdout


def test_statement_of_no_report_says_which_to_switch_on(recorded: Site) -> None:
    result = statement(app_of(recorded, REPORTS=[]), "2026-10")

    assert (result.exit_code, result.stdout) == (2, "")
    said = "add USERS_IN_MONTH, MAU_HISTORY, SIGNATURES_IN_MONTH to POWERAUTH_TELEMETRY_REPORTS"
    assert said in result.stderr


@pytest.mark.parametrize("reports", [["SIGNATURES_IN_MONTH"], ["MAU_HISTORY"]])
def test_users_that_no_report_tells_are_not_known(recorded: Site, reports: list[str]) -> None:
    result = statement(app_of(recorded, REPORTS=reports), "2026-10")

    assert result.exit_code == 2
    assert "The report USERS_IN_MONTH is not switched on." in result.stdout
    assert "unique users" not in result.stdout.partition("What was counted")[0]


@pytest.mark.parametrize(
    ("month", "application"),
    [("2026-12", "retail"), ("2026-13", "retail"), ("", "retail"), ("2026-10", "Retail")],
)
def test_what_can_not_be_told_is_refused(recorded: Site, month: str, application: str) -> None:
    result = statement(app_of(recorded), month, application=application)

    assert result.exit_code == 2
    assert result.stdout == ""


def test_application_that_was_renamed_has_only_what_its_name_has(recorded: Site) -> None:
    with recorded.powerauth.begin() as connection:
        table = PowerAuthTables().pa_application
        connection.execute(table.update().where(table.c.id == 1).values(name="bank"))
    app = app_of(recorded)

    old, new = data_of(app, "2026-10", 0), data_of(app, "2026-10", 2, application="bank")

    assert (old["users"]["users"], old["verifications"]) == (1_234, None)
    assert "The report SIGNATURES_IN_MONTH knows no such application." in old["missing"]
    assert (new["users"], new["verifications"]["total"]) == (None, 2)


def test_pruned_audit_is_said(recorded: Site) -> None:
    with recorded.powerauth.begin() as connection:
        connection.exec_driver_sql(
            "DELETE FROM pa_signature_audit WHERE timestamp_created < '2026-10-06'"
        )

    missing = " ".join(data_of(app_of(recorded), "2026-10", 0)["missing"])

    assert "The audit begins at 2026-10-06T02:00:00+02:00, so earlier" in missing


@pytest.mark.parametrize(
    ("newest", "now", "month", "is_said"),
    [
        (datetime(2026, 10, 31, 22, 59), NOW, "2026-10", True),
        (datetime(2026, 10, 31, 23), NOW, "2026-10", False),  # the end of the month in Prague
        (wall_clock(NOW - 10 * DAY, UTC), NOW, "2026-11", True),
        (wall_clock(NOW - 12 * HOUR, UTC), NOW, "2026-11", False),
    ],
)
def test_audit_that_ends_before_the_month_is_said(
    recorded: Site, newest: datetime, now: datetime, month: str, is_said: bool
) -> None:
    audit.delete_verifications(recorded.powerauth)
    audit.add_verifications(recorded.powerauth, [Verification("a", newest)])

    text = statement(app_of(recorded, now), month).stdout

    until = wall_clock(newest.replace(tzinfo=UTC), PRAGUE).isoformat()
    assert (f"The audit ends at {until}+01:00: " in text) == is_said
    assert ("this copy is no longer fed" in text) == is_said


def test_statements_of_a_year_say_what_is_known_and_no_more(small_site: Site) -> None:
    """Daily recordings but for some months' ends, and an audit of the last five months."""
    gaps = {"2026-02", "2026-07"}
    ends = {
        f"{year}-{month:02}": local_midnight(date(year + month // 12, month % 12 + 1, 1), PRAGUE)
        for year, month in [(2025, 11), (2025, 12), *((2026, month) for month in range(1, 11))]
    }
    users = {name: 100 + number for number, name in enumerate(ends)}
    rows = [profile(end, users[name]) for name, end in ends.items() if name not in gaps]
    record(small_site.history, rows)
    powerauth.add_activations(
        small_site.powerauth, [Activation("a", 1, "anna", datetime(2026, 1, 1))]
    )
    times = [wall_clock(end - DAY, UTC) for name, end in ends.items() if name >= "2026-06"]
    audit.add_verifications(small_site.powerauth, [Verification("a", time) for time in times])
    app = app_of(small_site)

    for name in ends:
        data = data_of(app, name, 1 if name in gaps else 0)
        assert data["users"]["users"] == (None if name in gaps else users[name])
        assert data["verifications"]["total"] == (name >= "2026-06")
        pruned = "earlier verifications may have been deleted" in " ".join(data["missing"])
        assert pruned == (name <= "2026-06")


class Elements(HTMLParser):
    """The names of a page's elements, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "name",
    ["</title><script>alert(1)</script>", "\"'&amp;{title}{body}", "a\u202eb\x1b[31m", "n" * 255],
)
def test_page_holds_any_name_and_no_script(recorded: Site, tmp_path: Path, name: str) -> None:
    with recorded.powerauth.begin() as connection:
        connection.execute(insert(PowerAuthTables().pa_application).values(id=9, name=name))
    record(recorded.history, [profile(END, 7)], application=Application(9, name))
    file = tmp_path / "page.html"

    result = statement(app_of(recorded), "2026-10", "--html", str(file), application=name)

    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    page = Elements(file.read_text(encoding="utf-8"))
    assert page.names == {"html", "head", "meta", "title", "style", "body", "h1", "dl", "dt", "dd"}
    shown = name.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")
    assert page.text.count(f"Statement of 2026-10 for {shown}") == 2
    assert not re.search(r"(src|href)=|@import|url\(", file.read_text(encoding="utf-8"))


def test_report_that_failed_is_no_success(recorded: Site) -> None:
    with recorded.powerauth.begin() as connection:
        connection.execute(text("DROP TABLE pa_signature_audit"))

    result = statement(app_of(recorded), "2026-10")

    assert "1,234 unique users" in result.stdout
    assert "The report SIGNATURES_IN_MONTH failed" in result.stdout
    assert result.exit_code == 1


def test_page_that_can_not_be_written_is_a_failure(recorded: Site, tmp_path: Path) -> None:
    result = statement(app_of(recorded), "2026-10", "--html", str(tmp_path / "none" / "page.html"))

    assert result.exit_code == 2
