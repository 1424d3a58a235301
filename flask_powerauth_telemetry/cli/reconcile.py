"""``flask telemetry reconcile``: PowerAuth Server's own answers beside ours."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import IO, Any

import click

from flask_powerauth_telemetry.cli.checks.findings import Target, cause_of
from flask_powerauth_telemetry.cli.comparison import DIFFERENT, Comparison, compare, hints
from flask_powerauth_telemetry.cli.counts import limited
from flask_powerauth_telemetry.cli.instance import Failed, main_database, on_instance
from flask_powerauth_telemetry.cli.powerauth_server import CannotAsk, PowerAuthServer
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.fields import MAXIMUM_DAYS
from flask_powerauth_telemetry.history.snapshot import read_applications
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.text import one_line, printable

TOKEN_VARIABLE = "POWERAUTH_SERVER_TOKEN"  # noqa: S105 - the name of a variable

_COLUMNS = "{:<32}{:>6}{:>14}{:>18}{:>14}  {}"
_HEADINGS = ("application", "days", "ours before", "PowerAuth Server", "ours after", "verdict")


def _days(text: str) -> Sequence[int]:
    """Windows in days, such as ``7,30,90,365``."""
    try:
        days = sorted({int(part) for part in text.split(",")})
    except ValueError:
        days = []
    if not days or not 1 <= days[0] <= days[-1] <= MAXIMUM_DAYS:
        raise click.BadParameter(f"use whole numbers from 1 to {MAXIMUM_DAYS}, commas between them")
    return days


@click.command()
@click.option(
    "--server", "url", required=True, metavar="URL", help="PowerAuth Server's URL, up to /rest."
)
@click.option(
    "--user", metavar="NAME", help="User name, the client_token. Default: no credentials."
)
@click.option(
    "--token-file",
    type=click.File(encoding="utf-8"),
    help=f"File with the token, the client_secret. Default: ${TOKEN_VARIABLE}, or a prompt.",
)
@click.option(
    "--days",
    type=_days,
    metavar="TEXT",
    default="7,30,90,365",
    show_default=True,
    help="Windows in days.",
)
@click.option(
    "--application", "names", multiple=True, help="Compare this one only; may be repeated."
)
@click.option("--insecure-http", is_flag=True, help="Allow http to other hosts than this one.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=60,
    show_default=True,
    help="Seconds to wait for each answer of PowerAuth Server.",
)
@click.option(
    "--time-limit", type=click.FloatRange(0), help="Seconds for our statements. As configured."
)
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON, for machines.")
@on_instance
def reconcile(state: TelemetryState, **options: Any) -> None:
    """Ask PowerAuth Server, and show its numbers beside ours.

    Ours are counted anew before and after each of its answers: a number between the two is
    explained by the time that passed.

    Exit codes: 0 equal or explained, 1 different, 2 one of the two can't be asked.
    """
    try:
        server = _server(options)
        _reconcile(state, server, options)
    except CannotAsk as error:
        raise Failed(f"PowerAuth Server: {one_line(str(error))}") from error
    except TelemetryError as error:
        raise Failed(f"our database: {cause_of(error)}") from error


def _server(options: Mapping[str, Any]) -> PowerAuthServer:
    user = options["user"]
    return PowerAuthServer(
        options["url"],
        None if user is None else (user, _token(options["token_file"])),
        timeout=options["timeout"],
        plain_http=options["insecure_http"],
    )


def _token(file: IO[str] | None) -> str:
    """The token, from a file, the environment or a prompt; never from the arguments."""
    if file is not None:
        return file.read().rstrip("\r\n")
    given = os.environ.get(TOKEN_VARIABLE)
    return given or str(click.prompt("Token (client_secret)", hide_input=True, err=True))


def _reconcile(state: TelemetryState, server: PowerAuthServer, options: Mapping[str, Any]) -> None:
    target = _target(state, options["time_limit"])
    applications = read_applications(target.database)
    rows: list[Comparison] = []
    json_wanted = options["json_wanted"]
    if not json_wanted:
        click.echo(_COLUMNS.format(*_HEADINGS))
    for application in _chosen(applications, options["names"]):
        found = compare(target, server.users_in_past_days, application, options["days"])
        rows += found
        if not json_wanted:
            click.echo("\n".join(_line(row) for row in found))
    told = list(hints(target, applications, rows))
    exit_code = 1 if any(row.verdict == DIFFERENT for row in rows) else 0
    if json_wanted:
        compared = [{**asdict(row), "verdict": row.verdict} for row in rows]
        document = {"exitCode": exit_code, "comparisons": compared, "hints": told}
        click.echo(json.dumps(document, indent=2))
    else:
        for hint in told:
            click.echo(f"Hint: {one_line(hint)}")
    raise click.exceptions.Exit(exit_code)


def _target(state: TelemetryState, time_limit: float | None) -> Target:
    """The database of PowerAuth's that the report of the same name reads."""
    bind = state.registry.get("USERS_IN_PAST_DAYS").bind
    if bind == HISTORY_BIND:
        bind = None
    database = state.databases[bind] if bind else main_database(state)
    return Target(state=state, bind=bind, database=limited(database, time_limit))


def _chosen(applications: Sequence[Application], names: Sequence[str]) -> Sequence[Application]:
    for name in names:
        if all(application.name != name for application in applications):
            raise Failed(f"there is no application {name!r} in our database")
    return [one for one in applications if not names or one.name in names]


def _line(row: Comparison) -> str:
    verdict = row.verdict.upper() if row.verdict == DIFFERENT else row.verdict
    numbers = (row.days, row.before, row.server, row.after)
    return _COLUMNS.format(printable(row.application), *numbers, verdict)
