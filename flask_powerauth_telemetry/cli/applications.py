"""``flask telemetry applications``: the names that can be asked for."""

import json

import click

from flask_powerauth_telemetry.auth.credentials import Principal, Scopes
from flask_powerauth_telemetry.cli.checks.findings import cause_of
from flask_powerauth_telemetry.cli.instance import Failed, main_database, on_instance
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.history.snapshot import read_applications
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.text import printable


@click.command()
@click.option("--principal", metavar="NAME", help="Only those that this principal may ask for.")
@click.option("--json", "json_wanted", is_flag=True, help="Print a JSON list.")
@on_instance
def applications(state: TelemetryState, *, principal: str | None, json_wanted: bool) -> None:
    """Print the names of the applications in PowerAuth's database, one on each line.

    Exit codes: 0 printed, 2 the database can't be read, or there is no such principal.
    """
    reader = Principal("operator") if principal is None else _principal(state, principal)
    try:
        found = read_applications(main_database(state))
    except TelemetryError as error:
        raise Failed(cause_of(error)) from error
    names = [application.name for application in found if reader.may_read(application.name)]
    if json_wanted:
        click.echo(json.dumps(names, indent=2))
    else:
        for name in names:
            click.echo(printable(name))


def _principal(state: TelemetryState, name: str) -> Principal:
    credentials = state.config.credentials
    known = credentials if isinstance(credentials, dict) else None
    if known is not None and name not in known:
        raise Failed(f"{name!r} has no credentials (there are: {', '.join(sorted(known))})")
    return Scopes(state.config.scopes).principal(name)
