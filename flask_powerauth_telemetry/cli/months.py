"""``flask telemetry months``: the twelve months behind, as was recorded."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.cli.instance import on_instance
from flask_powerauth_telemetry.factory.sources import history_store
from flask_powerauth_telemetry.history.calendar import Month, day_of
from flask_powerauth_telemetry.history.users_in_month import RECORDED, UsersInMonth
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.service import ReportService, read_clock
from flask_powerauth_telemetry.state import TelemetryState

MONTHS = 12

_ROW = "{:<9}{:>12}{:>12}{:>12}  {:<34}{}"
_COLUMNS = (
    "month",
    "users",
    "lowerBound",
    "upperBound",
    "complete",
    "state",
    "from",
    "to",
    "asOf",
    "secondsLate",
    "hoursLeftOut",
)

Data = Mapping[str, Any]


@click.command()
@click.option("--application", required=True, metavar="NAME", help="The application's name.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV; the default but on a terminal.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@on_instance
def months(state: TelemetryState, *, application: str, form: str | None) -> None:
    """Print the users of each of the last twelve months that are over, as was recorded.

    This is the report USERS_IN_MONTH, whether or not it is switched on. A month whose end was not
    recorded has no number, but bounds where they are known.

    Exit codes: 0 printed, also with gaps; 2 it can't be read, or was never recorded.
    """
    rows = _read(state, application)
    if form == "json":
        click.echo(json.dumps({"application": application, **_summary(rows)}, indent=2))
    elif form == "csv" or not sys.stdout.isatty():
        _write_csv(rows)
    else:
        _write_table(rows)


def _read(state: TelemetryState, application: str) -> Sequence[Data]:
    """The report data of each month, the oldest first."""
    timezone = state.config.report_timezone
    registry = ReportRegistry()
    registry.register(UsersInMonth(history_store(state.config), timezone))
    service = ReportService(registry, state.databases, state.clock)
    month = Month.of(day_of(read_clock(state.clock), timezone))
    rows: list[Data] = []
    for _ in range(MONTHS):
        month = month.preceding
        parameters = {"application": application, "month": str(month)}
        rows.insert(0, service.run(UsersInMonth.name, parameters, Principal("operator")).data)
    return rows


def _summary(rows: Sequence[Data]) -> Data:
    """The months, and what those that have a number come to."""
    users = [row["users"] for row in rows if row["complete"]]
    return {
        "months": rows,
        "average": round(sum(users) / len(users), 2) if users else None,
        "maximum": max(users, default=None),
        "missing": [row["month"] for row in rows if not row["complete"]],
    }


def _write_csv(rows: Sequence[Data]) -> None:
    writer = csv.DictWriter(sys.stdout, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "complete": str(row["complete"]).lower()} for row in rows)


def _write_table(rows: Sequence[Data]) -> None:
    _echo("month", "users", "at least", "at most", "as of", "")
    for row in rows:
        numbers = (_shown(row[key]) for key in ("users", "lowerBound", "upperBound"))
        state = "" if row["state"] == RECORDED else row["state"]
        _echo(row["month"], *numbers, row["asOf"], state)
    summary = _summary(rows)
    for name in ("average", "maximum"):
        _echo(name, _shown(summary[name]), "", "", "", "")
    if missing := summary["missing"]:
        click.echo(f"No number for {len(missing)} of {len(rows)} months: {', '.join(missing)}")


def _echo(*cells: str) -> None:
    click.echo(_ROW.format(*cells).rstrip())


def _shown(number: float | None) -> str:
    return "-" if number is None else f"{number:,}"
