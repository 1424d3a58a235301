"""Servers as docs/extensions.md starts them, in front of a database where a pass takes its time."""

import http.client
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from tests.support.documents import EXTENSIONS, blocks, text_of
from tests.support.held import VIEW
from tests.support.needs import APACHE, NGINX
from tests.support.pooler import free_port
from tests.support.service import CREDENTIALS, PATH, USER, basic

BODY = json.dumps(
    {"requestObject": {"name": "CURRENT_MAU", "parameters": {"application": "retail"}}}
)
APP = """
from datetime import UTC, datetime
from flask import Flask, request
from flask_powerauth_telemetry import PowerAuthTelemetry
from flask_powerauth_telemetry.dashboard import PowerAuthTelemetryDashboard

telemetry = PowerAuthTelemetry(clock=lambda: datetime(2026, 11, 25, 12, tzinfo=UTC))


def create_app():
    app = Flask(__name__)
    app.config.from_prefixed_env()
    telemetry.init_app(app)
    PowerAuthTelemetryDashboard(app)

    @app.get("/own")
    def own():
        return [request.remote_addr, request.host_url, request.script_root]

    return app
"""
GUNICORN, GEVENT, UWSGI, WAITRESS, UVICORN = blocks(EXTENSIONS, "sh")
ASGI, PROXY_FIX = blocks(EXTENSIONS, "python")
WSGI_FILE = ("from app import create_app", "application = create_app()")
assert all(f"`{line}`" in text_of(EXTENSIONS) for line in WSGI_FILE)
(MOD_WSGI,) = blocks(EXTENSIONS, "apache")
SERVER_BLOCK, PREFIX_LINES = blocks(EXTENSIONS, "nginx")


@dataclass
class Address:
    """Where a server listens on this machine; ``certificate`` is that of one with TLS."""

    port: int
    certificate: Path | None = None

    def request(
        self,
        path: str = PATH,
        *,
        body: str | None = BODY,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
        timeout: float = 20,
    ) -> tuple[int, Any]:
        """The status and the JSON, or else the text, of an answer to a caller with a token."""
        connection = self._connection(timeout, source)
        known = {"Authorization": basic(":".join(USER)), "Content-Type": "application/json"}
        try:
            connection.request("POST" if body else "GET", path, body, {**known, **(headers or {})})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        return response.status, json.loads(text) if text[:1] in ("{", "[") else text

    def connect(self) -> socket.socket:
        """A connection, by TLS where the server speaks that."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        if self.certificate:
            return self._tls.wrap_socket(connection, server_hostname="127.0.0.1")
        return connection

    def _connection(self, timeout: float, source: str) -> http.client.HTTPConnection:
        where: dict[str, Any] = {"timeout": timeout, "source_address": (source, 0)}
        if self.certificate:
            return http.client.HTTPSConnection("127.0.0.1", self.port, context=self._tls, **where)
        return http.client.HTTPConnection("127.0.0.1", self.port, **where)

    @property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)


@dataclass
class Servers:
    """Starts servers in a folder, on a database; they end with the block they are started in."""

    folder: Path
    owner: Engine
    driver: str = "psycopg"

    def __post_init__(self) -> None:
        (self.folder / "app.py").write_text(APP)
        (self.folder / "asgi.py").write_text(ASGI)
        (self.folder / "proxied.py").write_text(f"from app import create_app\n{PROXY_FIX}")
        (self.folder / "app.wsgi").write_text("\n".join(WSGI_FILE))

    @contextmanager
    def started(self, line: str) -> Iterator[Address]:
        """A server that a line of the shell starts on port 8000, here on a free one."""
        port = free_port()
        program, *arguments = shlex.split(line.replace("8000", str(port)))
        path = Path(sysconfig.get_path("scripts"), program)
        with self._running([str(path), *arguments], port):
            yield Address(port)

    @contextmanager
    def apache(self, lines: str) -> Iterator[Address]:
        """Debian's Apache with lines for mod_wsgi; it refuses to run as root."""
        port = free_port()
        program = Path(sysconfig.get_path("scripts"), "mod_wsgi-express")
        module = subprocess.check_output([program, "module-config"], text=True)
        text = lines.replace("/srv/telemetry", str(self.folder))
        modules = Path("/usr/lib/apache2/modules")
        (self.folder / "apache.conf").write_text(
            f"ServerRoot {self.folder}\nServerName localhost\nListen 127.0.0.1:{port}\n"
            f"PidFile {self.folder}/run/pid\nErrorLog {self.folder}/run/log\n"
            f"LoadModule mpm_event_module {modules}/mod_mpm_event.so\n"
            f"LoadModule authz_core_module {modules}/mod_authz_core.so\n"
            f"{module}\nWSGISocketPrefix {self.folder}/run/wsgi\n{text}"
        )
        run = self.folder / "run"
        run.mkdir()
        run.chmod(0o777)
        command = [*_not_root(), APACHE, "-f", f"{self.folder}/apache.conf", "-DFOREGROUND"]
        with self._running(command, port):
            yield Address(port)

    @contextmanager
    def nginx(self, block: str, behind: Address) -> Iterator[Address]:
        """Debian's nginx with a block for a server, in front of another server."""
        port = free_port()
        certificate, key = self_signed(self.folder)
        text = block.replace("/etc/ssl/telemetry.crt", str(certificate))
        text = text.replace("/etc/ssl/telemetry.key", str(key))
        text, listened = re.subn(r"listen \d+", f"listen 127.0.0.1:{port}", text)
        text, passed = re.subn(r"http://[\w.]+:8000", f"http://127.0.0.1:{behind.port}", text)
        assert (listened, passed) == (1, 1)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)
        user = "user root;\n" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(
            f"{user}daemon off;\npid {self.folder}/nginx.pid;\nerror_log stderr;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n"
        )
        command = [NGINX, "-e", "stderr", "-c", f"{self.folder}/nginx.conf"]
        with self._running(command, port):
            yield Address(port, certificate if "ssl" in block else None)

    @contextmanager
    def _running(self, command: Sequence[str], port: int) -> Iterator[None]:
        log = self.folder / f"{port}.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                command, cwd=self.folder, env=self._environment(), stdout=output, stderr=output
            )
        try:
            while not _listens(port):
                assert server.poll() is None, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            server.terminate()
            server.wait(timeout=30)

    def _environment(self) -> Mapping[str, str]:
        url = self.owner.url.set(drivername=f"postgresql+{self.driver}")
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {
            "PATH": programs,
            "FLASK_POWERAUTH_TELEMETRY_DATABASE_URL": url.render_as_string(hide_password=False),
            "FLASK_POWERAUTH_TELEMETRY_CREDENTIALS": json.dumps(CREDENTIALS),
            "FLASK_POWERAUTH_TELEMETRY_TABLES": json.dumps({"pa_activation": VIEW}),
            "FLASK_POWERAUTH_TELEMETRY_CACHE_SECONDS": "0",
        }


def with_one_worker(text: str) -> str:
    """A command or configuration whose requests all come to one process."""
    changed = re.sub(r"(--workers |processes=)2", r"\g<1>1", text)
    assert changed != text or text.startswith(("waitress", "uvicorn"))
    return changed


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def _not_root() -> list[str]:
    """What goes before a command so that root's account is left, and all can be read still."""
    if os.geteuid() != 0:
        return []
    assert shutil.which("setpriv")
    reading = [f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")]
    return ["setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", *reading]


def self_signed(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "own.crt", folder / "own.key"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=here"]
    options += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate)]
    command = ["openssl", "req", *options, "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
