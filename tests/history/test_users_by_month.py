"""The months of a year out of the history: in the API, and on the command line."""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text
from werkzeug.http import http_date

from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.history.users_by_month import UsersByMonth
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import ActivityProfile
from flask_powerauth_telemetry.tabular import as_csv
from tests.history.test_months import OnRecordings, month_of, reader
from tests.support.commands import command
from tests.support.past import DAY, INSTANCE, local_midnight, random_past, record
from tests.support.service import ask, error, recorded_statements

YEAR = "USERS_BY_MONTH"
REPORTS = [YEAR, "USERS_IN_MONTH"]
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
TICK = timedelta(microseconds=1)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NAMES = ["2025-11", "2025-12", *(f"2026-{number:02}" for number in range(1, 12))]
ENDS = [datetime(2025, 12, 1, tzinfo=UTC)] + [
    datetime(2026, number, 1, tzinfo=UTC) for number in range(1, 12)
]
MISSING = {"2025-11", "2026-04"}


@pytest.fixture
def history(database: Engine) -> Engine:
    """Ten months that end with a row, and two that don't; 1,000, 2,000, … users."""
    rows = [
        ActivityProfile(end + timedelta(seconds=2), (1_000 * number,) * 365)
        for number, (name, end) in enumerate(zip(NAMES, ENDS, strict=False), 1)
        if name not in MISSING
    ]
    record(database, rows)
    return database


def client_of(history: Engine, zone: str = "UTC", now: datetime = NOW, **keys: Any) -> FlaskClient:
    return reader(history, zone, now, **{"REPORTS": REPORTS, **keys})


def year_of(client: FlaskClient, application: str = "retail") -> dict[str, Any]:
    response = ask(client, YEAR, {"application": application})
    assert response.status_code == 200, response.get_data(as_text=True)
    data: dict[str, Any] = response.get_json()["responseObject"]["reportData"]
    return data


def months_of(client: FlaskClient, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """What USERS_IN_MONTH answers for each month, but for the application."""
    months = [month_of(client, name) for name in names]
    assert {month.pop("application") for month in months} == {"retail"}
    return list(months)


def names_until(year: int, month: int) -> list[str]:
    count = year * 12 + month - 1
    return [f"{one // 12:04}-{one % 12 + 1:02}" for one in range(count - 12, count + 1)]


def test_months_are_those_of_users_in_month_and_what_they_come_to(history: Engine) -> None:
    client = client_of(history)

    data = year_of(client)

    assert data == {
        "application": "retail",
        "average": 7_100.0,
        "maximum": 12_000,
        "months": months_of(client, NAMES),
        "missing": ["2025-11", "2026-04"],
    }
    states = [month["state"] for month in data["months"]]
    assert (states.count("recorded"), states.count("bounded"), states[-1]) == (10, 2, "running")


def passes(source: Random, months: Sequence[date], zone: ZoneInfo) -> list[datetime]:
    """Passes of a random operation: in time or nearly, hours or weeks apart, or not at all."""
    late = (0, 1, 20, -1, 299, 300, -300, 301, -301, 3_600, -7_200)
    found = []
    for month in months:
        midnight = local_midnight(month, zone)
        if source.random() < 0.6:
            found.append(midnight + source.choice(late) * SECOND)
            found.append(midnight + source.choice((TICK, -TICK)) + source.choice(late) * SECOND)
        if source.random() < 0.4:
            first = midnight + source.uniform(-12, 12) * DAY
            found += [first + number * 7 * HOUR for number in range(source.choice((1, 5, 60)))]
    return sorted(found)


@pytest.mark.parametrize("seed", range(6))
def test_each_month_of_a_random_past_is_that_of_users_in_month(database: Engine, seed: int) -> None:
    source = Random(seed)
    zone = source.choice(("UTC", "Europe/Prague", "America/New_York", "Australia/Lord_Howe"))
    now = datetime(2025, source.randint(1, 12), 1, tzinfo=UTC) + source.choice(
        (0 * DAY, -MINUTE, 4 * MINUTE, 11 * HOUR, 17 * DAY)
    )
    today = now.astimezone(ZoneInfo(zone)).date()
    names = names_until(today.year, today.month)
    firsts = [date.fromisoformat(f"{name}-01") for name in names_until(today.year, today.month)]
    rows = passes(source, [*firsts[source.randint(0, 12) :], today], ZoneInfo(zone))
    rows.append(now - source.uniform(1, 400) * DAY)
    past = random_past(seed, now - 700 * DAY, now, users=40)
    record(database, map(past.profile, rows))
    client = client_of(database, zone, now)

    data = year_of(client)

    assert data["months"] == months_of(client, names)
    known = [month["users"] for month in data["months"] if month["complete"]]
    assert data["average"] == (round(sum(known) / len(known), 2) if known else None)
    assert data["maximum"] == max(known, default=None)
    assert data["missing"] == [one["month"] for one in data["months"][:-1] if not one["complete"]]


def test_corrections_are_read_and_other_applications_are_not(database: Engine) -> None:
    end = datetime(2026, 11, 1, tzinfo=UTC)
    record(database, [ActivityProfile(end + SECOND, (5,) * 365)])
    record(database, [ActivityProfile(end, (6,) * 365)], application=Application(2, "corporate"))
    record(database, [ActivityProfile(end + MINUTE, (7,) * 365)], reason="a replica was behind")

    october = year_of(client_of(database))["months"][-2]

    assert (october["month"], october["users"], october["secondsLate"]) == ("2026-10", 7, 60)


def test_months_before_the_first_recording_are_unknown(sqlite: Engine) -> None:
    now = NOW + 10 * DAY
    # A pass of 31 days: it tells of December alone.
    record(sqlite, [ActivityProfile(now - HOUR, tuple(range(1, 32)))])

    data = year_of(client_of(sqlite, now=now))

    months = {month["month"]: month for month in data["months"]}
    assert months["2026-10"] == {
        "month": "2026-10",
        "users": None,
        "from": "2026-10-01T00:00:00+00:00",
        "to": "2026-11-01T00:00:00+00:00",
        "complete": False,
        "state": "unknown",
        "asOf": "2026-12-05T11:00:00+00:00",
        "secondsLate": (34 * DAY + 11 * HOUR).total_seconds(),
        "hoursLeftOut": 0.0,
        "lowerBound": None,
        "upperBound": None,
    }
    assert (data["average"], data["maximum"]) == (None, None)
    assert data["missing"] == [name for name in months if name != "2026-12"]


@pytest.mark.parametrize(
    ("zone", "last"), [("UTC", "2026-11"), ("Europe/Prague", "2026-12")], ids=["UTC", "Prague"]
)
def test_running_month_is_that_of_the_report_zone(sqlite: Engine, zone: str, last: str) -> None:
    record(sqlite, [ActivityProfile(NOW, (1,) * 365)])
    now = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)

    months = year_of(client_of(sqlite, zone, now))["months"]

    assert (len(months), months[-1]["month"], months[-1]["state"]) == (13, last, "running")
    assert [month["state"] for month in months].count("running") == 1


def test_answer_is_dated_by_the_newest_row(sqlite: Engine) -> None:
    ends = [ActivityProfile(end, (1,) * 365) for end in ENDS]
    record(sqlite, [*ends, ActivityProfile(NOW - 2 * HOUR, (1,) * 365)])

    response = ask(client_of(sqlite), YEAR, {"application": "retail"})

    assert response.headers["Last-Modified"] == http_date(NOW - 2 * HOUR)
    assert response.headers["Age"] == "7200"


def test_recorded_months_are_read_by_one_statement_and_gaps_by_two(history: Engine) -> None:
    with recorded_statements() as statements:
        year_of(client_of(history))

    reads = [one for one in statements if "FROM telemetry_recording" in one]
    # The ends of months, both sides of the two gaps, and of the month that is running.
    assert len(reads) == 1 + 2 * 2 + 2
    assert not any("pa_" in statement for statement in statements)
    if history.dialect.name == "sqlite":
        (ends,) = (one for one in reads if "LIMIT" not in one)
        with history.connect() as connection:
            values = ("x",) * ends.count("?")
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {ends}", values).all()
        steps = [row[3] for row in plan if "SUBQUERY" not in row[3]]
        assert any("INDEX telemetry_recording_newest" in step for step in steps), steps
        assert not any(step.startswith("SCAN") for step in steps), steps


def test_gaps_without_a_row_between_them_are_read_once(sqlite: Engine) -> None:
    record(sqlite, [ActivityProfile(NOW, (1,) * 365)])

    with recorded_statements() as statements:
        year_of(client_of(sqlite))

    assert len([one for one in statements if "FROM telemetry_recording" in one]) == 1 + 2 + 2


def test_unknown_application_is_told_from_nothing_recorded(database: Engine) -> None:
    HistoryStore(INSTANCE).create(database)
    assert ask(client_of(database), YEAR, {"application": "corporate"}).status_code == 503

    record(database, [ActivityProfile(NOW, (5,) * 365)])

    response = ask(client_of(database), YEAR, {"application": "corporate"})
    assert (response.status_code, response.get_json()) == (
        400,
        error("ERROR_TELEMETRY", "Unknown application: corporate", localized=True),
    )


def app_on(history: Engine) -> Flask:
    return client_of(history).application


def printed(history: Engine, *options: str, application: str = "retail") -> Result:
    return command(app_on(history), "report", YEAR, "-p", f"application={application}", *options)


def test_command_prints_the_report_data(history: Engine) -> None:
    data = year_of(client_of(history))

    as_json, as_lines = printed(history), printed(history, "--csv")

    assert (as_json.exit_code, as_lines.exit_code) == (0, 0)
    assert json.loads(as_json.stdout) == data
    assert as_lines.stdout == as_csv(data)


def test_csv_has_a_line_for_each_month_and_then_for_each_gap(history: Engine) -> None:
    data = year_of(client_of(history))

    rows = list(csv.DictReader(StringIO(printed(history, "--csv").stdout)))

    of_all = {"application": "retail", "average": "7100.0", "maximum": "12000"}
    assert all(of_all.items() <= row.items() for row in rows)
    lines = [
        {
            key.removeprefix("months."): value
            for key, value in row.items()
            if key.startswith("months.")
        }
        for row in rows
    ]
    assert lines[:13] == [
        {"position": str(number)}
        | {
            key: "" if value is None else str(value).lower() if key == "complete" else str(value)
            for key, value in month.items()
        }
        for number, month in enumerate(data["months"], start=1)
    ]
    assert [row["users"] for row in lines[:2]] == ["", "2000"]
    assert [row["missing"] for row in rows[13:]] == ["2025-11", "2026-04"]
    assert {value for line in lines[13:] for value in line.values()} == {""}


def test_what_can_not_be_read_ends_with_2(sqlite: Engine) -> None:
    record(sqlite, [ActivityProfile(NOW, (1,) * 365)], application=Application(2, "corporate"))

    unknown, blank = printed(sqlite), printed(sqlite, application=" ")

    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert unknown.stderr == "Error: Unknown application: retail\n"
    assert (blank.exit_code, blank.stdout) == (2, "")
    assert "application: Must not be blank." in blank.stderr


def test_history_that_was_never_recorded_is_not_available_now(sqlite: Engine) -> None:
    with sqlite.begin() as connection:
        connection.execute(text("CREATE TABLE other (id INTEGER)"))

    result = printed(sqlite)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing is recorded yet" in result.stderr


def test_damaged_row_ends_with_2(history: Engine) -> None:
    with history.begin() as connection:
        connection.execute(text("UPDATE telemetry_recording SET milliseconds = 1 + milliseconds"))

    result = printed(history)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "of telemetry_recording is damaged" in result.stderr


class TestUsersByMonth(OnRecordings):
    provider = UsersByMonth(HistoryStore(INSTANCE), ZoneInfo("Europe/Prague"))
    example: Mapping[str, Any] = {}
