"""A TCP proxy in front of PostgreSQL that brings a network's faults about."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from typing import Self

from sqlalchemy import URL, Engine

_CHUNK = 65_536
_TICK_SECONDS = 0.02


class Proxy:
    """Forwards connections on a loopback port to a Unix socket, until it is told otherwise.

    - ``refuse``: new connections are refused; ``accept`` ends that, on the same port.
    - ``close_all``: ends the connections that are open.
    - ``swallow``: what either side sends is read, so acknowledged, and dropped, on every connection
      that is open and on new ones; with ``trigger``, on a connection from the moment on that a
      client sends these bytes, which are dropped as well.
    - ``delay_seconds``: how long what is sent waits.
    - ``resume``: new connections work again; open ones that lost something stay silent, as they
      do when a firewall forgot them.
    """

    def __init__(self, target: str) -> None:
        self.delay_seconds = 0.0
        self.opened = 0
        self._target = target
        self._trigger: bytes | None = None
        self._silent: set[_Link] = set()
        self._links: set[_Link] = set()
        self._lock = threading.Lock()
        self._listener = _listener(0)
        self.port: int = self._listener.getsockname()[1]
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self.close_all()

    def url(self, engine: Engine) -> URL:
        """The URL by which the database of an engine is reached through this proxy."""
        url = engine.url.set(host="127.0.0.1", port=self.port)
        return url.difference_update_query(["host"])

    def refuse(self) -> None:
        """Refuse new connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def accept(self) -> None:
        """Accept connections again."""
        self._listener = _listener(self.port)
        self._start()

    def close_all(self) -> None:
        """Close every open connection on both sides."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.close()

    def swallow(self, trigger: bytes = b"") -> None:
        """Drop what is sent from now on, or from when a client sends ``trigger``."""
        with self._lock:
            self._trigger = trigger
            if not trigger:
                self._silent |= self._links

    def resume(self) -> None:
        """Forward on new connections."""
        with self._lock:
            self._trigger = None

    def is_silent(self) -> bool:
        """Whether something was dropped, or will be, on a connection that is open."""
        with self._lock:
            return bool(self._silent)

    def drops(self, link: "_Link", sent: bytes) -> bool:
        """Whether what a link's client sent, or its server if it sent nothing, is to be dropped."""
        with self._lock:
            if self._trigger == b"" or (self._trigger and self._trigger in sent):
                self._silent.add(link)
            return link in self._silent

    def forget(self, link: "_Link") -> None:
        """A link has ended."""
        with self._lock:
            self._links.discard(link)
            self._silent.discard(link)

    def _start(self) -> None:
        threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()

    def _listen(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._link(client)

    def _link(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._target)
        except OSError:
            client.close()
            server.close()
            return
        link = _Link(self, client, server)
        with self._lock:
            self.opened += 1
            self._links.add(link)
        threading.Thread(target=link.forward, daemon=True).start()


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._open = [client, server]

    def forward(self) -> None:
        """Forward or drop what is sent until one side ends the connection."""
        try:
            with contextlib.suppress(OSError, ValueError):
                while self._forward_once():
                    pass
        finally:
            self._proxy.forget(self)
            self._client.close()
            self._server.close()

    def close(self) -> None:
        """End the connection on both sides."""
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _forward_once(self) -> bool:
        """Whether the connection is still open."""
        readable, _, _ = select.select(self._open, [], [], _TICK_SECONDS)
        for side in readable:
            sent = side.recv(_CHUNK)
            silent = self._proxy.drops(self, sent if side is self._client else b"")
            if not sent:
                self._open.remove(side)
                if not silent:  # otherwise the other side does not hear of the end
                    return False
            elif not silent:
                self._pass_on(side, sent)
        return bool(self._open)

    def _pass_on(self, side: socket.socket, sent: bytes) -> None:
        if self._proxy.delay_seconds:
            threading.Event().wait(self._proxy.delay_seconds)
        (self._server if side is self._client else self._client).sendall(sent)


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


@contextlib.contextmanager
def proxied(engine: Engine) -> Iterator[Proxy]:
    """A proxy in front of the server of an engine that uses its Unix socket."""
    folder = engine.url.query["host"]
    assert isinstance(folder, str)
    with Proxy(f"{folder}/.s.PGSQL.5432") as proxy:
        yield proxy
