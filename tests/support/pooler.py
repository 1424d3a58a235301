"""PgBouncer in transaction mode, in front of PostgreSQL."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Engine

from tests.support.held import eventually
from tests.support.needs import PGBOUNCER
from tests.support.standby import answers

SESSIONS = 3
"""How many sessions of the server a database has, for all clients."""

_CONFIGURATION = """
[databases]
* = host={host} port={server} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 200
"""


@contextmanager
def pooled_url(server: Engine, driver: str = "psycopg") -> Iterator[URL]:
    """The URL of the engine's database by a pooler of its own."""
    with _pooler(server) as port:
        url = URL.create(
            f"postgresql+{driver}",
            username=server.url.username,
            host="127.0.0.1",
            port=port,
            database=server.url.database,
        )
        eventually(lambda: answers(url))
        yield url


@contextmanager
def _pooler(server: Engine) -> Iterator[int]:
    """Its port. It refuses to run as root, so it runs as the server."""
    path = _socket(server)
    account = path.stat().st_uid
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="telemetry-pooler-"))
    try:
        (folder / "pgbouncer.ini").write_text(
            _CONFIGURATION.format(
                host=path.parent,
                server=path.suffix[1:],
                user=server.url.username,
                port=port,
                sessions=SESSIONS,
            )
        )
        folder.chmod(0o755)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [PGBOUNCER, folder / "pgbouncer.ini"],
                stderr=log,
                user=account if os.geteuid() == 0 else None,
            )
        try:
            yield port
        finally:
            process.terminate()
            process.wait(20)
    finally:
        shutil.rmtree(folder)


def _socket(server: Engine) -> Path:
    with server.connect() as connection:
        folder, port = (
            connection.exec_driver_sql(f"SHOW {setting}").scalar_one()
            for setting in ("unix_socket_directories", "port")
        )
    return Path(folder) / f".s.PGSQL.{port}"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
