"""``flask telemetry months``: twelve months on a terminal, in a pipe, and as JSON."""

import csv
import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import Engine

from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import ActivityProfile
from tests.history.test_months import month_of, reader
from tests.support.commands import command
from tests.support.past import record
from tests.support.service import CREDENTIALS, create_app, recorded_statements, url_of

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NAMES = ["2025-11", "2025-12", *(f"2026-{number:02}" for number in range(1, 11))]
ENDS = [datetime(2025, 12, 1, tzinfo=UTC)] + [
    datetime(2026, number, 1, tzinfo=UTC) for number in range(1, 12)
]
MISSING = {"2025-11", "2026-04"}


@pytest.fixture
def history(database: Engine) -> Engine:
    """Ten months that end with a row, and two that don't; 1,000, 2,000, … users."""
    rows = [
        ActivityProfile(end + timedelta(seconds=2), (1_000 * number,) * 365)
        for number, (name, end) in enumerate(zip(NAMES, ENDS, strict=True), 1)
        if name not in MISSING
    ]
    record(database, rows)
    return database


def app_on(history: Engine, **keys: Any) -> Flask:
    settings: dict[str, Any] = {"SOURCE": "snapshot", "BINDS": {"history": url_of(history)}, **keys}
    return create_app(clock=lambda: NOW, **settings)


def months(history: Engine, *options: str, application: str = "retail") -> Result:
    return command(app_on(history), "months", "--application", application, *options)


def test_json_is_what_the_report_answers(history: Engine) -> None:
    client = reader(history, now=NOW)

    result = months(history, "--json")

    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "application": "retail",
        "months": [month_of(client, name) for name in NAMES],
        "average": 7_100.0,
        "maximum": 12_000,
        "missing": ["2025-11", "2026-04"],
    }


@pytest.mark.parametrize("options", [[], ["--csv"]])
def test_pipe_gets_clean_rows(history: Engine, options: list[str]) -> None:
    client = reader(history, now=NOW)

    result = months(history, *options)

    assert (result.exit_code, result.stderr) == (0, "")
    rows = list(csv.DictReader(StringIO(result.stdout)))
    assert rows == [
        {
            key: "" if value is None else str(value).lower() if key == "complete" else str(value)
            for key, value in month_of(client, name).items()
            if key != "application"
        }
        for name in NAMES
    ]
    assert [row["users"] for row in rows][:2] == ["", "2000"]


APPLICATION = """
from datetime import datetime, timezone
from flask import Flask
from flask_powerauth_telemetry import PowerAuthTelemetry

app = Flask(__name__)
app.config.from_prefixed_env()
PowerAuthTelemetry(app, clock=lambda: datetime(2026, 11, 25, 12, tzinfo=timezone.utc))
"""
TABLE = """\
month           users    at least     at most  as of
2025-11             -           0       2,000  2026-01-01T00:00:02+00:00         bounded
2025-12         2,000           -           -  2026-01-01T00:00:02+00:00
"""


def test_table_is_for_a_terminal(sqlite: Engine, tmp_path: os.PathLike[str]) -> None:
    rows = {"2025-11": None, "2025-12": 2_000, "2026-01": 4_001}
    for end, users in zip(ENDS, rows.values(), strict=False):
        if users is not None:
            record(sqlite, [ActivityProfile(end + timedelta(seconds=2), (users,) * 365)])
    with open(os.path.join(tmp_path, "app.py"), "w", encoding="utf-8") as file:
        file.write(APPLICATION)
    settings = {
        "FLASK_POWERAUTH_TELEMETRY_CREDENTIALS": json.dumps(CREDENTIALS),
        "FLASK_POWERAUTH_TELEMETRY_SOURCE": "snapshot",
        "FLASK_POWERAUTH_TELEMETRY_BINDS": json.dumps({"history": url_of(sqlite)}),
    }
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "flask", "telemetry", "months", "--application", "retail"],
        cwd=tmp_path,
        env=os.environ | settings,
        stdout=theirs,
        timeout=60,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode().replace("\r\n", "\n")
    os.close(ours)

    lines = shown.splitlines()
    assert shown.startswith(TABLE)
    assert len(lines) == 1 + 12 + 3
    assert lines[-3:] == [
        "average       3,000.5",
        "maximum         4,001",
        "No number for 10 of 12 months: 2025-11, 2026-02, 2026-03, 2026-04, 2026-05, 2026-06,"
        " 2026-07, 2026-08, 2026-09, 2026-10",
    ]


def test_month_of_the_report_zone_is_the_last_that_is_over(sqlite: Engine) -> None:
    record(sqlite, [ActivityProfile(NOW, (1,) * 365)])
    app = create_app(
        clock=lambda: datetime(2026, 11, 30, 23, 30, tzinfo=UTC),
        SOURCE="snapshot",
        BINDS={"history": url_of(sqlite)},
        REPORT_TIMEZONE="Europe/Prague",
    )

    result = command(app, "months", "--application", "retail", "--json")

    names = [month["month"] for month in json.loads(result.stdout)["months"]]
    assert (names[0], names[-1]) == ("2025-12", "2026-11")


def test_nothing_but_the_history_is_read(sqlite: Engine) -> None:
    record(sqlite, [ActivityProfile(NOW, (1,) * 365)])

    with recorded_statements() as statements:
        assert months(sqlite, "--csv").exit_code == 0

    assert statements
    assert not any("pa_" in statement for statement in statements)
    assert all(one.startswith(("SELECT", "PRAGMA", "BEGIN")) for one in statements)


def test_instance_is_chosen(sqlite: Engine) -> None:
    record(sqlite, [ActivityProfile(NOW, (1,) * 365)])
    app = app_on(sqlite)

    other = command(app, "months", "--application", "retail", "--instance", "emea")

    assert other.exit_code == 2
    assert "no instance 'emea'" in other.stderr


def test_what_can_not_be_read_ends_with_2(sqlite: Engine) -> None:
    record(sqlite, [ActivityProfile(NOW, (1,) * 365)], application=Application(2, "corporate"))

    unknown = months(sqlite)
    blank = months(sqlite, application=" ")
    nothing = command(app_on(sqlite), "months")

    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert unknown.stderr == "Error: Unknown application: retail\n"
    assert (blank.exit_code, blank.stdout) == (2, "")
    assert "application: Must not be blank." in blank.stderr
    assert nothing.exit_code == 2


def test_history_that_was_never_recorded_ends_with_2(sqlite: Engine) -> None:
    with sqlite.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE other (id INTEGER)")

    result = months(sqlite)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "nothing is recorded yet" in result.stderr


def test_damaged_row_ends_with_2(history: Engine) -> None:
    with history.begin() as connection:
        connection.exec_driver_sql("UPDATE telemetry_recording SET milliseconds = 1 + milliseconds")

    result = months(history)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "of telemetry_recording is damaged" in result.stderr
