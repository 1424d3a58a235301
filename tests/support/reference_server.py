"""A small PowerAuth Server on this host: its telemetry endpoint, as the reference behaves."""

import base64
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import Engine, text

from tests.support import powerauth

BASE = "/powerauth-java-server/rest"


class ReferenceServer(ThreadingHTTPServer):
    """Answers from a database by the reference's SQL, with credentials from its table.

    ``zone`` is the time zone of its Java VM. ``before`` is called before each answer; ``status``
    and ``body``, when they are set, are answered instead. ``requests`` are those that came.
    """

    daemon_threads = True

    def __init__(self, engine: Engine, zone: tzinfo, clock: Callable[[], datetime]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.engine = engine
        self.zone = zone
        self.clock = clock
        self.before: Callable[[], None] = lambda: None
        self.status: int | None = None
        self.body = b""
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, str | None, Any]] = []

    @property
    def url(self) -> str:
        """The base URL that PowerAuth's Java client would be given."""
        return f"http://127.0.0.1:{self.server_port}{BASE}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Leave out that a client has gone away; another error is printed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def knows(self, user: str, password: str) -> bool:
        """Whether an integration has these credentials."""
        statement = text(
            "SELECT count(*) FROM pa_integration"
            " WHERE client_token = :user AND client_secret = :password"
        )
        with self.engine.connect() as connection:
            values = {"user": user, "password": password}
            return bool(connection.execute(statement, values).scalar_one())

    def users(self, application: str, days: int) -> int:
        """What the reference counts; 0 for an application that is not there."""
        end = powerauth.wall_clock(self.clock(), self.zone)
        with self.engine.connect() as connection:
            start = end - timedelta(days=days)
            return powerauth.reference_count(connection, application, start, end)


class _Handler(BaseHTTPRequestHandler):
    server: ReferenceServer

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(
            (self.path, self.headers.get("Authorization"), json.loads(content))
        )
        self.server.before()
        if self.server.status is not None:
            self._send(self.server.status, self.server.body)
        elif not self._authenticated():
            self._send_error(401, "ERR_AUTHENTICATION", "Authentication failed")
        elif self.path != f"{BASE}/v3/telemetry/report":
            self._send(404, b"")
        else:
            self._report(json.loads(content)["requestObject"])

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Authorization"), None))
        self._send(200, b"{}")

    def _report(self, asked: dict[str, Any]) -> None:
        name, parameters = asked["name"].upper(), asked.get("parameters", {})
        if name not in ("CURRENT_MAU", "USERS_IN_PAST_DAYS") or "application" not in parameters:
            self._send_error(400, "ERROR_TELEMETRY", "Unknown report or parameter")
            return
        days = 30 if name == "CURRENT_MAU" else parameters["days"]
        if days > 365:
            self._send_error(400, "ERROR_TELEMETRY", "Days must be smaller than 365")
            return
        users = self.server.users(parameters["application"], days)
        data = {"application": parameters["application"], "days": days, "users": users}
        answer = {"status": "OK", "responseObject": {"name": name, "reportData": data}}
        self._send(200, json.dumps(answer).encode())

    def _authenticated(self) -> bool:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(token).decode().partition(":")
        return scheme == "Basic" and self.server.knows(user, password)

    def _send_error(self, status: int, code: str, message: str) -> None:
        content = {"code": code, "message": message, "localizedMessage": message}
        self._send(status, json.dumps({"status": "ERROR", "responseObject": content}).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@contextmanager
def running(
    engine: Engine,
    *,
    zone: tzinfo = UTC,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[ReferenceServer]:
    """A server on a free port of this host, in a thread."""
    with ReferenceServer(engine, zone, clock) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
