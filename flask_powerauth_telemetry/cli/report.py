"""``flask telemetry reports`` and ``report``: which reports there are, and one of them."""

import json
import sys
from collections.abc import Sequence

import click

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.cli.arguments import parameters_of
from flask_powerauth_telemetry.cli.instance import Failed, on_instance
from flask_powerauth_telemetry.cli.waiting import waiting_shown
from flask_powerauth_telemetry.exceptions import Unavailable, UnknownReport
from flask_powerauth_telemetry.openapi.listing import definition_of, list_reports
from flask_powerauth_telemetry.registry import RegisteredReport, ReportRegistry
from flask_powerauth_telemetry.service import Report
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.tabular import as_csv, as_table
from flask_powerauth_telemetry.text import one_line

_OPERATOR = Principal("operator")


class NotNow(click.ClickException):
    """The same command may succeed later: its message on standard error, and exit code 1."""

    exit_code = 1


@click.command()
@click.option("--json", "json_wanted", is_flag=True, help="Print the catalogue as a JSON list.")
@on_instance
def reports(state: TelemetryState, *, json_wanted: bool) -> None:
    """Print the names and the definitions of all reports, one on each line.

    Exit codes: 0 printed, 2 there is no such instance.
    """
    if json_wanted:
        click.echo(json.dumps(list_reports(state.registry), indent=2))
        return
    width = max(len(report.name) for report in state.registry)
    for report in state.registry:
        click.echo(f"{report.name:<{width}}  {one_line(definition_of(report))}")


@click.command()
@click.argument("name")
@click.option(
    "-p",
    "--parameter",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the report; several times for a list.",
)
@click.option("--json", "form", flag_value="json", help="Print the report data as JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print the report data as CSV.")
@on_instance
def report(state: TelemetryState, *, name: str, pairs: Sequence[str], form: str | None) -> None:
    """Print the report NAME, for every application, whatever the scopes say.

    On a terminal it is a table, elsewhere JSON.

    Exit codes: 0 printed, 1 not available now, 2 refused or failed.
    """
    known = _registered(state.registry, name)
    parameters = parameters_of(known, pairs)
    try:
        with waiting_shown(known.name):
            given = state.service.unobserved().run(known.name, parameters, _OPERATOR)
    except Unavailable as error:
        raise NotNow(error.message) from error
    _print(given, form or ("table" if sys.stdout.isatty() else "json"))


def _registered(registry: ReportRegistry, name: str) -> RegisteredReport:
    try:
        return registry.get(name)
    except UnknownReport as error:
        names = ", ".join(known.name for known in registry)
        raise Failed(f"{error.message} (there are: {names})") from error


def _print(report: Report, form: str) -> None:
    if form == "json":
        click.echo(json.dumps(report.data, indent=2))
    elif form == "csv":
        click.echo(as_csv(report.data), nl=False)
    else:
        click.echo(f"{report.name} as of {report.as_of:%Y-%m-%d %H:%M:%S} UTC")
        for line in as_table(report.data):
            click.echo(line)
