"""Every statement on every dialect: run on two of them, compiled and parsed for two more."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlglot
from sqlalchemy import Dialect, Engine, Executable, false, literal, make_url, select
from sqlalchemy.exc import CompileError
from sqlglot import exp

from flask_powerauth_telemetry.cli.counts import (
    pass_statement,
    reference_statement,
    windows_statement,
)
from flask_powerauth_telemetry.dashboard.parts import names_statement
from flask_powerauth_telemetry.database.dialects import DIALECTS
from flask_powerauth_telemetry.database.tables import PowerAuthTables, WallClock, integration_table
from flask_powerauth_telemetry.reports.across_applications import kind_by_application
from flask_powerauth_telemetry.reports.activity import WholeDays, WholeSlots, profile_statement
from flask_powerauth_telemetry.reports.audit_by_day import in_days
from flask_powerauth_telemetry.reports.clock_hours import WallSlots
from flask_powerauth_telemetry.reports.committed_users import standing_of
from flask_powerauth_telemetry.reports.kinds import growths_statement
from flask_powerauth_telemetry.reports.new_users import new_users_statement
from flask_powerauth_telemetry.reports.users_by_status import statuses_statement
from flask_powerauth_telemetry.reports.verifications import signatures_statement

GRAMMARS = {
    "postgresql+psycopg": "postgres",
    "oracle+oracledb": "oracle",
    "mssql+pyodbc": "tsql",
    "sqlite": "sqlite",
    "impala": "spark",
}
ELSEWHERE = {"clickhousedb"}
"""What comes with a driver of its own, and is compiled in tests/engines."""
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def dialect_of(driver: str) -> Dialect:
    if driver == "impala":
        pytest.importorskip("impala.sqlalchemy", reason="the extra spark is not installed")
    return make_url(f"{driver}://").get_dialect()()


def compiled(statement: Executable, driver: str) -> str:
    compiled = statement.compile(  # type: ignore[attr-defined]
        dialect=dialect_of(driver),
        compile_kwargs={"render_postcompile": True},  # the values of an IN, as when it is run
    )
    return str(compiled)


def edges(zone: str) -> list[datetime]:
    clock = ZoneInfo(zone)
    return [(NOW - days * DAY).astimezone(clock).replace(tzinfo=None) for days in range(366)]


def statements() -> dict[str, Executable]:
    tables = PowerAuthTables("powerauth")
    application = tables.pa_application.c
    integration = integration_table(tables).c
    year = edges("UTC")
    ten = range(1, 11)
    by_application = kind_by_application(tables.pa_activation, ten)
    slots = WallSlots(origin=year[365], seconds=1800, hours={})
    return {
        "names": names_statement(tables),
        "look-up": select(application.id, application.name).where(application.name == "retail"),
        "pass": profile_statement(tables, 1, edges("UTC")),
        "pass across clock changes": profile_statement(tables, 1, edges("Europe/Prague")),
        "integrations": select(
            integration.id, integration.name, integration.client_token, integration.client_secret
        ),
        "access": select(application.id, application.name).where(false()),
        "pass without an end": pass_statement(
            tables, 1, edges("UTC")[30], edges("UTC")[0], edges("UTC")[0] + DAY
        ),
        "the reference's": reference_statement(tables, "retail", edges("UTC")[30], edges("UTC")[0]),
        "windows": windows_statement(
            tables, 1, [(edges(zone)[30], edges(zone)[0]) for zone in ("UTC", "Europe/Prague")]
        ),
        "sets of applications": growths_statement(tables, ten, by_application, edges("UTC")),
        "standings": growths_statement(
            tables, [1], standing_of(tables.pa_activation, [1]), edges("Europe/Prague")
        ),
        "statuses": statuses_statement(tables, 1),
        "signatures of a month": signatures_statement(
            tables, 1, year[:31], slots, ("signature_type",), in_days
        ),
        "new users": new_users_statement(tables, 1, edges("UTC")),
        "new users across clock changes": new_users_statement(tables, 1, edges("Europe/Prague")),
        "signatures": signatures_statement(
            tables, 1, year[:31], slots, ("signature_type", "signature_algorithm")
        ),
    }


@pytest.mark.parametrize("name", statements())
@pytest.mark.parametrize("driver", GRAMMARS)
def test_statement_compiles_to_a_select_of_the_dialect(driver: str, name: str) -> None:
    sql = compiled(statements()[name], driver)

    # The placeholders of drivers are no part of a grammar.
    parsed = sqlglot.parse_one(re.sub(r"%\(\w+\)s", "NULL", sql), read=GRAMMARS[driver])
    assert isinstance(parsed, exp.Select)
    assert {table.name for table in parsed.find_all(exp.Table)} <= {
        "pa_application",
        "pa_activation",
        "pa_integration",
        "newest_uses",
        "uses",
        "steps",
        "growths",
        "pa_activation_history",
        "pa_signature_audit",
        "newcomers",
        "verified",
        "by_user",
        "placed",
    }
    assert not parsed.find(exp.Command, exp.Insert, exp.Update, exp.Delete, exp.Create)


def test_every_supported_dialect_is_compiled_here() -> None:
    here = {driver.partition("+")[0] for driver in GRAMMARS}
    assert here | ELSEWHERE == DIALECTS.keys()


def test_unsupported_dialect_does_not_compile() -> None:
    with pytest.raises(CompileError):
        compiled(statements()["pass"], "mysql+pymysql")


@pytest.mark.parametrize("driver", ["oracle+oracledb", "mssql+pyodbc"])
def test_truth_is_compared_where_a_column_is_no_condition(driver: str) -> None:
    assert "WHEN (powerauth.pa_signature_audit.valid = 1)" in compiled(
        statements()["signatures"], driver
    )


def test_division_on_sql_server_is_one_of_integers() -> None:
    assert "/ (CAST(86400 AS BIGINT) * 1000000)" in compiled(statements()["pass"], "mssql+pyodbc")


@pytest.mark.parametrize(
    ("driver", "kind"),
    [
        ("postgresql+psycopg", "TIMESTAMP WITHOUT TIME ZONE"),
        ("oracle+oracledb", "TIMESTAMP"),
        ("mssql+pyodbc", "DATETIME2(6)"),
    ],
)
def test_times_have_the_type_that_keeps_microseconds(driver: str, kind: str) -> None:
    """Oracle's and SQL Server's drivers would cut or round what is bound as a plain datetime."""
    assert WallClock.compile(dialect=dialect_of(driver)) == kind


AGES_AND_DAYS = [
    (timedelta(0), 0),
    (-TICK, 0),
    (DAY - TICK, 0),
    (DAY, 1),
    (DAY + TICK, 1),
    (365 * DAY - TICK, 364),
    (365 * DAY, 365),
    (-DAY, -1),
    (-2 * DAY + TICK, -1),
]


def test_whole_days_are_exact(database: Engine) -> None:
    with database.connect() as connection:
        for microsecond in (0, 1, 499_999, 999_500, 999_999):
            end = datetime(2026, 3, 29, 2, 30, 59, microsecond)
            for age, days in AGES_AND_DAYS:
                times = (literal(time, WallClock) for time in (end, end - age))
                assert connection.scalar(select(WholeDays(*times))) == days, (end, age)


@pytest.mark.parametrize("seconds", [900, 1800, 3600])
def test_whole_slots_are_exact(database: Engine, seconds: int) -> None:
    origin, slot = datetime(2026, 3, 29), timedelta(seconds=seconds)
    with database.connect() as connection:
        for number in (0, 1, 2, 8_759, 35_039, 40_000):
            for time, expected in (
                (origin + number * slot, number),
                (origin + number * slot + TICK, number),
                (origin + (number + 1) * slot - TICK, number),
            ):
                end, start = (literal(each, WallClock) for each in (time, origin))
                counted = select(WholeSlots(end, start, seconds))
                assert connection.scalar(counted) == expected


def test_whole_days_reads_times_that_sqlite_keeps_without_a_fraction(sqlite: Engine) -> None:
    days = WholeDays(literal(datetime(2026, 1, 3), WallClock), literal("2026-01-01 00:00:00"))
    with sqlite.connect() as connection:
        assert connection.scalar(select(days)) == 2
