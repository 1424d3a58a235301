"""``flask telemetry snapshot``: for cron or a timer, never part of the web process."""

import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import URL

from flask_powerauth_telemetry.cli.chain import read_head_line, verify_chain
from flask_powerauth_telemetry.cli.instance import find_instance, instance_option
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.engine import create_writing_engine
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.history.chain import Head, head_line
from flask_powerauth_telemetry.history.recording import REASON_LENGTH, Recording
from flask_powerauth_telemetry.history.snapshot import Recorder
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.text import printable

_HOST_NAME_LENGTH = 255
_CLEAR_LINE = "\r\x1b[K"

Record = Callable[[Application], Recording | None]


def _read_reason(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """A reason that says something, in as many characters as are kept."""
    if value is None:
        return None
    if not value.strip() or len(value) > REASON_LENGTH or "\0" in value:
        raise click.BadParameter(f"give a reason of 1 to {REASON_LENGTH} characters")
    return value.strip()


@click.command("snapshot")
@instance_option
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
    default=0,
    metavar="SECONDS",
    help="The time limit of each pass; 0, the default, is none.",
)
@click.option(
    "--correct",
    "reason",
    callback=_read_reason,
    metavar="REASON",
    help="Record anew what is recorded already for this hour; the reason is kept.",
)
@click.option(
    "--verify", is_flag=True, help="Record nothing; look whether the history was altered."
)
@click.option(
    "--expect",
    "expected",
    callback=read_head_line,
    metavar="LINE",
    help="With --verify: a line that was printed after a recording, and kept elsewhere.",
)
@with_appcontext
def snapshot(
    instance: str | None,
    names: Sequence[str],
    time_limit: int,
    reason: str | None,
    verify: bool,
    expected: Head | None,
) -> None:
    """Record the active users of every application, for all windows up to 365 days.

    With SOURCE = "snapshot", reports are answered from what was recorded last. What is recorded
    already for the hour nearest to the start is left alone, so several hosts may run this.

    Exit codes: 0, everything is recorded, or the history is whole; 1, something is not recorded,
    or rows were altered or are gone; 2, the command can't be run so.
    """
    state = find_instance(current_app, instance)
    if verify:
        if names or reason is not None:
            raise click.UsageError("--verify records nothing: leave the other options out")
        verify_chain(state, expected)
        return
    if expected is not None:
        raise click.UsageError("--expect goes with --verify")
    try:
        with _recorder(state, time_limit) as recorder:
            recorder.create_store()
            before = recorder.head()
            complete = _record_all(recorder, names, reason)
            if (head := recorder.head()) != before:
                click.echo(f"The history has {head_line(head)}")
    except TelemetryError as error:
        raise click.ClickException(f"Nothing is recorded: {error}") from error
    if not complete:
        raise click.exceptions.Exit(1)


def _record_all(recorder: Recorder, names: Sequence[str], reason: str | None) -> bool:
    """Record the applications of these names, or all; whether each of them has a row now."""
    applications = recorder.applications()
    unknown = sorted(set(names) - {application.name for application in applications})
    for name in unknown:
        click.echo(f"{printable(name)}: there is no such application", err=True)
    wanted = [known for known in applications if not names or known.name in names]
    if not wanted:
        raise click.ClickException("There is no application to record.")
    record = recorder.record if reason is None else partial(recorder.correct, reason=reason)
    failed = [known for known in _progress(wanted) if not _record(recorder, record, known)]
    return not (unknown or failed)


@contextmanager
def _recorder(state: TelemetryState, time_limit: float) -> Iterator[Recorder]:
    if None not in state.databases:
        raise click.ClickException(
            f"{state.config.key('database_url')}: no database is configured to record from."
        )
    bind = state.config.binds[HISTORY_BIND]
    _make_folder(bind.url)
    engine = create_writing_engine(bind.url, bind.options)
    try:
        yield Recorder(
            database=replace(state.databases[None], statement_timeout=time_limit),
            engine=engine,
            store=HistoryStore.from_config(state.config),
            clock=state.clock,
            recorded_by=socket.gethostname()[:_HOST_NAME_LENGTH],
        )
    finally:
        engine.dispose()


def _make_folder(url: URL) -> None:
    """Make the folder of a database that is a file, such as that of the instance."""
    file = dialect_named(url.get_backend_name()).file(url)
    if file is None:
        return
    folder = file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"Can't make the folder {folder}: {error.strerror}.") from error


def _progress(applications: Sequence[Application]) -> Iterator[Application]:
    """The applications, one after the other, with a bar on a terminal's stderr."""
    if not sys.stderr.isatty():
        yield from applications
        return
    with click.progressbar(
        applications,
        label="Recording",
        item_show_func=lambda known: printable(known.name) if known else None,
        file=sys.stderr,
    ) as bar:
        yield from bar


def _record(recorder: Recorder, record: Record, application: Application) -> bool:
    """Record an application and say so; whether the slot has a row now."""
    name = printable(application.name)
    try:
        recording = record(application)
    except TelemetryError as error:
        _say(f"{name}: not recorded: {error}", err=True)
        return False
    slot = f"{recorder.slot:%Y-%m-%d %H:%M} UTC"
    if recording is None:
        _say(f"{name}: is recorded already for {slot}")
    else:
        _say(f"{name}: recorded for {slot}, {_summary(recording)}")
    return True


def _say(line: str, *, err: bool = False) -> None:
    """Print a line in place of the bar, if there is one; it is drawn anew below."""
    if sys.stderr.isatty():
        click.echo(_CLEAR_LINE, nl=False, err=True)
    click.echo(line, err=err)


def _summary(recording: Recording) -> str:
    users = recording.profile.users_in_past_days(30)
    return f"{users} users in 30 days, in {recording.milliseconds / 1000:.1f} s"
