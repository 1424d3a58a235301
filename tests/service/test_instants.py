"""A column's time back to an instant: every zone, both databases, and what no clock ever showed."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, create_engine, func, select, text

from flask_powerauth_telemetry import ReportContext
from flask_powerauth_telemetry.database.connection import Database, always
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.engine import create_read_only_engine
from flask_powerauth_telemetry.database.tables import PowerAuthTables, WallClock
from tests.database.test_statements import dialect_of
from tests.support import powerauth
from tests.support.service import NOW

MINUTE = timedelta(minutes=1)
CHANGES = [
    ("Europe/Prague", datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    (
        "America/New_York",
        datetime(2026, 3, 8, 7, tzinfo=UTC),
        datetime(2026, 11, 1, 6, tzinfo=UTC),
    ),
    (
        "Australia/Lord_Howe",  # half an hour
        datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
        datetime(2026, 4, 4, 15, tzinfo=UTC),
    ),
]
"""A zone, when its clock is put on, and when it is put back."""
ZONES = ["UTC", "Asia/Kolkata", *(zone for zone, _, _ in CHANGES)]


def context_of(
    engine: Engine, zone: tzinfo, names: dict[str, str] | None = None, *, ours: bool = False
) -> ReportContext:
    database = Database(
        engine=always(engine),
        timezone=zone,
        tables=PowerAuthTables(names=names),
        statement_timeout=20,
        ours=ours,
    )
    return ReportContext(database, NOW)


def anywhere(zone: str) -> ReportContext:
    """A context that is asked for no row."""
    return context_of(create_engine("sqlite://"), ZoneInfo(zone))


def written(engine: Engine, instants: list[datetime], zone: tzinfo) -> None:
    """One activation for each instant, which is its id, as PowerAuth in a zone would write it."""
    powerauth.create_schema(engine)
    powerauth.add_applications(engine, ["retail"])
    rows = [
        powerauth.Activation(f"{one.timestamp():.6f}", 1, "anna", powerauth.wall_clock(one, zone))
        for one in instants
    ]
    powerauth.add_activations(engine, rows)


@pytest.mark.parametrize("zone", ZONES)
def test_what_was_written_at_an_instant_gives_it_back(database: Engine, zone: str) -> None:
    ticks = timedelta(hours=19, minutes=7, microseconds=1)
    written(database, [NOW - number * ticks for number in range(500)], ZoneInfo(zone))

    with context_of(database, ZoneInfo(zone)) as context:
        column = context.tables.pa_activation.c
        rows = context.connection.execute(
            select(column.activation_id, column.timestamp_last_used)
        ).all()
        newest = context.connection.scalar(select(func.max(column.timestamp_last_used)))
        found = {key: context.instant(time) for key, time in rows}
        assert newest
        assert context.instant(newest) == NOW

    assert len(found) == 500
    assert all(f"{time.timestamp():.6f}" == key for key, time in found.items())
    assert {time.tzinfo for time in found.values()} == {UTC}


@pytest.mark.parametrize("zone", ZONES)
def test_instant_is_the_reverse_of_database_time(zone: str) -> None:
    context = anywhere(zone)
    times = [datetime(2026, 1, 1, tzinfo=UTC) + number * 30 * MINUTE for number in range(17_520)]

    assert [time for time in times if context.instant(context.database_time(time)) != time] == []


@pytest.mark.parametrize(("zone", "_", "back"), CHANGES)
def test_time_shown_twice_is_the_earlier_unless_folded(
    database: Engine, zone: str, _: datetime, back: datetime
) -> None:
    skipped = timedelta(minutes=30 if "Lord_Howe" in zone else 60)
    twice = [back + number * MINUTE for number in (0, 1, 29)]
    written(database, twice, ZoneInfo(zone))

    with context_of(database, ZoneInfo(zone)) as context:
        time = context.tables.pa_activation.c.timestamp_last_used
        shown = context.connection.scalars(select(time).order_by(time)).all()

    assert [context.instant(one) for one in shown] == [one - skipped for one in twice]
    assert [context.instant(one.replace(fold=1)) for one in shown] == twice


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(("zone", "on", "_"), CHANGES)
def test_time_that_the_clock_skips_is_refused(
    zone: str, on: datetime, _: datetime, fold: int
) -> None:
    context = anywhere(zone)
    last = context.database_time(on - timedelta(microseconds=1))
    first = context.database_time(on)
    skipped = last + timedelta(microseconds=1)
    assert skipped < first

    while skipped < first:
        with pytest.raises(ValueError, match=f"{skipped} is a time that the clock of {zone} never"):
            context.instant(skipped.replace(fold=fold))
        skipped += MINUTE

    assert context.instant(first) == on


@pytest.mark.parametrize("time", [datetime.min, datetime.max])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_time_that_is_no_instant_is_refused_or_right(zone: str, time: datetime) -> None:
    context = anywhere(zone)
    try:
        instant = context.instant(time)
    except ValueError:
        assert (zone, time) in {
            ("Asia/Tokyo", datetime.min),
            ("America/New_York", datetime.max),
        }
    else:
        assert context.database_time(instant) == time


@pytest.mark.parametrize("value", [None, "2026-11-25 12:00:00", 1_795_608_000, date(2026, 11, 25)])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="instant takes a datetime, as a column"):
        anywhere("UTC").instant(value)


@pytest.mark.parametrize("zone", ZONES)
def test_column_with_a_zone_gives_its_instant(postgresql: Engine, zone: str) -> None:
    """Also in the hour that the clock shows twice: nothing is lost there."""
    instants = [back + number * MINUTE for _, _, back in CHANGES for number in (-1, 0, 1)]
    written(postgresql, instants, UTC)
    with postgresql.begin() as connection:
        connection.execute(
            text(
                "CREATE VIEW zoned AS SELECT activation_id,"
                " timestamp_last_used AT TIME ZONE 'UTC' AS timestamp_last_used FROM pa_activation"
            )
        )
    engine = create_read_only_engine(postgresql.url, {})

    with context_of(engine, ZoneInfo(zone), {"pa_activation": "zoned"}, ours=True) as context:
        time = context.tables.pa_activation.c.timestamp_last_used
        found = [context.instant(one) for one in context.connection.scalars(select(time))]
    engine.dispose()

    assert sorted(found) == sorted(instants)


@pytest.mark.parametrize(
    ("driver", "given"),
    [
        ("sqlite", "2026-11-25 12:00:00.000001"),
        ("postgresql+psycopg", datetime(2026, 11, 25, 12, 0, 0, 1)),
        ("oracle+oracledb", datetime(2026, 11, 25, 12, 0, 0, 1)),
        ("mssql+pyodbc", datetime(2026, 11, 25, 12, 0, 0, 1)),
    ],
)
def test_what_a_driver_gives_is_a_time_of_the_clock(driver: str, given: object) -> None:
    dialect = dialect_of(driver)
    process = WallClock.dialect_impl(dialect).result_processor(dialect, None)
    value: Any = process(given) if process else given

    assert anywhere("Europe/Prague").instant(value) == datetime(2026, 11, 25, 11, 0, 0, 1, UTC)


@pytest.mark.parametrize("zone", [None, UTC, ZoneInfo("Asia/Tokyo")])
def test_clickhouse_gives_a_naive_time_whatever_its_driver_is_told(zone: tzinfo | None) -> None:
    """Its columns keep the wall clock as if it were UTC; a zone beside it is the driver's."""
    kind: Any = dialect_named("clickhousedb").wall_clock
    shown = datetime(2026, 11, 25, 12, 0, 0, 1)
    given = shown if zone is None else shown.replace(tzinfo=UTC).astimezone(zone)

    assert kind.process_result_value(given, None) == shown
    assert kind.process_result_value(None, None) is None


def test_context_without_a_history_has_no_connection_to_it() -> None:
    with pytest.raises(ValueError, match="there is no history"):
        anywhere("UTC").history_connection().__enter__()
