"""A hot standby of a server of Debian's PostgreSQL, by streaming replication."""

import os
import pwd
import subprocess
from pathlib import Path

import psutil

from tests.shards.servers import OWNER, PASSWORD, ShardServer, _as_nobody, programs


class StandbyServer(ShardServer):
    """A standby of ``primary``, which runs; a context manager as its base is."""

    def __init__(self, primary: ShardServer, *settings: str) -> None:
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


def processes(server: ShardServer) -> list[psutil.Process]:
    """The processes of a server, to be suspended as a network would that loses all."""
    assert server._process is not None
    own = psutil.Process(server._process.pid)
    return [own, *own.children(recursive=True)]
