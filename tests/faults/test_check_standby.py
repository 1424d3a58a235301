"""``flask telemetry check`` on a hot standby: how far it is behind."""

import time
from collections.abc import Iterator
from datetime import UTC

import pytest
from flask import Flask
from sqlalchemy import Engine, NullPool, create_engine

from tests.support import powerauth
from tests.support.commands import LEAST, app_of, fill, findings, now, of_check, role
from tests.support.service import ask
from tests.support.standby import hot_standby, wait_for_receipt, wait_for_replay


@pytest.fixture
def standby(postgresql: Engine) -> Iterator[Engine]:
    fill(postgresql)
    with hot_standby(postgresql) as standby:
        yield standby


def log_in(primary: Engine, standby: Engine, count: int) -> None:
    used = powerauth.wall_clock(now(), UTC)
    rows = [powerauth.Activation(f"more-{one}", 1, f"more-{one}", used) for one in range(count)]
    powerauth.add_activations(primary, rows)
    wait_for_receipt(primary, standby)


def users_of(app: Flask) -> int:
    answer = ask(app.test_client(), parameters={"application": "retail"})
    users: int = answer.get_json()["responseObject"]["reportData"]["users"]
    return users


def test_standby_tells_how_far_it_is_behind(postgresql: Engine, standby: Engine) -> None:
    with role(postgresql, *LEAST) as reader:
        wait_for_replay(postgresql, standby)
        account = create_engine(standby.url.set(username=reader.url.username), poolclass=NullPool)
        app = app_of(account, CACHE_SECONDS=0)
        caught_up = of_check(findings(app, "--no-pass"), "server")
        with standby.connect() as connection:
            connection.exec_driver_sql("SELECT pg_wal_replay_pause()")
        log_in(postgresql, standby, 1_000)
        paused = of_check(findings(app, "--no-pass"), "server")
        stale = users_of(app)
        with standby.connect() as connection:
            connection.exec_driver_sql("SELECT pg_wal_replay_resume()")
        wait_for_replay(postgresql, standby)
        again = of_check(findings(app, "--no-pass"), "server")

        assert (stale, users_of(app)) == (30, 1_030)
    assert [one["level"] for one in (caught_up, paused, again)] == ["note", "warning", "note"]
    assert caught_up["facts"]["bytesBehind"] == again["facts"]["bytesBehind"] == 0
    assert "max_standby_streaming_delay = 30s" in caught_up["cure"]
    assert paused["facts"]["bytesBehind"] > 50_000
    assert "its replay is paused" in paused["message"]
    assert "pg_wal_replay_resume()" in paused["cure"]


def test_standby_that_a_lock_holds_up_is_a_warning(
    postgresql: Engine, standby: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_powerauth_telemetry.cli.checks.databases.LAG_SECONDS", 0.5)
    with postgresql.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE other (id integer)")
    wait_for_replay(postgresql, standby)
    with standby.connect() as query:
        query.exec_driver_sql("SELECT count(*) FROM other").scalar()  # holds its lock
        with postgresql.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE other ADD COLUMN extra integer")
        log_in(postgresql, standby, 10)
        time.sleep(0.6)

        server = of_check(findings(app_of(standby), "--no-pass"), "server")

    assert server["level"] == "warning"
    assert server["message"].endswith("; it lags")
    assert server["facts"]["secondsSinceReplay"] > 0.5


def test_standby_that_receives_nothing_is_a_warning(
    postgresql: Engine, standby: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_powerauth_telemetry.cli.checks.databases.LAG_SECONDS", 0)
    with standby.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ALTER SYSTEM SET primary_conninfo = 'host=/nowhere'")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        while connection.exec_driver_sql("SELECT count(*) FROM pg_stat_wal_receiver").scalar():
            time.sleep(0.05)

    server = of_check(findings(app_of(standby), "--no-pass"), "server")

    assert server["level"] == "warning"
    assert server["message"].endswith("; it receives nothing")
