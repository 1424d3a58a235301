"""ClickHouse's engine in a process of its own, filled with the same rows as SQLite."""

import json
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, NullPool, create_engine

from tests.support import powerauth
from tests.support.audit import add_changes, add_verifications, random_changes, random_verifications
from tests.support.documents import SCALING, blocks
from tests.support.questions import APPLICATIONS

# At a change of the clock, at a year's end, and with a leap day behind.
ZONES_AND_INSTANTS = (
    ("UTC", datetime(2028, 3, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ("Europe/Prague", datetime(2026, 10, 25, 14, 0, tzinfo=UTC)),
    ("America/New_York", datetime(2027, 1, 1, 5, 0, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 5, 9, 15, 0, 999_999, tzinfo=UTC)),
)
ACTIVATIONS = 600


class ClickHouse:
    """The engine behind a port of 127.0.0.1; a context manager that ends its process."""

    def __init__(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port: int = listener.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """The URL by which reports reach it."""
        return f"clickhousedb+connect://reader:PASSWORD@127.0.0.1:{self.port}/default?final=1"

    def start(self) -> None:
        """Start an empty one, and wait until it answers."""
        command = [sys.executable, "-m", "tests.engines.clickhouse_server", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def kill(self) -> None:
        """End it; its rows are gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def create_tables(self) -> None:
        """PowerAuth's tables, by the statements of docs/scaling.md."""
        tables, _ = blocks(SCALING, "clickhouse")
        for statement in filter(str.strip, tables.split(";")):
            self.run(statement.strip())

    def add(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows of a table; times are written as the wall clock shows them."""
        lines = "\n".join(json.dumps(row, default=str) for row in rows)
        self.run(f"INSERT INTO {table} FORMAT JSONEachRow\n{lines}")

    def run(self, statement: str) -> None:
        """Run a statement as an administrator."""
        address = f"http://127.0.0.1:{self.port}/"
        with urllib.request.urlopen(address, statement.encode()) as response:
            response.read()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/").close()
        except urllib.error.URLError:
            return False
        return True


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ClickHouse, Engine]]:
    """ClickHouse and SQLite with the same rows at random, around an instant in each zone."""
    folder: Path = tmp_path_factory.mktemp("sqlite")
    sqlite = create_engine(f"sqlite:///{folder / 'powerauth.sqlite'}", poolclass=NullPool)
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, APPLICATIONS)
    with ClickHouse() as clickhouse:
        clickhouse.create_tables()
        numbered = enumerate(APPLICATIONS, 1)
        clickhouse.add("pa_application", ({"id": one, "name": name} for one, name in numbered))
        _fill(clickhouse, sqlite)
        yield clickhouse, sqlite


def _fill(clickhouse: ClickHouse, sqlite: Engine) -> None:
    source = random.Random(8)
    activations, changes, verifications = [], [], []
    for name, instant in ZONES_AND_INSTANTS:
        zone = ZoneInfo(name)
        rows = powerauth.random_activations(len(name), instant, zone, ACTIVATIONS)
        own = [
            powerauth.Activation(**{**vars(row), "activation_id": f"{name[:9]}-{number}"})
            for number, row in enumerate(rows)
        ]
        activations += own
        changes += random_changes(source, own, instant, zone)
        verifications += random_verifications(source, own, instant, zone, ACTIVATIONS)
    powerauth.add_activations(sqlite, activations)
    add_changes(sqlite, changes)
    add_verifications(sqlite, verifications)
    created = [
        {**vars(row), "timestamp_created": row.timestamp_created or row.timestamp_last_used}
        for row in activations
    ]
    # As change capture sends them: each activation also as it was before, and the others twice.
    before = {"activation_status": 1, "timestamp_last_used": datetime(2026, 1, 1)}
    clickhouse.add("pa_activation", ({**row, **before} for row in created))
    clickhouse.add("pa_activation", created)
    numbered_changes = [{"id": id_, **vars(row)} for id_, row in enumerate(changes)]
    audit = [{"id": id_, **vars(row)} for id_, row in enumerate(verifications)]
    for _ in range(2):
        clickhouse.add("pa_activation_history", numbered_changes)
        clickhouse.add("pa_signature_audit", audit)
