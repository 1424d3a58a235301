"""``flask telemetry reports`` and ``report``: which reports there are, and one of them."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import click
from marshmallow import fields, missing

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.cli.instance import Failed, on_instance
from flask_powerauth_telemetry.cli.waiting import waiting_shown
from flask_powerauth_telemetry.exceptions import Unavailable, UnknownReport
from flask_powerauth_telemetry.registry import RegisteredReport
from flask_powerauth_telemetry.reports import FURTHER_REPORTS
from flask_powerauth_telemetry.service import Report
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.tabular import as_csv, as_table
from flask_powerauth_telemetry.text import one_line

_OPERATOR = Principal("operator")


class NotNow(click.ClickException):
    """The same command may succeed later: its message on standard error, and exit code 1."""

    exit_code = 1


@click.command()
@click.option("--json", "json_wanted", is_flag=True, help="Print a JSON list.")
@on_instance
def reports(state: TelemetryState, *, json_wanted: bool) -> None:
    """Print the names, definitions and parameters of all reports.

    A parameter with a default has it behind its name; another one that may be left out is in
    brackets.

    Exit codes: 0 printed, 2 there is no such instance.
    """
    listed = [_listed(report) for report in state.registry]
    if json_wanted:
        click.echo(json.dumps(listed, indent=2, default=str))
        return
    width = max(len(report["name"]) for report in listed)
    for report in listed:
        click.echo(f"{report['name']:<{width}}  {one_line(report['definition'])}")
        parameters = ", ".join(_shown(parameter) for parameter in report["parameters"])
        click.echo(f"{'':<{width}}  Parameters: {one_line(parameters) or 'none'}")


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
            given = state.service.unobserved().run(known.name, parameters, _OPERATOR)
    except Unavailable as error:
        raise NotNow(error.message) from error
    _print(given, form or ("table" if sys.stdout.isatty() else "json"))


def _registered(state: TelemetryState, name: str) -> RegisteredReport:
    try:
        return state.registry.get(name)
    except UnknownReport as error:
        names = ", ".join(known.name for known in state.registry)
        hint = f"there are: {names}"
        if name.upper() in FURTHER_REPORTS:
            hint += f"; add {name.upper()} to {state.config.key('reports')}"
        raise Failed(f"{error.message} ({hint})") from error


def _listed(report: RegisteredReport) -> Mapping[str, Any]:
    parameters = []
    for name, field in parameter_fields(report).items():
        default = field.load_default
        told = {} if default in (missing, None) or callable(default) else {"default": default}
        parameters.append({"name": name, "required": field.required, **told})
    return {"name": report.name, "definition": report.definition, "parameters": parameters}


def _shown(parameter: Mapping[str, Any]) -> str:
    name = parameter["name"]
    if "default" in parameter:
        return f"{name}={parameter['default']}"
    return name if parameter["required"] else f"[{name}]"


def parameter_fields(report: RegisteredReport) -> "Mapping[str, fields.Field[Any]]":
    """The parameters of a report, by their names in requests."""
    loaded = report.parameters_schema.load_fields
    return {
        name if field.data_key is None else field.data_key: field for name, field in loaded.items()
    }


def _parameters(report: RegisteredReport, pairs: Iterable[str]) -> Mapping[str, Any]:
    """The parameters in texts such as ``days=90`` and ``flags:=[1, 2]``, for the report to load.

    A name that is given several times is a list, and so is one text for a list. Raises
    ``click.BadParameter`` for a text of another form, and for a parameter that the report does
    not know: on the command line that is a slip.
    """
    known = parameter_fields(report)
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
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        cure = f'write -p \'{name}:=["A", "B"]\' or -p {name}=TEXT'
        raise _bad(f"the value of {name!r} is not JSON: {cure}") from error


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _bad(cause: str) -> click.BadParameter:
    return click.BadParameter(cause, param_hint="-p")


def _print(report: Report, form: str) -> None:
    if form == "json":
        click.echo(json.dumps(report.data, indent=2))
    elif form == "csv":
        click.echo(as_csv(report.data), nl=False)
    else:
        click.echo(f"{report.name} as of {report.as_of:%Y-%m-%d %H:%M:%S} UTC")
        for line in as_table(report.data):
            click.echo(line)
