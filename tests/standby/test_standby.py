"""``flask telemetry snapshot`` on a real hot standby, which is behind, idle, or alone."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from click.testing import Result
from sqlalchemy import Engine, NullPool, create_engine

from flask_powerauth_telemetry.history import instants
from tests.standby.servers import PASSWORD, DebianServer, StandbyServer, processes
from tests.support import powerauth
from tests.support.recorded import run
from tests.support.service import create_app, users_of

READER = "telemetry_reader"


@pytest.fixture(scope="module")
def primary() -> Iterator[DebianServer]:
    with DebianServer("wal_level=replica", "checkpoint_timeout=1h", "autovacuum=off") as server:
        powerauth.create_schema(server.engine())
        powerauth.add_applications(server.engine(), ["retail", "corporate"])
        server.execute(
            f"CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}'",
            f"GRANT SELECT ON pa_application, pa_activation TO {READER}",
            f"CREATE ROLE monitor LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_stats",
            "GRANT SELECT ON pa_application, pa_activation TO monitor",
        )
        yield server


@pytest.fixture
def standby(primary: DebianServer) -> Iterator[StandbyServer]:
    primary.start_if_gone()
    with StandbyServer(primary, "wal_receiver_timeout=2s") as server:
        await_truth(server, "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'")
        yield server


@pytest.fixture(autouse=True)
def patience(server_clock: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for seconds only, which the setting of the standby is made for."""
    monkeypatch.setattr(instants, "WAIT_SECONDS", 4.0)


def await_truth(server: DebianServer, query: str) -> None:
    limit = time.monotonic() + 30
    with server.engine().connect() as connection:
        while not connection.exec_driver_sql(query).scalar_one():
            assert time.monotonic() < limit, query
            time.sleep(0.05)


def use(primary: DebianServer, users: int) -> None:
    """New users, who are active now."""
    now = datetime.now(UTC)
    names = [f"{now.timestamp()}-{number}" for number in range(users)]
    rows = [powerauth.Activation(name[-37:], 1, name, now.replace(tzinfo=None)) for name in names]
    powerauth.add_activations(primary.engine(), rows)


def snapshot(server: DebianServer, history: Engine, user: str = READER) -> Result:
    url = server.url(user=user).render_as_string(hide_password=False)
    binds = {"history": history.url.render_as_string(hide_password=False)}
    app = create_app(clock=lambda: datetime.now(UTC), DATABASE_URL=url, BINDS=binds)
    try:
        return run(app, "--application", "retail")
    finally:
        for state in app.extensions["powerauth_telemetry"].values():
            state.close()


def recorded_users(history: Engine) -> int:
    binds = {"history": history.url.render_as_string(hide_password=False)}
    app = create_app(clock=lambda: datetime.now(UTC), SOURCE="snapshot", BINDS=binds)
    return users_of(app.test_client(), "retail", 30)


def true_users(primary: DebianServer) -> int:
    with primary.engine().connect() as connection:
        count = connection.exec_driver_sql(
            "SELECT count(DISTINCT user_id) FROM pa_activation WHERE application_id = 1"
        ).scalar_one()
    assert isinstance(count, int)
    return count


@contextmanager
def repeated(act: Callable[[], object]) -> Iterator[None]:
    """Act a few times a second, in a thread, until the block is left."""
    done = threading.Event()

    def go_on() -> None:
        while not done.wait(0.1):
            act()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def history(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("history")
    return create_engine(f"sqlite:///{folder / 'history.sqlite'}", poolclass=NullPool)


def test_standby_that_keeps_up_is_recorded_from(
    primary: DebianServer, standby: StandbyServer, history: Engine
) -> None:
    use(primary, 20)
    with repeated(lambda: primary.execute("SELECT txid_current()")):
        result = snapshot(standby, history)

    assert result.exit_code == 0, result.output
    assert recorded_users(history) == true_users(primary) > 0


@pytest.mark.parametrize("user", [READER, "monitor", "owner"])
def test_idle_primary_is_no_lag(
    primary: DebianServer, standby: StandbyServer, history: Engine, user: str
) -> None:
    use(primary, 5)
    time.sleep(0.5)

    result = snapshot(standby, history, user)

    assert result.exit_code == 0, result.output
    assert recorded_users(history) == true_users(primary)


@pytest.mark.parametrize("user", [READER, "monitor"])
def test_standby_that_stays_behind_is_refused(
    primary: DebianServer, standby: StandbyServer, history: Engine, user: str
) -> None:
    standby.execute("SELECT pg_wal_replay_pause()")
    use(primary, 50)

    result = snapshot(standby, history, user)

    assert result.exit_code == 1
    assert "Nothing is recorded: this standby has not replayed all up to" in result.stderr
    assert "bytes are received and not replayed" in result.stderr
    assert "the replay is paused" in result.stderr
    assert result.stdout == ""


def test_standby_that_catches_up_is_waited_for(
    primary: DebianServer, standby: StandbyServer, history: Engine
) -> None:
    standby.execute("SELECT pg_wal_replay_pause()")
    use(primary, 50)
    resume = threading.Timer(1.5, standby.execute, ["SELECT pg_wal_replay_resume()"])
    resume.start()
    with repeated(lambda: primary.execute("SELECT txid_current()")):
        result = snapshot(standby, history)
    resume.join()

    assert result.exit_code == 0, result.output
    assert recorded_users(history) == true_users(primary)


@pytest.mark.parametrize("user", [READER, "monitor"])
def test_standby_without_its_primary_is_refused(
    primary: DebianServer, standby: StandbyServer, history: Engine, user: str
) -> None:
    await_truth(standby, "SELECT pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()")
    primary.kill()

    result = snapshot(standby, history, user)

    assert result.exit_code == 1
    assert "nothing is received from the primary" in result.stderr


@pytest.mark.parametrize("user", [READER, "monitor"])
def test_silent_network_is_no_idle_primary(
    primary: DebianServer, standby: StandbyServer, history: Engine, user: str
) -> None:
    await_truth(standby, "SELECT pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()")
    silent = processes(primary)
    for process in silent:
        process.suspend()
    try:
        result = snapshot(standby, history, user)
    finally:
        for process in silent:
            process.resume()

    assert result.exit_code == 1
    assert "this standby has not replayed all" in result.stderr


def test_primary_is_recorded_from_at_once(primary: DebianServer, history: Engine) -> None:
    primary.start_if_gone()
    use(primary, 5)

    result = snapshot(primary, history)

    assert result.exit_code == 0, result.output
    assert recorded_users(history) == true_users(primary)
