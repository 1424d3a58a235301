"""What a pass of ``flask telemetry snapshot`` does to others, and which numbers it refuses."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Engine, QueuePool, create_engine, text

from tests.support.recorded import Site, run
from tests.support.service import ask, create_app, recorded_statements, url_of, users_of

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def slow_view(site: Site, seconds: float) -> None:
    """A view in place of the activations, which holds its lock for as long."""
    site.fill(count=20)
    with site.powerauth.begin() as connection:
        connection.exec_driver_sql(
            "CREATE VIEW slow AS SELECT application_id, user_id, timestamp_last_used"
            f" FROM pa_activation WHERE (SELECT pg_sleep({seconds})::text) IS NOT NULL"
        )


def await_lock(engine: Engine) -> None:
    """Wait until a pass holds its lock."""
    statement = (
        "SELECT count(*) FROM pg_locks WHERE granted AND relation = 'pa_activation'::regclass"
        " AND pid <> pg_backend_pid()"
    )
    limit = time.monotonic() + 30
    with engine.connect() as connection:
        while not connection.exec_driver_sql(statement).scalar_one():
            assert time.monotonic() < limit
            time.sleep(0.05)


@contextmanager
def altering(engine: Engine) -> Iterator[None]:
    """Somebody who waits for the pass, to change the table."""

    def alter() -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE pa_activation ADD COLUMN more INTEGER")

    thread = threading.Thread(target=alter)
    await_lock(engine)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)


def login(engine: Engine) -> float:
    """The seconds that a login's statement takes."""
    began = time.monotonic()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE pa_activation SET timestamp_last_used = now()")
    return time.monotonic() - began


@pytest.mark.parametrize("host", [False, True], ids=["our engine", "engine of a host"])
def test_login_behind_somebody_who_waits_for_a_pass_is_quick(
    postgresql_site: Site, host: bool
) -> None:
    site = postgresql_site
    slow_view(site, 20)
    pool = create_engine(url_of(site.powerauth), pool_size=1, max_overflow=0, pool_timeout=1)
    app = (
        create_app(
            clock=site.clock,
            arguments={"engine": pool},
            BINDS=site.binds,
            TABLES={"pa_activation": "slow"},
        )
        if host
        else site.recorder(TABLES={"pa_activation": "slow"})
    )
    results = []
    began = time.monotonic()
    thread = threading.Thread(target=lambda: results.append(run(app, "--application", "retail")))
    thread.start()
    with altering(site.powerauth):
        time.sleep(0.1)
        seconds = login(site.powerauth)
    thread.join(60)
    assert isinstance(pool.pool, QueuePool)
    assert pool.pool.checkedout() == 0
    pool.dispose()

    assert seconds < 3
    assert time.monotonic() - began < 15
    (result,) = results
    assert result.exit_code == 1
    assert result.stderr == (
        "retail: not recorded: the database main:"
        " the pass gave way: somebody waited for a lock that it held\n"
    )
    assert site.rows() == []


def test_login_behind_somebody_who_waits_for_a_report_is_quick(postgresql_site: Site) -> None:
    site = postgresql_site
    slow_view(site, 15)
    app = create_app(
        clock=site.clock, DATABASE_URL=url_of(site.powerauth), TABLES={"pa_activation": "slow"}
    )
    statuses = []

    def report() -> None:
        answer = ask(app.test_client(), "CURRENT_MAU", {"application": "retail"})
        statuses.append((answer.status_code, answer.headers.get("Retry-After")))

    thread = threading.Thread(target=report)
    thread.start()
    time.sleep(1.5)  # it has been looked for once, and there was nobody
    with altering(site.powerauth):
        time.sleep(0.1)
        seconds = login(site.powerauth)
    thread.join(60)

    assert seconds < 3
    assert statuses == [(503, "5")]


def test_who_reads_and_writes_beside_a_pass_does_not_end_it(postgresql_site: Site) -> None:
    site = postgresql_site
    slow_view(site, 3)
    results = []
    app = site.recorder(TABLES={"pa_activation": "slow"})
    thread = threading.Thread(target=lambda: results.append(run(app, "--application", "retail")))
    thread.start()
    await_lock(site.powerauth)
    with site.powerauth.connect() as connection:
        connection.exec_driver_sql("LOCK TABLE pa_application IN ACCESS EXCLUSIVE MODE")
        other = threading.Thread(target=await_application, args=[site.powerauth])
        other.start()
        time.sleep(2)
        connection.rollback()
    other.join(30)
    assert login(site.powerauth) < 1
    thread.join(60)

    assert [result.exit_code for result in results] == [0]


def await_application(engine: Engine) -> None:
    """Wait for a lock that is none of the pass's."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM pa_application")


def test_pass_keeps_a_time_limit_of_its_own(postgresql_site: Site) -> None:
    with recorded_statements() as statements:
        run(postgresql_site.recorder(STATEMENT_TIMEOUT=1))
        run(postgresql_site.recorder(STATEMENT_TIMEOUT=1), "--time-limit", "0", "--correct", "so")

    settings = [statement for statement in statements if "statement_timeout" in statement]
    limits = {
        int(one.partition("statement_timeout = '")[2].partition("ms'")[0]) for one in settings
    }
    assert min(limits) == 0
    assert max(limits) == 600_000
    assert all(one > 590_000 for one in limits if one)  # what is left of it on a busy machine


def empty(site: Site, keep: int = 0) -> None:
    statement = text(
        "DELETE FROM pa_activation WHERE user_id NOT IN"
        " (SELECT user_id FROM (SELECT DISTINCT user_id FROM pa_activation"
        " WHERE application_id = 1 ORDER BY user_id LIMIT :keep) AS kept)"
    )
    with site.powerauth.begin() as connection:
        connection.execute(statement, {"keep": keep})


def test_zero_where_many_were_is_refused(site: Site) -> None:
    site.fill()
    site.record()
    site.clock.now += HOUR
    empty(site)

    result = site.record("--application", "retail")

    assert result.exit_code == 1
    assert result.stderr.startswith("retail: not recorded: 0 users in 365 days, where ")
    assert "--allow-zero" in result.stderr
    assert len(site.rows()) == 2
    assert site.record("--allow-zero").exit_code == 0
    assert users_of(site.reader().test_client(), "retail", 365) == 0
    site.clock.now += HOUR
    assert site.record().exit_code == 0  # what was told once is known


@pytest.mark.parametrize(("keep", "code"), [(1, 1), (60, 0)])
def test_fall_to_nearly_nothing_is_refused_too(small_site: Site, keep: int, code: int) -> None:
    small_site.fill()
    small_site.record()
    small_site.clock.now += 3 * DAY
    empty(small_site, keep)

    assert small_site.record("--application", "retail").exit_code == code


@pytest.mark.parametrize("days", [366, 800])
def test_users_who_can_have_left_since_are_no_fall(small_site: Site, days: int) -> None:
    small_site.fill()
    small_site.record()
    small_site.clock.now += days * DAY

    result = small_site.record()

    assert result.exit_code == 0
    assert users_of(small_site.reader().test_client(), "retail", 365) == 0


def test_correction_is_held_to_it_as_well(small_site: Site) -> None:
    small_site.fill()
    small_site.record()
    empty(small_site)

    assert small_site.record("--correct", "once more").exit_code == 1
    assert small_site.record("--correct", "once more", "--allow-zero").exit_code == 0


def test_few_users_may_be_gone(small_site: Site) -> None:
    small_site.fill(count=12)
    small_site.record()
    empty(small_site)
    small_site.clock.now += HOUR

    assert small_site.record().exit_code == 0


def test_damaged_last_row_refuses_nothing(small_site: Site) -> None:
    small_site.fill()
    small_site.record()
    small_site.execute("UPDATE telemetry_recording SET users = '[]'")
    empty(small_site)
    small_site.clock.now += HOUR

    assert small_site.record().exit_code == 0


def test_system_without_a_thread_for_the_look_loses_the_look_alone(
    postgresql_site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    postgresql_site.fill(count=20)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    result = postgresql_site.record()

    assert result.exit_code == 0
    assert len(postgresql_site.rows()) == 2
    assert "can't start new thread" in caplog.text
