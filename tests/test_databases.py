"""Databases of the tests are recycled, and nothing of one test is left for the next."""

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from tests.support.databases import (
    FOLDER,
    KINDS,
    Databases,
    PostgresqlServer,
    chosen_versions,
    remove_folder,
    temporary_folder,
)

LEFT_BEHIND = [
    "CREATE TABLE left_behind (number INTEGER)",
    "CREATE SCHEMA left_behind CREATE TABLE inner_one (number INTEGER)",
    "CREATE FUNCTION left_behind() RETURNS INTEGER LANGUAGE sql RETURN 1",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "ALTER SCHEMA public RENAME TO left_behind",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC",
    "ALTER DATABASE {name} SET default_transaction_read_only = on",
    "ALTER ROLE postgres IN DATABASE {name} SET work_mem = '1MB'",
]
DIFFERENT = [
    "REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
    "ALTER DATABASE {name} CONNECTION LIMIT 7",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "REVOKE EXECUTE ON FUNCTION pg_sleep(FLOAT) FROM PUBLIC",
    "GRANT SELECT ON pg_authid TO PUBLIC",
    "GRANT SELECT (rolname) ON pg_authid TO PUBLIC",
    "GRANT USAGE ON SCHEMA pg_catalog TO pg_monitor",
    "SELECT lo_create(0)",
    "CREATE PUBLICATION left_behind",
    "CREATE CAST (INTEGER AS UUID) WITH INOUT",
]
SEEN = """
SELECT (SELECT count(*) FROM pg_class WHERE oid >= 16384),
    (SELECT count(*) FROM pg_proc WHERE oid >= 16384),
    (SELECT count(*) FROM pg_default_acl), (SELECT count(*) FROM pg_db_role_setting),
    (SELECT string_agg(concat(nspname, nspowner::regrole, nspacl), ',' ORDER BY nspname)
        FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_')
"""


def run(database: Engine, statement: str) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql(statement.format(name=database.url.database))


def created(databases: Databases, kind: str) -> Engine:
    """A database that is not about to be dropped, as one is that was used many times."""
    database = databases.create(kind, Path())
    server = databases.postgresql_server(int(kind.rpartition("-")[2]))
    server._uses[str(database.url.database)] = 1
    return database


def seen(database: Engine) -> object:
    with database.connect() as connection:
        options = {"no_parameters": True}
        return connection.execution_options(**options).exec_driver_sql(SEEN).one()


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("statement", LEFT_BEHIND)
def test_recycled_database_is_like_new(databases: Databases, kind: str, statement: str) -> None:
    first = created(databases, kind)
    before = seen(first)
    run(first, statement)
    assert seen(first) != before
    databases.recycle(kind, first)

    second = databases.create(kind, Path())

    assert second.url == first.url
    assert seen(second) == before
    databases.recycle(kind, second)


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("statement", DIFFERENT)
def test_database_that_stays_different_is_dropped(
    databases: Databases, kind: str, statement: str
) -> None:
    first = databases.create(kind, Path())
    run(first, statement)
    databases.recycle(kind, first)

    second = databases.create(kind, Path())

    assert second.url != first.url
    with pytest.raises(DBAPIError, match="does not exist"):
        first.connect()
    databases.recycle(kind, second)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_session_that_is_left_open_is_ended(databases: Databases, kind: str) -> None:
    database = databases.create(kind, Path())
    run(database, "CREATE TABLE locked (number INTEGER)")
    with database.connect() as connection:
        connection.exec_driver_sql("LOCK TABLE locked")
        databases.recycle(kind, database)

        with pytest.raises(DBAPIError, match="terminat"):
            connection.exec_driver_sql("SELECT 1")


def test_databases_in_use_are_not_lent_again(databases: Databases) -> None:
    lent = [databases.create(KINDS[-1], Path()) for _ in range(3)]

    assert len({database.url for database in lent}) == 3
    for database in lent:
        databases.recycle(KINDS[-1], database)


@pytest.mark.parametrize(
    ("choice", "versions"),
    [(None, (16, 18)), ("", (16, 18)), ("16", (16,)), ("18, 16", (16, 18)), ("18", (18,))],
)
def test_versions_are_chosen(choice: str | None, versions: tuple[int, ...]) -> None:
    assert chosen_versions(choice) == versions


@pytest.mark.parametrize("choice", ["17", "16,17", "16,newest", "postgresql", ","])
def test_unknown_version_is_refused(choice: str) -> None:
    with pytest.raises(ValueError, match="TELEMETRY_POSTGRESQL must be some of 16,18"):
        chosen_versions(choice)


@pytest.mark.parametrize("free", [0, 1 << 50])
def test_files_are_in_memory_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    folder = temporary_folder()

    in_memory = Path("/dev/shm")
    assert folder.parent == (in_memory if free and os.access(in_memory, os.W_OK) else tmp_path)
    folder.rmdir()


def test_servers_end_with_the_folder_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = temporary_folder()
    monkeypatch.setenv(FOLDER, str(folder))
    server = PostgresqlServer(18)
    database = server.create_database()
    assert [path.parent for path in folder.glob("*/data")] == list(folder.iterdir())

    remove_folder(folder)

    assert not folder.exists()
    with pytest.raises(DBAPIError, match="No such file"):
        database.connect()
    server.stop()  # again, as at the end of a process
