"""How a command runs: on which instance, what ends it, and what is seen while it takes long."""

import errno
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from io import TextIOWrapper
from typing import IO, Any, TextIO

import click
from flask import Flask
from flask.cli import ScriptInfo

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.config.keys import DEFAULT_NAME, TelemetryConfig
from flask_powerauth_telemetry.config.loading import cure_of_missing
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.exceptions import TelemetryError, UnknownApplication
from flask_powerauth_telemetry.state import EXTENSION_KEY, TelemetryState

OPERATOR = Principal("operator")
"""In whose name commands ask: scopes restrict callers, not whoever has the configuration."""

CLEAR_LINE = "\r\x1b[K"
"""What takes a line away from a terminal that stands on it."""

Command = Callable[..., None]

INSTANCE = click.option(
    "--instance",
    metavar="NAME",
    help=f"The name= of the instance. Default: the only one, or {DEFAULT_NAME}.",
)
"""The option that says which instance a command is for."""

_CANT_PRINT = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)


class Failed(click.ClickException):
    """A command can't do what it is for: its message on standard error, and exit code 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, if it can be printed."""
        try:
            super().show(file)
        except OSError:
            silence(sys.stderr)


def silence(output: TextIO) -> None:
    """Let go of what an output still holds, or Python ends with an exit code of its own."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output.fileno())
    os.close(nowhere)


def on_instance(command: Command) -> Command:
    """Load the application, and give a command in its context the state of ``--instance``."""

    @INSTANCE
    @click.pass_context
    def on_loaded_application(
        context: click.Context, /, *, instance: str | None, **options: Any
    ) -> None:
        with failures():
            app = context.ensure_object(ScriptInfo).load_app()
            with app.app_context():
                state = find_instance(app, instance)
                try:
                    command(state, **options)
                except UnknownApplication as error:
                    hint = ". List those that are there by: flask telemetry applications"
                    is_listed = None in state.databases
                    raise Failed(error.message + (hint if is_listed else "")) from error
                finally:
                    state.close()

    return update_wrapper(on_loaded_application, command)


def find_instance(app: Flask, name: str | None) -> TelemetryState:
    """The instance of this name, None for the default; raises ``UsageError`` if it isn't there."""
    instances: dict[str, TelemetryState] = app.extensions.get(EXTENSION_KEY, {})
    if name is None:
        name = next(iter(instances)) if len(instances) == 1 else DEFAULT_NAME
    if name in instances:
        return instances[name]
    known = ", ".join(sorted(instances)) or "none"
    raise click.UsageError(f"this application has no instance {name!r} (it has: {known})")


def main_database(state: TelemetryState) -> Database:
    """PowerAuth's database; raises ``Failed`` where only the history is read."""
    if None not in state.databases:
        raise Failed(without_database(state.config, "no database is configured"))
    return state.databases[None]


def without_database(config: TelemetryConfig, cause: str) -> str:
    """What is told where the main database would be needed, and what to do."""
    key = config.key("database_url")
    cure = cure_of_missing(key, "Set it to the URL of PowerAuth's database")
    return f"{key}: {cause}. {cure}."


@contextmanager
def failures() -> Iterator[None]:
    """End by 2 what ends early, by a bug or a signal, too: 0 and 1 have a meaning of their own."""
    try:
        _prepare_output()
        with _sigterm_as_ctrl_c():
            yield
    except (click.ClickException, click.exceptions.Exit):
        raise
    except (click.Abort, KeyboardInterrupt, SystemExit) as stop:
        raise Failed("stopped") from stop
    except TelemetryError as error:
        raise Failed(error.message) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _CANT_PRINT:
            silence(sys.stdout)
            raise Failed(f"can't print: {error.strerror}") from error
        traceback.print_exc()
        raise Failed("this is a bug, or the application can't be loaded") from error


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Have SIGTERM, which ends services and containers, end a statement on the server as well."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _prepare_output() -> None:
    """Have stdout escape what its encoding lacks; raises ``Failed`` where an output is closed."""
    outputs: tuple[object, object] = (sys.stdout, sys.stderr)
    if None in outputs:
        raise Failed("stdout or stderr is closed, send it to a file or to /dev/null")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def waiting_shown(what: str, every: float = 1) -> Iterator[None]:
    """Tell on stderr, in one line, how long this block has been going on; then clear the line.

    Nothing is shown before ``every`` seconds, nor where stderr is no terminal.
    """
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()

    def tell() -> None:
        start = time.monotonic()
        shown = False
        while not done.wait(every):
            shown = True
            seconds = time.monotonic() - start
            click.echo(f"{CLEAR_LINE}{what}: {seconds:.0f} s", nl=False, err=True)
        if shown:
            click.echo(CLEAR_LINE, nl=False, err=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
