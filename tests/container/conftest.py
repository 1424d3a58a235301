"""What the tests of the container share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import PostgresqlServer


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """An empty folder that every account may enter; an image's own files are root's."""
    path = Path(tempfile.mkdtemp(prefix="telemetry-container-")).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def sockets(folder: Path) -> Iterator[str]:
    """The folder of the socket of a server with the owner's empty database."""
    server = PostgresqlServer(18)
    try:
        admin = server.create_database()
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CREATE ROLE powerauth SUPERUSER LOGIN")
            connection.exec_driver_sql("CREATE DATABASE powerauth OWNER powerauth")
        host = admin.url.query["host"]
        assert isinstance(host, str)
        yield host
    finally:
        server.stop()
