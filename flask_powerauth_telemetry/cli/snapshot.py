"""``flask telemetry snapshot``: for cron or a timer, never part of the web process."""

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import click
from sqlalchemy import URL

from flask_powerauth_telemetry.cli.attempts import Attempts
from flask_powerauth_telemetry.cli.instance import Failed, on_instance, without_database
from flask_powerauth_telemetry.config.values import HISTORY_BIND, Keys
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.engine import create_writing_engine
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.history.chain import ChainWalk, Head
from flask_powerauth_telemetry.history.recording import REASON_LENGTH
from flask_powerauth_telemetry.history.signatures_in_month import SignaturesInMonth
from flask_powerauth_telemetry.history.snapshot import HALF_HOUR, DayRecorder, Recorder, Writer
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.reports.active_users import CurrentMau, UsersInPastDays
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.text import IN_NO_TEXT, one_line

_HOST_NAME_LENGTH = 255
_ANSWERED = (CurrentMau.name, UsersInPastDays.name)
_VERIFIED = (SignaturesInMonth.name,)
_DURATION = re.compile(r"([1-9][0-9]{0,4})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_HEAD = re.compile(r"(\d{1,18}) rows, digest ([0-9a-f]{64})")


def _reason(text: str) -> str:
    """A reason that says something, in as many characters as are kept."""
    if not text.strip() or len(text) > REASON_LENGTH or IN_NO_TEXT.search(text):
        raise click.BadParameter(f"give a reason of 1 to {REASON_LENGTH} characters, in UTF-8")
    return text.strip()


def _seconds(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise click.BadParameter("give a time such as 90s, 5m or 1h")
    return int(found[1]) * _SECONDS[found[2]]


def _head(text: str) -> Head:
    """The head in a line that was printed, whatever stands around it."""
    found = _HEAD.search(text)
    if found is None:
        raise click.BadParameter("give a line that was printed: NUMBER rows, digest DIGEST")
    return Head(int(found[1]), found[2])


@click.command("snapshot")
@click.option(
    "--application",
    "names",
    multiple=True,
    metavar="NAME",
    help="Record this application only; may be given several times.",
)
@click.option(
    "--time-limit",
    type=click.IntRange(0, 2_000_000),
    default=600,
    metavar="SECONDS",
    help="The time limit of each pass, 600 by default; 0 is none.",
)
@click.option(
    "--retry-for",
    type=_seconds,
    metavar="TIME",
    help="Try again every 15 s what is not recorded, for 90s, 5m or 1h.",
)
@click.option(
    "--signatures",
    is_flag=True,
    help="Record also the verifications of days that are over, as far as the audit reaches.",
)
@click.option(
    "--allow-zero",
    is_flag=True,
    help="Record also a number that fell to 0, or to less than a tenth of what it must be.",
)
@click.option(
    "--correct",
    "reason",
    type=_reason,
    metavar="REASON",
    help="Record anew what is recorded already for this hour; the reason is kept.",
)
@click.option(
    "--verify", is_flag=True, help="Record nothing; look whether the history was altered."
)
@click.option(
    "--expect",
    "expected",
    type=_head,
    metavar="LINE",
    help="With --verify: a line that was printed after a recording, and kept elsewhere."
    " Without: the newest such line, after which a new HISTORY_KEY seals the rows.",
)
@on_instance
def snapshot(
    state: TelemetryState,
    *,
    names: Sequence[str],
    time_limit: int,
    signatures: bool,
    reason: str | None,
    verify: bool,
    expected: Head | None,
    **options: Any,
) -> None:
    """Record the active users of every application, for all windows up to 365 days.

    With --signatures, also the verifications of each day that is over, that the audit holds whole
    and that is not recorded, 31 by one run, the newest first.

    What is recorded already for the hour nearest to the start is left alone, unless this run is
    nearer to it; so several hosts may run this.

    Exit codes: 0, everything is recorded, or the history is whole; 1, something is not recorded,
    or rows were altered or are gone; 2, the command can't be run so.
    """
    if verify:
        if names or signatures or reason is not None:
            raise click.UsageError("--verify records nothing: leave the other options out")
        _verify(state, expected)
        return
    if expected is not None and state.config.history_key is None:
        raise click.UsageError(f"--expect goes with --verify, or {state.config.key('history_key')}")
    with _writer(state, expected) as writer:
        database = _database_of(state, _ANSWERED, time_limit)
        recorder = Recorder(database=database, writer=writer, allow_zero=options["allow_zero"])
        audit = _database_of(state, _VERIFIED, time_limit) if signatures else None
        days = DayRecorder(database=audit, writer=writer) if audit else None
        is_complete = Attempts(recorder, reason, names, days).make(options["retry_for"] or 0)
        if is_complete and expected is not None:
            _check_begun(writer, recorder.slot)
    if not is_complete:
        raise click.exceptions.Exit(1)


def _check_begun(writer: Writer, slot: datetime) -> None:
    """Raise ``ClickException`` where the rows of a new key have not begun."""
    with writer.transaction() as connection:
        if writer.store.is_sealed(connection):
            return
    raise click.ClickException(
        "No row is sealed: all was recorded already for this hour."
        f" Run it with --expect again, from {slot + HALF_HOUR:%H:%M} UTC on"
    )


@contextmanager
def _writer(state: TelemetryState, trusted: Head | None) -> Iterator[Writer]:
    bind = state.config.binds[HISTORY_BIND]
    _make_folder(bind.url)
    engine = create_writing_engine(bind.url, bind.options)
    store = HistoryStore.from_config(state.config, trusted)
    try:
        host = socket.gethostname()[:_HOST_NAME_LENGTH]
        yield Writer(engine, store, state.clock, host, state.config.report_timezone)
    finally:
        engine.dispose()


def _database_of(state: TelemetryState, reports: Sequence[str], time_limit: float) -> Database:
    """The database to record from: what these reports read when they are not answered from here."""
    config = state.config
    first, *others = [config.report_binds.get(name) for name in reports]
    if any(other != first for other in others):
        raise click.ClickException(
            f"{config.key('report_binds')}: {' and '.join(reports)} read different"
            " databases, and one is recorded. Bind both to the same."
        )
    bind = None if first == HISTORY_BIND else first
    if bind not in state.databases:
        cause = "no database is configured to record from"
        raise click.ClickException(without_database(config, cause))
    return replace(state.databases[bind], statement_timeout=time_limit)


def _make_folder(url: URL) -> None:
    """Make the folder of a database that is a file, such as that of the instance."""
    file = dialect_named(url.get_backend_name()).file(url)
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = f"Can't make the folder {file.parent}: {error.strerror}."
        raise click.ClickException(cause) from error


def _verify(state: TelemetryState, expected: Head | None) -> None:
    """Print each break of the chain, and how far it goes; with a break, exit code 1."""
    store = HistoryStore.from_config(state.config)
    database = replace(state.databases[HISTORY_BIND], statement_timeout=0)
    found = 0
    try:
        with database.connect() as connection:
            store.check(connection)
            keys = state.config.history_key or Keys()
            walk = ChainWalk(lambda: store.head(connection), expected or Head(), keys)
            for one in walk.breaks(store.chain(connection)):
                found += 1
                row = f" ({one.row['application_name']}, {one.row['slot']})" if one.row else ""
                click.echo(one_line(f"row {one.entry}{row}: {one.cause}"), err=True)
    except TelemetryError as error:
        raise Failed(f"the history can't be read: {error}") from error
    verdict = "whole" if not found else f"NOT WHOLE, {found} found"
    click.echo(f"The history is {verdict}: {walk.last}")
    if found:
        raise click.exceptions.Exit(1)
