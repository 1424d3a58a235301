"""Behind PgBouncer, whose next transaction may be on another session, and another client's."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, text

from flask_powerauth_telemetry import ReportContext
from tests.database.test_guard import Several
from tests.support.pooler import SESSIONS
from tests.support.questions import answers, fill
from tests.support.recorded import run
from tests.support.service import NOW, ask, create_app

PROCESSES = 4
ROUNDS = 3
_LEFT = text(
    "SELECT (SELECT count(*) FROM pg_prepared_statements) + (SELECT count(*) FROM pg_cursors)"
    " + (SELECT count(*) FROM pg_listening_channels())"
    " + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
    " + (SELECT count(*) FROM pg_class WHERE relpersistence = 't')"
)


@pytest.fixture
def filled(postgresql: Engine) -> Engine:
    fill(postgresql)
    return postgresql


@pytest.fixture(autouse=True)
def _nothing_left(filled: Engine, pooled: URL) -> Iterator[None]:
    """Whatever a test does, another client finds each session of the server as a new one is."""
    with create_engine(filled.url, poolclass=NullPool).connect() as connection:
        expected = _settings(connection)
    yield
    seen = {}
    with ExitStack() as clients:
        engine = create_engine(pooled.set(drivername="postgresql+psycopg"), poolclass=NullPool)
        for _ in range(SESSIONS):
            connection = clients.enter_context(engine.connect())
            session = connection.scalar(text("SELECT pg_backend_pid()"))
            seen[session] = (_settings(connection), connection.scalar(_LEFT))
    assert len(seen) == SESSIONS
    for found in seen.values():
        assert found == (expected, 0)


def _settings(connection: Connection) -> Mapping[str, str]:
    rows = connection.execute(text("SELECT name, setting FROM pg_settings"))
    return {str(name): str(value) for name, value in rows}


def _url(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def test_all_reports_of_several_processes(filled: Engine, pooled: URL) -> None:
    expected = answers("UTC", NOW, DATABASE_URL=_url(filled.url))
    command = [sys.executable, "-m", "tests.pooler.asking", _url(pooled), str(ROUNDS)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
    given = [json.loads(process.communicate(timeout=120)[0]) for process in processes]

    for one in given:
        assert one["failed"] == []
        assert one["same"]
        assert [tuple(answer) for answer in one["first"]] == expected


def test_provider_that_repeats_statements_and_ends_transactions(pooled: URL) -> None:
    """More than five times, after which psycopg would prepare them; a commit keeps what is SET."""

    class Repeating(Several):
        def generate(self, context: ReportContext) -> dict[str, str]:
            for _ in range(12):
                context.connection.execute(text("SELECT 1"))
            return super().generate(context)

    provider = Repeating("commit", *["SELECT pg_backend_pid()"] * 12)
    keys: dict[str, Any] = {"DATABASE_URL": _url(pooled), "CACHE_SECONDS": 0}
    apps = [create_app(arguments={"providers": [provider]}, **keys) for _ in range(PROCESSES)]

    with ThreadPoolExecutor(PROCESSES) as callers:
        clients = [app.test_client() for app in apps] * 5
        given = list(callers.map(lambda client: ask(client, "SEVERAL").status_code, clients))

    assert given == [200] * len(clients)


def test_recordings_are_made_corrected_and_verified(pooled: URL) -> None:
    """With the history in the same database, so by the same sessions."""
    binds = {"history": _url(pooled)}
    app = create_app(DATABASE_URL=_url(pooled), BINDS=binds)

    for options in ((), ("--correct", "looking"), ("--correct", "again"), ("--verify",)) * 3:
        result = run(app, *options)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("isolation", [None, "AUTOCOMMIT", "SERIALIZABLE"])
@pytest.mark.parametrize("is_pooled", [True, False])
def test_engine_of_a_host(pooled: URL, isolation: Any, is_pooled: bool) -> None:
    options: dict[str, Any] = {} if isolation is None else {"isolation_level": isolation}
    if pooled.get_driver_name() == "psycopg":
        options["connect_args"] = {"prepare_threshold": None}
    if not is_pooled:
        options["poolclass"] = NullPool
    host = create_engine(pooled, **options)
    app = create_app(arguments={"engine": host}, CACHE_SECONDS=0)
    client = app.test_client()

    for _ in range(8):
        answer = ask(client, "CURRENT_MAU", {"application": "retail"})
        assert answer.status_code == 200
        with host.connect() as connection:
            assert connection.scalar(text("SHOW statement_timeout")) == "0"
    host.dispose()
