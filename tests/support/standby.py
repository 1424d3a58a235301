"""A hot standby of a test's PostgreSQL server: a real one, by streaming replication."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine

from tests.support.databases import PostgresqlServer, remove_folder


@contextmanager
def hot_standby(server: PostgresqlServer, primary: Engine) -> Iterator[Engine]:
    """The superuser's engine of the same database on a standby, which has caught up."""
    source = server._server
    folder = server._folder / "standby"
    data = folder / "data"
    folder.mkdir(mode=0o755)
    if source.system_user is not None:
        shutil.chown(folder, source.system_user)

    def run(program: str, *arguments: str) -> None:
        command = [str(Path(source.bin_path, program)), *arguments]
        # No pipe: the server that it starts would hold it open.
        subprocess.run(
            command,
            user=source.system_user,
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )

    try:
        socket = str(primary.url.query["host"])
        copied = ("-D", str(data), "-R", "-X", "stream", "-c", "fast", "--no-sync")
        run("pg_basebackup", *copied, "-h", socket, "-U", "postgres")
        started = ("-w", "-D", str(data), "-o", f"-h '' -k {folder}", "-l", str(data / "log"))
        run("pg_ctl", *started, "start")
        url = primary.url.set(query={"host": str(folder)})
        standby = create_engine(url, poolclass=NullPool)
        wait_for_replay(primary, standby)
        yield standby
    finally:
        remove_folder(folder)


def wait_for_replay(primary: Engine, standby: Engine) -> None:
    """Wait until the standby has replayed all that is committed now."""
    with primary.connect() as connection:
        written = connection.exec_driver_sql("SELECT pg_current_wal_flush_lsn()::text").scalar()
    _wait(standby, f"SELECT pg_last_wal_replay_lsn() >= '{written}'")


def wait_for_receipt(primary: Engine, standby: Engine) -> None:
    """Wait until the standby has received all that is committed now."""
    with primary.connect() as connection:
        written = connection.exec_driver_sql("SELECT pg_current_wal_flush_lsn()::text").scalar()
    _wait(standby, f"SELECT pg_last_wal_receive_lsn() >= '{written}'")


def _wait(standby: Engine, question: str) -> None:
    limit = time.monotonic() + 20
    while True:
        with standby.connect() as connection:
            if connection.exec_driver_sql(question).scalar():
                return
        assert time.monotonic() < limit, "the standby stays behind"
        time.sleep(0.02)
