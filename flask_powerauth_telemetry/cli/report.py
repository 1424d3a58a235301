"""``flask telemetry report``: one report, for the terminal or for other tools."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from marshmallow import fields

from flask_powerauth_telemetry.cli.instance import OPERATOR, Failed, on_instance, waiting_shown
from flask_powerauth_telemetry.exceptions import Unavailable, UnknownReport
from flask_powerauth_telemetry.fields import by_key
from flask_powerauth_telemetry.registry import RegisteredReport
from flask_powerauth_telemetry.reports import FURTHER_REPORTS
from flask_powerauth_telemetry.schemas import DECODER
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.tabular import as_csv, as_table


@click.command()
@click.argument("name")
@click.option(
    "-p",
    "--parameter",
    "pairs",
    multiple=True,
    metavar="NAME=TEXT|NAME:=JSON",
    help="A parameter of the report: text, as in days=90, or JSON, as in flags:=[1,2]."
    " A name that is given several times is a list.",
)
@click.option("--json", "form", flag_value="json", help="Print the report data as JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print the report data as CSV.")
@on_instance
def report(state: TelemetryState, *, name: str, pairs: Sequence[str], form: str | None) -> None:
    """Print the report NAME, for every application, whatever the scopes say.

    On a terminal it is a table, elsewhere JSON.

    Exit codes: 0 printed, 1 not available now, 2 refused or failed.
    """
    known = _registered(state, name)
    parameters = _parameters(known, pairs)
    try:
        with waiting_shown(known.name):
            given = state.service.unobserved().run(known.name, parameters, OPERATOR)
    except Unavailable as error:
        raise click.ClickException(error.message) from error  # exit code 1
    if form == "csv":
        click.echo(as_csv(given.data).encode(), nl=False)  # as a browser gets it
    elif form == "json" or not sys.stdout.isatty():
        click.echo(json.dumps(given.data, indent=2))
    else:
        click.echo(f"{given.name} as of {given.as_of:%Y-%m-%d %H:%M:%S} UTC")
        click.echo("\n".join(as_table(given.data)))


def _registered(state: TelemetryState, name: str) -> RegisteredReport:
    try:
        return state.registry.get(name)
    except UnknownReport as error:
        hint = f"there are: {', '.join(known.name for known in state.registry)}"
        if name.upper() in FURTHER_REPORTS:
            hint += f"; add {name.upper()} to {state.config.key('reports')}"
        raise Failed(f"{error.message} ({hint})") from error


def _parameters(report: RegisteredReport, pairs: Iterable[str]) -> Mapping[str, Any]:
    """The parameters in texts such as ``days=90`` and ``flags:=[1, 2]``, for the report to load.

    A name that is given several times is a list, and so is one text for a list. A parameter that
    the report does not know is refused: on the command line that is a slip.
    """
    known = by_key(report.parameters_schema.load_fields)
    given: dict[str, list[Any]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise _bad(f"{pair!r} is no NAME=TEXT and no NAME:=JSON")
        value = _json(pair) if name.endswith(":") else text
        name = name.removesuffix(":")
        if name not in known:
            names = ", ".join(known) or "none"
            raise _bad(f"{report.name} has no parameter {name!r} (it has: {names})")
        given.setdefault(name, []).append(value)
    return {name: _one_or_all(known[name], values) for name, values in given.items()}


def _one_or_all(field: "fields.Field[Any]", values: list[Any]) -> Any:
    is_list = isinstance(field, fields.List) and isinstance(values[0], str)
    return values if is_list or len(values) > 1 else values[0]


def _json(pair: str) -> Any:
    name, _, text = pair.partition(":=")
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        cure = f'write -p \'{name}:=["A", "B"]\' or -p {name}=TEXT'
        raise _bad(f"the value of {name!r} is not JSON: {cure}") from error


def _bad(cause: str) -> click.BadParameter:
    return click.BadParameter(cause, param_hint="-p")
