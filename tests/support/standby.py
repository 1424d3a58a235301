"""A hot standby: a second server that replays what a first one writes."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import URL, Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.support.held import eventually

_SETTINGS = ("hot_standby=on", "listen_addresses=", "max_standby_streaming_delay=500ms")


@contextmanager
def standby(primary: Engine, *settings: str) -> Iterator[URL]:
    """The URL of the primary's database on a standby of its own; ``settings`` as ``name=value``.

    By default it cancels a statement that it has to wait for after half a second.
    """
    data = _data(primary)
    programs = Path(os.readlink(f"/proc/{_postmaster(data)}/exe")).parent
    account = {"user": data.stat().st_uid} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="telemetry-standby-"))
    try:
        if account:
            os.chown(folder, account["user"], -1)
        _copy(programs, primary, folder, account)
        with _running(programs, folder, settings, account):
            url = primary.url.update_query_dict({"host": str(folder)})
            eventually(lambda: answers(url))
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def suspended(primary: Engine) -> Iterator[None]:
    """Have a server stand still, as a network does that loses all."""
    postmaster = psutil.Process(_postmaster(_data(primary)))
    postmaster.suspend()  # which begins no other then
    processes = [postmaster, *postmaster.children(recursive=True)]
    _signal(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(processes, signal.SIGCONT)


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # a session that was just ending
            process.send_signal(number)


def caught_up(primary: Engine, url: URL) -> bool:
    """Whether a standby has replayed all that was written until now."""
    with primary.connect() as connection:
        written = connection.scalar(text("SELECT pg_current_wal_lsn()"))
    with create_engine(url, poolclass=NullPool).connect() as connection:
        behind = text("SELECT pg_last_wal_replay_lsn() >= CAST(:written AS pg_lsn)")
        return bool(connection.scalar(behind, {"written": str(written)}))


def _copy(programs: Path, primary: Engine, folder: Path, account: Mapping[str, Any]) -> None:
    host = str(primary.url.query["host"])
    user = str(primary.url.username)
    command: list[str | Path] = [programs / "pg_basebackup", "-h", host, "-U", user, "-R"]
    command += ["-D", folder / "data", "-c", "fast"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, **account)


@contextmanager
def _running(
    programs: Path, folder: Path, settings: tuple[str, ...], account: Mapping[str, Any]
) -> Iterator[None]:
    given = (*_SETTINGS, "port=5432", f"unix_socket_directories={folder}", *settings)
    arguments = [part for setting in given for part in ("-c", setting)]
    command: list[str | Path] = [
        programs / "postgres",
        "-D",
        folder / "data",
        "-h",
        "",
        "-p",
        "5432",
        *arguments,
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **account)
    try:
        yield
    finally:
        server.send_signal(signal.SIGQUIT)  # its files go
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _data(server: Engine) -> Path:
    with server.connect() as connection:
        return Path(connection.exec_driver_sql("SHOW data_directory").scalar_one())


def _postmaster(data: Path) -> int:
    return int((data / "postmaster.pid").read_text().partition("\n")[0])


def answers(url: URL) -> bool:
    """Whether a server takes connections."""
    try:
        create_engine(url, poolclass=NullPool).connect().close()
    except OperationalError:
        return False
    return True


@contextmanager
def hot_standby(primary: Engine, *settings: str) -> Iterator[Engine]:
    """The superuser's engine of the same database on a standby, which has caught up."""
    with standby(primary, "max_standby_streaming_delay=30s", *settings) as url:
        engine = create_engine(url, poolclass=NullPool)
        wait_for_replay(primary, engine)
        yield engine


def wait_for_replay(primary: Engine, standby: Engine) -> None:
    """Wait until the standby has replayed all that is committed now."""
    _wait_for(primary, standby, "pg_last_wal_replay_lsn()")


def wait_for_receipt(primary: Engine, standby: Engine) -> None:
    """Wait until the standby has received all that is committed now."""
    _wait_for(primary, standby, "pg_last_wal_receive_lsn()")


def _wait_for(primary: Engine, standby: Engine, position: str) -> None:
    with primary.connect() as connection:
        written = connection.exec_driver_sql("SELECT pg_current_wal_flush_lsn()::text").scalar()

    def is_there() -> bool:
        with standby.connect() as connection:
            return bool(connection.exec_driver_sql(f"SELECT {position} >= '{written}'").scalar())

    eventually(is_there)
