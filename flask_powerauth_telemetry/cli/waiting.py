"""A sign of life on a terminal while something takes long."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

CLEAR_LINE = "\r\x1b[K"
"""What takes a line away from a terminal that stands on it."""


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
