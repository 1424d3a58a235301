"""Debian's Chromium with nothing but loopback, and applications served to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from flask import Flask
from playwright.sync_api import Browser, Playwright
from werkzeug.serving import make_server

CHROMIUM = "/usr/bin/chromium"
_NO_NAME_IS_FOUND = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def launch(playwright: Playwright) -> Browser:
    """A browser with a new empty profile; close it."""
    arguments = [_NO_NAME_IS_FOUND, "--disable-background-networking"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium has none for root
    return playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The address that an application is served at, for the length of a block."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
