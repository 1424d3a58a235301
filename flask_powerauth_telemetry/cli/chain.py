"""Whether the history is as it was recorded, for ``flask telemetry snapshot --verify``."""

from dataclasses import replace

import click

from flask_powerauth_telemetry.cli.instance import Failed
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.history.chain import Break, ChainWalk
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.text import one_line


def verify_chain(state: TelemetryState) -> None:
    """Print each break of the chain, and how far it goes.

    Ends the command with exit code 1 when there is a break, and with 2 when it can't be read.
    """
    try:
        found = _verify(state)
    except TelemetryError as error:
        raise Failed(f"the history can't be read: {error}") from error
    finally:
        state.close()
    if found:
        raise click.exceptions.Exit(1)


def _verify(state: TelemetryState) -> int:
    """The number of breaks, each of them printed."""
    store = HistoryStore.from_config(state.config)
    database = replace(state.databases[HISTORY_BIND], statement_timeout=0)
    found = 0
    with database.connect() as connection:
        store.check(connection)
        walk = ChainWalk(lambda: store.head(connection))
        for found, one in enumerate(walk.breaks(store.chain(connection)), 1):  # noqa: B007 - used below
            click.echo(_line(one), err=True)
    verdict = "whole" if not found else f"NOT WHOLE, {found} found"
    click.echo(f"The history is {verdict}: {walk.last.entries} rows, digest {walk.last.digest}")
    return found


def _line(one: Break) -> str:
    what = f"row {one.entry}"
    if one.row is not None:
        what += f" ({one.row['application_name']}, {one.row['slot']})"
    return one_line(f"{what}: {one.cause}")
