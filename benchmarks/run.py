"""One run of the benchmarks: its servers, its databases and what stands above the table."""

import os
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from types import TracebackType
from typing import Self

from sqlalchemy import Engine

from benchmarks.population import Population, populate
from benchmarks.servers import SETTINGS, Server


class Run:
    """What the figures share; a context manager that stops the servers.

    ``rows`` is the number of activations of all figures that don't vary it. ``full`` asks for the
    big sizes and the long times. ``say`` is told what is going on.
    """

    def __init__(self, rows: int, full: bool, say: Callable[[str], None]) -> None:
        self.rows = rows
        self.full = full
        self.say = say
        self._servers: dict[int, Server] = {}
        self._populations: dict[tuple[int, int, str], Population] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for population in self._populations.values():
            population.engine.dispose()
        for server in self._servers.values():
            server.stop()

    def server(self, postgresql: int = 18) -> Server:
        """The server of a PostgreSQL version, started at its first use."""
        if postgresql not in self._servers:
            self.say(f"starting PostgreSQL {postgresql}")
            self._servers[postgresql] = Server(postgresql)
        return self._servers[postgresql]

    def population(
        self, rows: int | None = None, postgresql: int = 18, purpose: str = "reading"
    ) -> Population:
        """A filled database, made at its first use; one for each purpose."""
        key = (postgresql, rows or self.rows, purpose)
        if key not in self._populations:
            engine = self.server(postgresql).create_database()
            self.say(f"writing {key[1]:,} activations to PostgreSQL {postgresql}")
            self._populations[key] = populate(engine, key[1])
        return self._populations[key]

    def facts(self) -> Iterator[str]:
        """Lines that tell what was measured with and on."""
        servers = ", ".join(sorted({_version(p.engine) for p in self._populations.values()}))
        packages = ("SQLAlchemy", "psycopg", "Flask", "flask-powerauth-telemetry")
        named = ", ".join(f"{package} {version(package)}" for package in packages)
        yield f"PostgreSQL {servers}; Python {platform.python_version()}; {named}"
        yield f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
        for rows, row_bytes, rows_per_user in sorted(
            {(p.rows, p.row_bytes, round(p.rows_per_user, 2)) for p in self._populations.values()}
        ):
            yield (
                f"{rows:,} rows in pa_activation, {row_bytes} bytes each,"
                f" {rows_per_user} rows a user"
            )
        settings = ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
        yield f"Server settings other than the defaults: {settings}"


def _version(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.exec_driver_sql("SHOW server_version").scalar_one())
