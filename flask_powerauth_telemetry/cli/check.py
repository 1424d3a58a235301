"""``flask telemetry check``: whether all is set up well, and what it costs."""

from collections.abc import Callable, Iterator, Sequence

import click

from flask_powerauth_telemetry.cli.checks.accounts import check_read_only, check_secrets
from flask_powerauth_telemetry.cli.checks.application import check_keys, check_routes, check_scopes
from flask_powerauth_telemetry.cli.checks.databases import (
    check_clock,
    check_connection,
    check_history,
    check_indexes,
    check_server,
)
from flask_powerauth_telemetry.cli.checks.findings import (
    Finding,
    Level,
    Target,
    as_json,
    cause_of,
    echo_line,
    exit_code,
)
from flask_powerauth_telemetry.cli.checks.numbers import check_numbers, check_passes
from flask_powerauth_telemetry.cli.checks.reports import check_answers
from flask_powerauth_telemetry.cli.checks.tables import check_tables
from flask_powerauth_telemetry.cli.counts import limited
from flask_powerauth_telemetry.cli.instance import on_instance
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.history.snapshot import read_applications
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import WIDTHS
from flask_powerauth_telemetry.state import TelemetryState

Check = Callable[[Target], Iterator[Finding]]

_OF_EACH_DATABASE: Sequence[tuple[str, Check]] = (
    ("tables", check_tables),
    ("reports", check_answers),
    ("secrets", check_secrets),
    ("read-only", check_read_only),
    ("server", check_server),
    ("clock", check_clock),
    ("indexes", check_indexes),
    ("scopes", check_scopes),
    ("routes", check_routes),
)

_OF_THE_HISTORY: Sequence[tuple[str, Check]] = (
    ("history", check_history),
    ("reports", check_answers),
    ("scopes", check_scopes),
    ("routes", check_routes),
)


@click.command()
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON, for machines.")
@click.option(
    "--pass/--no-pass",
    "pass_wanted",
    default=True,
    help="Measure a pass for each application, and check the zone by it. Default: yes.",
)
@click.option(
    "--width",
    type=click.Choice([str(width) for width in WIDTHS]),
    default=str(WIDTHS[0]),
    show_default=True,
    help="The days that the measured pass covers.",
)
@click.option("--verify", is_flag=True, help="Compare our numbers with PowerAuth Server's SQL.")
@click.option(
    "--application", "names", multiple=True, help="Measure and compare this one; may be repeated."
)
@click.option(
    "--time-limit", type=click.FloatRange(0), help="Seconds for each statement. As configured."
)
@on_instance
def check(
    state: TelemetryState,
    *,
    json_wanted: bool,
    pass_wanted: bool,
    width: str,
    verify: bool,
    names: Sequence[str],
    time_limit: float | None,
) -> None:
    """Check the databases, their accounts, the time zone and the cost of reports.

    Exit codes: 0 all is well, 1 a warning, 2 an error, or the check itself failed.
    """
    findings = []
    measured = int(width) if pass_wanted else None
    for finding in _find(state, measured, verify, names, time_limit):
        findings.append(finding)
        if not json_wanted:
            echo_line(finding)
    if json_wanted:
        click.echo(as_json(findings))
    raise click.exceptions.Exit(exit_code(findings))


def _find(
    state: TelemetryState,
    measured: int | None,
    verify: bool,
    names: Sequence[str],
    time_limit: float | None,
) -> Iterator[Finding]:
    bind, database = next(iter(state.databases.items()))
    yield from check_keys(Target(state=state, bind=bind, database=database))
    for bind, database in state.databases.items():
        target = Target(state=state, bind=bind, database=limited(database, time_limit))
        if bind == HISTORY_BIND and not target.reports:
            continue  # nothing is answered from there
        connection = check_connection(target)
        yield connection
        if connection.level is Level.ERROR:
            continue
        checks = _OF_THE_HISTORY if bind == HISTORY_BIND else _OF_EACH_DATABASE
        for name, check_one in checks:
            yield from _caught(target, name, check_one)
        if target.is_scanned and (measured or verify):
            yield from _caught(
                target, "pass", lambda target: _count(target, measured, verify, names)
            )


def _count(
    target: Target, measured: int | None, verify: bool, names: Sequence[str]
) -> Iterator[Finding]:
    applications = read_applications(target.database)
    for name in sorted(set(names) - {application.name for application in applications}):
        yield target.error("pass", f"there is no application {name!r}", "Correct --application")
    chosen: list[Application] = [one for one in applications if not names or one.name in names]
    if measured:
        yield from check_passes(target, chosen, measured)
    if verify:
        yield from check_numbers(target, chosen)


def _caught(target: Target, name: str, check_one: Check) -> Iterator[Finding]:
    """The findings of a check, and as the last one what has stopped it."""
    try:
        yield from check_one(target)
    except TelemetryError as error:
        yield target.error(name, f"not checked: {cause_of(error)}", "See the findings above")
