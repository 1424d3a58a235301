"""Reports by ClickHouse's driver, from ClickHouse's engine, by the route."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, literal, select, text

from flask_powerauth_telemetry.database.tables import WallClock
from flask_powerauth_telemetry.reports.activity import WholeDays, WholeSlots
from tests.database.test_guard import Statement
from tests.database.test_statements import AGES_AND_DAYS, TICK
from tests.engines.conftest import ZONES_AND_INSTANTS, ClickHouse
from tests.support.held import GRACE_SECONDS, RETAIL, answer_of
from tests.support.questions import LIVE, answers, test_every_report_is_asked_for  # noqa: F401
from tests.support.service import create_app, url_of

Filled = tuple[ClickHouse, Engine]
ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE number * 7 % 3 = 1"


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_INSTANTS, ids=lambda value: str(value)[:9])
def test_reports_answer_as_on_sqlite(filled: Filled, zone: str, now: datetime) -> None:
    clickhouse, sqlite = filled

    found = answers(zone, now, DATABASE_URL=clickhouse.url)

    assert found == answers(zone, now, DATABASE_URL=url_of(sqlite))
    assert {status for status, _ in found} == {200}


def test_whole_days_and_slots_are_exact(filled: Filled) -> None:
    with create_engine(filled[0].url).connect() as connection:
        for microsecond in (0, 1, 499_999, 999_999):
            end = datetime(2026, 3, 29, 2, 30, 59, microsecond)
            for age, days in AGES_AND_DAYS:
                times = (literal(time, WallClock) for time in (end, end - age))
                assert connection.scalar(select(WholeDays(*times))) == days, (end, age)
            for tick, slots in ((TICK, 0), (0 * TICK, 1)):
                later, earlier = (
                    literal(time, WallClock) for time in (end, end - timedelta(hours=1) + tick)
                )
                assert connection.scalar(select(WholeSlots(later, earlier, 3600))) == slots


def answer(clickhouse: ClickHouse, statement: str, **keys: Any) -> Any:
    """The first value of a statement by the route, or the status of an error."""
    app = create_app(
        DATABASE_URL=clickhouse.url, arguments={"providers": [Statement(statement)]}, **keys
    )
    given = answer_of(app, {}, "STATEMENT")
    return given.body["responseObject"]["reportData"]["value"] if given.status == 200 else given


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("readonly", "2"),
        ("max_execution_time", "2.5"),
        ("timeout_overflow_mode", "throw"),
        ("group_by_overflow_mode", "throw"),
        ("skip_unavailable_shards", "false"),
        ("log_comment", "flask_powerauth_telemetry"),
    ],
)
def test_session(filled: Filled, setting: str, value: str) -> None:
    statement = f"SELECT toString(getSetting('{setting}'))"

    assert answer(filled[0], statement, STATEMENT_TIMEOUT=2.5) == value


def test_settings_of_the_url_are_sent(filled: Filled) -> None:
    app = create_app(
        DATABASE_URL=filled[0].url,
        arguments={"providers": [Statement("SELECT toString(getSetting('final'))")]},
    )

    given = answer_of(app, {}, "STATEMENT")

    assert given.body["responseObject"]["reportData"] == {"value": "true"}


def test_check_finds_no_error(filled: Filled) -> None:
    after_all = datetime(2028, 3, 3, tzinfo=UTC)
    app = create_app(DATABASE_URL=filled[0].url, REPORTS=LIVE, clock=lambda: after_all)

    result = app.test_cli_runner().invoke(args=["telemetry", "check", "--pass", "--verify"])

    wrong = [line for line in result.output.splitlines() if line.startswith(("WARNING", "ERROR"))]
    (clock,) = wrong  # ours is far ahead, the server's is not
    assert "the database's clock is" in clock
    assert " behind. " in clock


def test_slow_statement_ends_at_the_time_limit(filled: Filled) -> None:
    given = answer(filled[0], ENDLESS, STATEMENT_TIMEOUT=0.5)

    assert (given.status, given.headers["Retry-After"]) == (503, "60")
    assert 0.5 <= given.seconds < 0.5 + GRACE_SECONDS


def test_missing_table_is_a_fault(filled: Filled) -> None:
    assert answer(filled[0], "SELECT count() FROM nowhere").status == 500


def test_server_that_is_gone_is_not_available() -> None:
    with ClickHouse() as clickhouse:
        clickhouse.create_tables()
        clickhouse.add("pa_application", [{"id": 1, "name": "retail"}])
        app = create_app(DATABASE_URL=clickhouse.url, CACHE_SECONDS=0, STATEMENT_TIMEOUT=2)
        assert answer_of(app).status == 200
        clickhouse.kill()

        given = answer_of(app)

        assert (given.status, given.headers["Retry-After"]) == (503, "5")
        assert given.seconds < 1
        clickhouse.start()
        clickhouse.create_tables()
        clickhouse.add("pa_application", [{"id": 1, "name": "retail"}])
        assert answer_of(app, RETAIL).status == 200


def test_times_lose_their_fraction_without_our_type(filled: Filled) -> None:
    """Why it is there."""
    time = datetime(2026, 1, 1, 0, 0, 0, 1)
    with create_engine(filled[0].url).connect() as connection:
        plain = connection.execute(text("SELECT toDateTime64(:time, 6)"), {"time": time})
        ours = connection.execute(select(literal(time, WallClock)))

        assert plain.scalar_one() == time.replace(microsecond=0)
        assert ours.scalar_one() == time
