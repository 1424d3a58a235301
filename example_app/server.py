"""Serves an application on waitress until it is told to end."""

import errno
import signal
import socket
from typing import Any, NoReturn

from flask import Flask
from waitress.server import BaseWSGIServer, MultiSocketServer, create_server

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only compared with


def end_on_signals() -> None:
    """Have Ctrl-C and SIGTERM end this process with exit code 0."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on a TCP port of this machine, on any free one for port 0.

    Raises ``OSError`` whose message says what is wrong and what to do.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            cause, cure = "the port is in use", "Choose another with --port, 0 for any free one"
        else:
            cause, cure = _reason(error), "Choose another --host or --port"
        raise OSError(f"Can't listen on {host}, port {port}: {cause}. {cure}.") from error


def own_url(listener: socket.socket) -> str:
    """The URL by which this machine reaches a listening socket, without a trailing slash."""
    host, port, *_ = listener.getsockname()
    host = _EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def start_server(app: Flask, listener: socket.socket) -> BaseWSGIServer | MultiSocketServer:
    """A server that takes requests from ``listener``; they are answered while its ``run`` runs."""
    options: dict[str, Any] = {"sockets": [listener]}
    return create_server(app, **options)


def _reason(error: OSError) -> str:
    # socket.create_server adds the address in parentheses to the system's reason.
    return str(error.strerror).partition(" (while")[0]


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(0)
