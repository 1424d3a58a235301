"""``flask telemetry check``: whether all is set up well, and what it costs."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial

import click

from flask_powerauth_telemetry.cli.checks import (
    accounts,
    application,
    databases,
    numbers,
    reports,
    tables,
)
from flask_powerauth_telemetry.cli.checks.findings import Finding, Level, Target, cause_of
from flask_powerauth_telemetry.cli.counts import Seconds, limited
from flask_powerauth_telemetry.cli.instance import on_instance
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.history.snapshot import read_applications
from flask_powerauth_telemetry.reports.activity import WIDTHS
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.text import one_line

_COLOURS = {Level.OK: "green", Level.NOTE: None, Level.WARNING: "yellow", Level.ERROR: "red"}
_EXIT_CODES = {Level.WARNING: 1, Level.ERROR: 2}

Check = Callable[[Target], Iterator[Finding]]

_OF_EACH_DATABASE: Sequence[tuple[str, Check]] = (
    ("tables", tables.check_tables),
    ("reports", reports.check_answers),
    ("secrets", accounts.check_secrets),
    ("read-only", accounts.check_read_only),
    ("server", databases.check_server),
    ("clock", databases.check_clock),
    ("indexes", databases.check_indexes),
    ("scopes", application.check_scopes),
    ("routes", application.check_routes),
)

_OF_THE_HISTORY: Sequence[tuple[str, Check]] = (
    ("history", databases.check_history),
    ("reports", reports.check_answers),
    ("scopes", application.check_scopes),
    ("routes", application.check_routes),
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
@click.option("--time-limit", type=Seconds(), help="Seconds for each statement. As configured.")
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
    count = partial(_count, measured=measured, verify=verify, names=names)
    for finding in _find(state, count if measured or verify else None, time_limit):
        findings.append(finding)
        if not json_wanted:
            _echo_line(finding)
    if json_wanted:
        click.echo(_as_json(findings))
    raise click.exceptions.Exit(_exit_code(findings))


def _find(
    state: TelemetryState, count: Check | None, time_limit: float | None
) -> Iterator[Finding]:
    bind, database = next(iter(state.databases.items()))
    target = Target(state=state, bind=bind, database=database, check="keys")
    yield from application.check_keys(target)
    for bind, database in state.databases.items():
        target = Target(state=state, bind=bind, database=limited(database, time_limit))
        if bind == HISTORY_BIND and not target.reports:
            continue  # nothing is answered from there
        connection = databases.check_connection(replace(target, check="connection"))
        yield connection
        if connection.level is Level.ERROR:
            continue
        checks = _OF_THE_HISTORY if bind == HISTORY_BIND else _OF_EACH_DATABASE
        for name, check_one in checks:
            yield from _caught(replace(target, check=name), check_one)
        if target.is_scanned and count is not None:
            yield from _caught(replace(target, check="pass"), count)


def _count(
    target: Target, measured: int | None, verify: bool, names: Sequence[str]
) -> Iterator[Finding]:
    applications = read_applications(target.database)
    for name in sorted(set(names) - {one.name for one in applications}):
        yield target.error(f"there is no application {name!r}", "Correct --application")
    chosen = [one for one in applications if not names or one.name in names]
    if measured:
        yield from numbers.check_passes(target, chosen, measured)
    if verify:
        yield from numbers.check_numbers(replace(target, check="verify"), chosen)


def _caught(target: Target, check_one: Check) -> Iterator[Finding]:
    """The findings of a check, and as the last one what has stopped it."""
    try:
        yield from check_one(target)
    except TelemetryError as error:
        yield target.error(f"not checked: {cause_of(error)}", "See the findings above")


def _exit_code(findings: Iterable[Finding]) -> int:
    """0 when all is well, 1 with a warning, 2 with an error."""
    return max(_EXIT_CODES.get(finding.level, 0) for finding in findings)


def _echo_line(finding: Finding) -> None:
    """Print a finding for people, as one line."""
    loud = finding.level in _EXIT_CODES
    level = finding.level.value.upper() if loud else finding.level.value
    text = ". ".join(part for part in (finding.message, finding.cure) if part)
    click.echo(
        click.style(f"{level:<8}", fg=_COLOURS[finding.level], bold=loud)
        + f"{finding.check:<11}{finding.database}: {one_line(text)}"
    )


def _as_json(findings: Sequence[Finding]) -> str:
    """All findings for machines."""
    worst = max(findings, key=lambda finding: list(Level).index(finding.level))
    rows = [{**asdict(finding), "level": finding.level.value} for finding in findings]
    document = {"status": worst.level.value, "exitCode": _exit_code(findings), "findings": rows}
    return json.dumps(document, indent=2)
