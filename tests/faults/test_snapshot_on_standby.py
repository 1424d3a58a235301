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
from tests.support import powerauth
from tests.support.databases import POSTGRESQL_VERSIONS, PostgresqlServer
from tests.support.held import eventually
from tests.support.recorded import run
from tests.support.service import create_app, url_of, users_of
from tests.support.standby import hot_standby, suspended

READER, MONITOR = "telemetry_reader", "telemetry_monitor"
ACCOUNTS = ((READER, "psycopg"), (READER, "psycopg2"), (MONITOR, "psycopg2"))
"""Who records, and by which driver."""


@pytest.fixture(scope="module")
def primary() -> Iterator[Engine]:
    """A server of its own, as a standby copies all of it."""
    server = PostgresqlServer(POSTGRESQL_VERSIONS[-1])
    engine = server.create_database()
    powerauth.create_schema(engine)
    powerauth.add_applications(engine, ["retail", "corporate"])
    for role in (READER, MONITOR):
        execute(
            engine,
            f"CREATE ROLE {role} LOGIN",
            f"GRANT SELECT ON pa_application, pa_activation TO {role}",
        )
    execute(engine, f"GRANT pg_read_all_stats TO {MONITOR}")
    yield engine
    server.stop()


@pytest.fixture
def replica(primary: Engine) -> Iterator[Engine]:
    with hot_standby(primary, "wal_receiver_timeout=2s") as engine:
        await_truth(engine, "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'")
        yield engine


@pytest.fixture(autouse=True)
def patience(server_clock: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for seconds only, which the setting of the standby is made for."""
    monkeypatch.setattr(instants, "WAIT_SECONDS", 4.0)


def execute(engine: Engine, *statements: str) -> None:
    """Run statements, each by itself."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def await_truth(engine: Engine, query: str) -> None:
    def is_true() -> bool:
        with engine.connect() as connection:
            return bool(connection.exec_driver_sql(query).scalar_one())

    eventually(is_true)


def use(primary: Engine, users: int) -> None:
    """New users, who are active now."""
    now = datetime.now(UTC)
    names = [f"{now.timestamp()}-{number}" for number in range(users)]
    rows = [powerauth.Activation(name[-37:], 1, name, now.replace(tzinfo=None)) for name in names]
    powerauth.add_activations(primary, rows)


def snapshot(
    database: Engine, history: Engine, user: str = READER, driver: str = "psycopg"
) -> Result:
    url = database.url.set(username=user, drivername=f"postgresql+{driver}").render_as_string(
        hide_password=False
    )
    app = create_app(
        clock=lambda: datetime.now(UTC), DATABASE_URL=url, BINDS={"history": url_of(history)}
    )
    return run(app, "--application", "retail")


def recorded_users(history: Engine) -> int:
    binds = {"history": url_of(history)}
    app = create_app(clock=lambda: datetime.now(UTC), SOURCE="snapshot", BINDS=binds)
    return users_of(app.test_client(), "retail", 30)


def true_users(primary: Engine) -> int:
    with primary.connect() as connection:
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
    primary: Engine, replica: Engine, history: Engine
) -> None:
    use(primary, 20)
    with repeated(lambda: execute(primary, "SELECT txid_current()")):
        result = snapshot(replica, history)

    assert result.exit_code == 0, result.output
    assert recorded_users(history) == true_users(primary) > 0


@pytest.mark.parametrize(("user", "driver"), [*ACCOUNTS, ("postgres", "psycopg")])
def test_idle_primary_is_no_lag(
    primary: Engine, replica: Engine, history: Engine, user: str, driver: str
) -> None:
    use(primary, 5)
    time.sleep(0.5)

    result = snapshot(replica, history, user, driver)

    assert result.exit_code == 0, result.output
    assert recorded_users(history) == true_users(primary)


@pytest.mark.parametrize(("user", "driver"), ACCOUNTS)
def test_standby_that_stays_behind_is_refused(
    primary: Engine, replica: Engine, history: Engine, user: str, driver: str
) -> None:
    execute(replica, "SELECT pg_wal_replay_pause()")
    use(primary, 50)

    result = snapshot(replica, history, user, driver)

    assert result.exit_code == 1
    assert "Nothing is recorded: this standby has not replayed all up to" in result.stderr
    assert "bytes are received and not replayed" in result.stderr
    assert "the replay is paused" in result.stderr
    assert result.stdout == ""


def test_standby_that_catches_up_is_waited_for(
    primary: Engine, replica: Engine, history: Engine
) -> None:
    execute(replica, "SELECT pg_wal_replay_pause()")
    use(primary, 50)
    resume = threading.Timer(1.5, execute, [replica, "SELECT pg_wal_replay_resume()"])
    resume.start()
    with repeated(lambda: execute(primary, "SELECT txid_current()")):
        result = snapshot(replica, history)
    resume.join()

    assert result.exit_code == 0, result.output
    assert recorded_users(history) == true_users(primary)


@pytest.mark.parametrize(("user", "driver"), ACCOUNTS)
def test_standby_without_its_primary_is_refused(
    primary: Engine, replica: Engine, history: Engine, user: str, driver: str
) -> None:
    await_truth(replica, "SELECT pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()")
    execute(
        replica,
        "ALTER SYSTEM SET primary_conninfo = 'host=/nowhere'",
        "SELECT pg_reload_conf()",
    )
    await_truth(replica, "SELECT count(*) = 0 FROM pg_stat_wal_receiver")

    result = snapshot(replica, history, user, driver)

    assert result.exit_code == 1
    assert "nothing is received from the primary" in result.stderr


@pytest.mark.parametrize(("user", "driver"), ACCOUNTS)
def test_silent_network_is_no_idle_primary(
    primary: Engine, replica: Engine, history: Engine, user: str, driver: str
) -> None:
    await_truth(replica, "SELECT pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()")
    with suspended(primary):
        result = snapshot(replica, history, user, driver)

    assert result.exit_code == 1
    assert "this standby has not replayed all" in result.stderr


def test_primary_is_recorded_from_at_once(primary: Engine, history: Engine) -> None:
    use(primary, 5)

    result = snapshot(primary, history)

    assert result.exit_code == 0, result.output
    assert recorded_users(history) == true_users(primary)
