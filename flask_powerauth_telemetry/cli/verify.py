"""Whether the history is as it was recorded, for ``flask telemetry snapshot --verify``."""

import re
from dataclasses import replace

import click

from flask_powerauth_telemetry.cli.instance import Failed
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.history.chain import Break, ChainWalk, Head, head_line
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.text import one_line

_HEAD = re.compile(r"(\d{1,18}) rows, digest ([0-9a-f]{64})")


def read_head_line(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> Head | None:
    """The head in a line that was printed by ``head_line``, whatever stands around it."""
    if value is None:
        return None
    found = _HEAD.search(value)
    if found is None:
        raise click.BadParameter("give a line that was printed: NUMBER rows, digest DIGEST")
    return Head(int(found[1]), found[2])


def verify_chain(state: TelemetryState, expected: Head | None) -> None:
    """Print each break of the chain, and how far it goes.

    Ends the command with exit code 1 when there is a break, and with 2 when it can't be read.
    """
    try:
        found = _verify(state, expected)
    except TelemetryError as error:
        raise Failed(f"the history can't be read: {error}") from error
    if found:
        raise click.exceptions.Exit(1)


def _verify(state: TelemetryState, expected: Head | None) -> int:
    """The number of breaks, each of them printed."""
    store = HistoryStore.from_config(state.config)
    database = replace(state.databases[HISTORY_BIND], statement_timeout=0)
    found = 0
    with database.connect() as connection:
        store.check(connection)
        walk = ChainWalk(lambda: store.head(connection), expected, state.config.history_key)
        for one in walk.breaks(store.chain(connection)):
            found += 1
            click.echo(_line(one), err=True)
    verdict = "whole" if not found else f"NOT WHOLE, {found} found"
    click.echo(f"The history is {verdict}: {head_line(walk.last)}")
    return found


def _line(one: Break) -> str:
    what = f"row {one.entry}"
    if one.row is not None:
        what += f" ({one.row['application_name']}, {one.row['slot']})"
    return one_line(f"{what}: {one.cause}")
