"""Just enough of ClickHouse's HTTP interface for its driver, in front of the engine of chdb.

``python -m tests.engines.clickhouse_server PORT`` serves until it is ended. What it answers comes
from ClickHouse's engine; users, constraints on settings, and everything of a cluster are not here.
"""

import re
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb.session import Session

_FORMAT = re.compile(r"\s+FORMAT\s+(\w+)\s*;?\s*$")
_CODE = re.compile(r"Code: (\d+)")
_OF_THE_INTERFACE = {"database", "default_format", "query", "session_id", "query_id"}
_OF_THE_INTERFACE |= {"wait_end_of_query", "enable_http_compression", "client_protocol_version"}
_OF_THE_INTERFACE |= {"http_headers_progress_interval_ms", "send_progress_in_http_headers"}


class Handler(BaseHTTPRequestHandler):
    """Runs what is posted, with the settings of the address."""

    protocol_version = "HTTP/1.1"
    session: Session

    def do_GET(self) -> None:
        self._answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        parameters = dict(parse_qsl(urlsplit(self.path).query))
        try:
            self._answer(200, self._run(body, parameters))
        except RuntimeError as error:
            code = _CODE.search(str(error))
            self._answer(500, str(error).encode(), code and code[1])

    def _run(self, statement: str, parameters: dict[str, str]) -> bytes:
        if statement.startswith(("INSERT", "CREATE", "SET")):
            self.session.query(statement)
            return b""
        named = _FORMAT.search(statement)
        form = named[1] if named else parameters.get("default_format", "TabSeparated")
        settings = {
            name: value for name, value in parameters.items() if name not in _OF_THE_INTERFACE
        }
        statement = _FORMAT.sub("", statement)
        if settings:
            given = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
            statement = f"{statement} SETTINGS {given}"
        return bytes(self.session.query(statement, form).bytes())

    def _answer(self, status: int, body: bytes, code: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-ClickHouse-Timezone", "UTC")
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def serve(port: int) -> None:
    """Serve on a port of 127.0.0.1."""
    Handler.session = Session()
    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
