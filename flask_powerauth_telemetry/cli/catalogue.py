"""What can be asked for: ``flask telemetry applications``, ``reports`` and ``openapi``."""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import click
from flask import current_app
from marshmallow import missing
from sqlalchemy import select
from werkzeug.routing import Rule
from werkzeug.utils import import_string

from flask_powerauth_telemetry.auth.credentials import Principal, with_scope
from flask_powerauth_telemetry.cli.instance import OPERATOR, Failed, main_database, on_instance
from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import INTEGRATION_BIND, PA_INTEGRATION
from flask_powerauth_telemetry.database.tables import integration_table
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.fields import by_key
from flask_powerauth_telemetry.history.snapshot import read_applications
from flask_powerauth_telemetry.registry import RegisteredReport
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.text import one_line, printable

_DOCUMENT = "flask_powerauth_telemetry.openapi.document:openapi_document"


@click.command()
@click.option("--principal", metavar="NAME", help="Only those that this principal may ask for.")
@click.option("--json", "json_wanted", is_flag=True, help="Print a JSON list.")
@on_instance
def applications(state: TelemetryState, *, principal: str | None, json_wanted: bool) -> None:
    """Print the names of the applications in PowerAuth's database, one on each line.

    Exit codes: 0 printed, 2 the database can't be read, or there is no such principal.
    """
    reader = OPERATOR if principal is None else _principal(state, principal)
    found = read_applications(main_database(state))
    names = [application.name for application in found if reader.may_read(application.name)]
    if json_wanted:
        click.echo(json.dumps(names, indent=2))
        return
    for name in names:
        click.echo(printable(name))


def _principal(state: TelemetryState, name: str) -> Principal:
    known = principals(state)
    if known is not None and name not in known:
        raise Failed(f"{name!r} has no credentials (there are: {', '.join(sorted(known))})")
    return with_scope(name, state.config.scopes)


def principals(state: TelemetryState) -> Collection[str] | None:
    """The names of all principals, None where a store of the host's knows them, or none is read."""
    if isinstance(state.config.credentials, dict):
        return state.config.credentials
    if state.config.credentials != PA_INTEGRATION:
        return None
    bind = INTEGRATION_BIND if INTEGRATION_BIND in state.databases else None
    database = state.databases[bind]
    columns = integration_table(database.tables).c
    with suppress(TelemetryError), database.connect() as connection:
        rows = connection.execute(select(columns.id, columns.name)).all()
        return [row.name or f"integration:{row.id}" for row in rows]
    return None


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


def _listed(report: RegisteredReport) -> Mapping[str, Any]:
    parameters = []
    for name, field in by_key(report.parameters_schema.load_fields).items():
        default = field.load_default
        told = {} if default in (missing, None) or callable(default) else {"default": default}
        parameters.append({"name": name, "required": field.required, **told})
    return {"name": report.name, "definition": report.definition, "parameters": parameters}


def _shown(parameter: Mapping[str, Any]) -> str:
    name = parameter["name"]
    if "default" in parameter:
        return f"{name}={parameter['default']}"
    return name if parameter["required"] else f"[{name}]"


@click.command()
@click.option(
    "--server",
    metavar="URL",
    help="The URL or path that the routes are below. Default: the path in this application.",
)
@on_instance
def openapi(state: TelemetryState, *, server: str | None) -> None:
    """Print the OpenAPI document of the API, with every report. Needs the package apispec.

    Exit codes: 0 printed, 2 apispec is not installed, or there is no such instance.
    """
    if find_spec("apispec") is None:
        raise Failed("the package apispec is not installed: pip install apispec")
    document = import_string(_DOCUMENT)(state.registry, server or _path(state.config))
    click.echo(json.dumps(document, indent=2))


def _path(config: TelemetryConfig) -> str:
    """Where the routes of an instance are in the application; / where they can't be found."""
    if config.url_prefix:
        return config.url_prefix[0] or "/"
    rules = report_rules(config)
    return (rules[0].rule.removesuffix("/report") if rules else "") or "/"


def report_rules(config: TelemetryConfig) -> list[Rule]:
    """Where the application takes requests for reports of an instance, by whatever blueprint."""
    own = f".{config.name}.report"
    return [rule for rule in current_app.url_map.iter_rules() if f".{rule.endpoint}".endswith(own)]
