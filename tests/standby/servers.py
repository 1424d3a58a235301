"""Servers of Debian's PostgreSQL, and hot standbys of them, by streaming replication."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psutil
from sqlalchemy import URL, Engine, NullPool, create_engine
from sqlalchemy.exc import OperationalError

OWNER, PASSWORD = "owner", "PASSWORD"
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=50",
)
_SECONDS = 30.0


def programs() -> Path:
    """The folder of the newest PostgreSQL that Debian's packages installed."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(found, key=lambda path: int(path.parts[-3]), default=None)
    if newest is None:
        raise FileNotFoundError("apt-get install postgresql: there is no Debian PostgreSQL here")
    return newest.parent


class DebianServer:
    """A server of its own in a temporary folder, on a ``port`` of 127.0.0.1.

    A context manager that stops it, and removes its files. PostgreSQL refuses to run as root, so
    there it runs as ``postgres``. More ``settings`` are as on its command line, ``name=value``.
    """

    def __init__(self, *settings: str) -> None:
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="telemetry-standby-"))
        self._settings = (*_SETTINGS, *settings, f"port={self.port}")
        self._settings += (f"unix_socket_directories={self.folder}",)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._create()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGQUIT)  # sessions may hang, and the files go
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def socket(self) -> str:
        """The Unix socket that it listens to."""
        return str(self.folder / f".s.PGSQL.{self.port}")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        arguments = [part for setting in self._settings for part in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [programs() / "postgres", "-D", self.folder / "data", *arguments],
                stdout=log,
                stderr=log,
                **_as_nobody(),
            )
        deadline = time.monotonic() + _SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def start_if_gone(self) -> None:
        """Start it if it does not run."""
        if self._process is None:
            self.start()

    def kill(self) -> None:
        """End it as a crash would, with all that it was doing."""
        self._end(signal.SIGQUIT)

    def engine(self, database: str = "postgres", user: str = OWNER) -> Engine:
        """An engine without a pool, for one of its databases."""
        return create_engine(self.url(database, user), poolclass=NullPool)

    def url(self, database: str = "postgres", user: str = OWNER) -> URL:
        """The URL of one of its databases."""
        host, port = "127.0.0.1", self.port
        return URL.create("postgresql+psycopg", user, PASSWORD, host, port, database)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the owner, each by itself."""
        engine = self.engine(database).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(_SECONDS)
            self._process = None

    def _create(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "--auth=scram-sha-256", f"--username={OWNER}", f"--pwfile={password}")

    def _run(self, program: str, *arguments: str) -> None:
        command: list[str | Path] = [programs() / program, "-D", self.folder / "data", *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **_as_nobody())

    def _answers(self) -> bool:
        try:
            self.engine().connect().close()
        except OperationalError:
            return False
        return True


class StandbyServer(DebianServer):
    """A standby of ``primary``, which runs; a context manager as its base is."""

    def __init__(self, primary: DebianServer, *settings: str) -> None:
        super().__init__("hot_standby=on", "wal_retrieve_retry_interval=200ms", *settings)
        self._primary = primary

    def _create(self) -> None:
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        source = f"host=127.0.0.1 port={self._primary.port} user={OWNER} password={PASSWORD}"
        command: list[str | Path] = [programs() / "pg_basebackup", "-D", self.folder / "data"]
        subprocess.run(
            [*command, "-R", "-c", "fast", "-d", source],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **_as_nobody(),
        )


def processes(server: DebianServer) -> list[psutil.Process]:
    """The processes of a server, to be suspended as a network would that loses all."""
    assert server._process is not None
    own = psutil.Process(server._process.pid)
    return [own, *own.children(recursive=True)]


def _as_nobody() -> Mapping[str, Any]:
    """The account of Debian's package, for whom runs as root."""
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
