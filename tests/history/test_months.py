"""Months and days out of the history: against counts by hand over all uses."""

import itertools
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, NullPool, create_engine
from werkzeug.http import http_date

from flask_powerauth_telemetry.history.mau_history import MauHistory
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.history.users_in_month import Period, UsersInMonth
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import ActivityProfile
from flask_powerauth_telemetry.testing import NOW as CONTRACT_NOW
from flask_powerauth_telemetry.testing import ContractDatabase, ReportProviderContract
from tests.support import powerauth
from tests.support.past import (
    DAY,
    INSTANCE,
    RETAIL,
    TICK,
    days_by_hand,
    local_midnight,
    month_by_hand,
    random_past,
    record,
    recording,
)
from tests.support.recorded import Site, run
from tests.support.service import ask, create_app, error, recorded_statements, url_of

MONTH, DAYS = "USERS_IN_MONTH", "MAU_HISTORY"
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
NEW_YORK = "America/New_York"
ZONES = ("UTC", "Europe/Prague", "America/New_York", "Australia/Lord_Howe")
START, END = datetime(2023, 10, 1, tzinfo=UTC), datetime(2025, 1, 20, 12, tzinfo=UTC)
PERIODS = [
    (date(2024, 2, 20), date(2024, 4, 15), 30),
    (date(2024, 10, 20), date(2025, 1, 20), 1),
    (date(2024, 12, 31), date(2024, 12, 31), 365),
    (date(2023, 12, 1), date(2023, 12, 10), 7),
]
YEAR = [(2023, 12), *((2024, month) for month in range(1, 13))]


def reader(history: Engine, zone: str = "UTC", now: datetime = END, **keys: Any) -> FlaskClient:
    settings = {
        "SOURCE": "snapshot",
        "BINDS": {"history": url_of(history)},
        "REPORTS": [MONTH, DAYS],
        "REPORT_TIMEZONE": zone,
        "CACHE_SECONDS": 0,
    }
    return create_app(clock=lambda: now, **{**settings, **keys}).test_client()


def month_of(client: FlaskClient, month: str, application: str = "retail") -> dict[str, Any]:
    response = ask(client, MONTH, {"application": application, "month": month})
    assert response.status_code == 200, response.get_data(as_text=True)
    data: dict[str, Any] = response.get_json()["responseObject"]["reportData"]
    return data


def days_of(client: FlaskClient, first: date, last: date, **parameters: Any) -> dict[str, Any]:
    given = {"application": "retail", "from": str(first), "to": str(last), **parameters}
    response = ask(client, DAYS, given)
    assert response.status_code == 200, response.get_data(as_text=True)
    data: dict[str, Any] = response.get_json()["responseObject"]["reportData"]
    return data


def passes(seed: int, zone: tzinfo) -> list[datetime]:
    """Passes around the ends of months: some in time, some too late, some not at all."""
    source = random.Random(seed)
    found = []
    day = date(2023, 12, 20)
    while day < END.date():
        midnight = local_midnight(day, zone)
        if 5 < day.day < 26 and day.day % 7:
            day += DAY
            continue
        if source.random() < 0.7:
            found.append(midnight + source.choice((0, 1, 20, 299, 300)) * SECOND)
        if source.random() < 0.3:
            found.append(midnight + source.uniform(301, 80_000) * SECOND)
        day += source.choice((1, 1, 1, 3)) * DAY
    return sorted(found)


@pytest.mark.parametrize("zone", ZONES)
def test_reports_are_what_counting_by_hand_says(database: Engine, zone: str) -> None:
    past = random_past(3, START, END, users=60)
    rows = passes(len(zone), ZoneInfo(zone))
    record(database, map(past.profile, rows))
    client = reader(database, zone)

    months = [month_of(client, f"{year}-{month:02}") for year, month in YEAR]
    days = {period: days_of(client, *period[:2], days=period[2]) for period in PERIODS}

    assert months == [
        month_by_hand(past, rows, year, month, ZoneInfo(zone)) for year, month in YEAR
    ]
    assert {month["state"] for month in months} == {"recorded", "bounded"}
    for month in months:
        if not month["complete"]:
            start, end = (datetime.fromisoformat(month[key]) for key in ("from", "to"))
            assert month["lowerBound"] <= past.active(start, end) <= month["upperBound"]
    for (first, last, window), found in days.items():
        assert found == days_by_hand(past, rows, first, last, ZoneInfo(zone), window)


@pytest.mark.parametrize(
    ("zone", "month", "hours"),
    [
        ("UTC", "2024-03", 0),
        ("Europe/Prague", "2024-02", 0),
        ("Europe/Prague", "2024-03", -1),
        ("Europe/Prague", "2024-10", 1),
        ("America/New_York", "2024-11", 1),
        ("Australia/Lord_Howe", "2024-04", 0.5),
        ("Australia/Lord_Howe", "2024-10", -0.5),
        ("America/Santiago", "2024-09", -1),  # changed at midnight
        ("America/Havana", "2024-11", 1),
    ],
)
def test_clock_changes_are_told(sqlite: Engine, zone: str, month: str, hours: float) -> None:
    record(sqlite, [ActivityProfile(END, (0,) * 365)])

    data = month_of(reader(sqlite, zone), month)

    assert data["hoursLeftOut"] == hours
    start, end = (datetime.fromisoformat(data[key]) for key in ("from", "to"))
    assert end.time() == datetime.min.time()
    assert (end.astimezone(UTC) - start.astimezone(UTC)).seconds == 0
    assert start.day == 1 or hours < 0


def test_each_bound_is_counted_by_whole_days_and_is_true() -> None:
    source = random.Random(11)
    past = random_past(7, START, END, users=80)
    for _ in range(150):
        end = START + timedelta(days=source.randint(40, 400))
        period = Period(end - source.choice((28, 30, 31)) * DAY, end)
        true = past.active(period.start, period.end)
        row = end + source.choice(
            (
                timedelta(days=source.randint(-32, 40)),
                timedelta(seconds=source.uniform(-3_000_000, 30_000_000)),
                source.choice((-TICK, TICK)),
            )
        )
        profile = past.profile(row)
        lower, upper = period.lower_bound([profile]), period.upper_bound([profile])
        assert lower is None or lower <= true
        assert upper is None or upper >= true
        assert (upper is None) == (row < end or row - period.start > 365 * DAY)
        assert (lower is None) == (row - period.start < DAY or row - end > 365 * DAY)


def test_row_at_the_end_of_a_month_bounds_it_from_both_sides() -> None:
    past = random_past(7, START, END, users=80)
    end = START + 100 * DAY
    period = Period(end - 30 * DAY, end)

    profiles = [past.profile(end)]

    true = past.active(period.start, period.end)
    assert period.lower_bound(profiles) == period.upper_bound(profiles) == true > 0


def test_answer_of_a_month_is_dated_by_its_row(sqlite: Engine) -> None:
    past = random_past(3, START, END, users=20)
    end = datetime(2024, 3, 1, tzinfo=UTC)
    record(sqlite, map(past.profile, [end - DAY, end + 3 * SECOND, end + DAY]))

    response = ask(reader(sqlite), MONTH, {"application": "retail", "month": "2024-02"})

    assert response.headers["Last-Modified"] == http_date(end + 3 * SECOND)
    assert response.headers["Age"] == str(int((END - end).total_seconds()) - 3)
    assert response.get_json() == {
        "status": "OK",
        "responseObject": {
            "name": MONTH,
            "reportData": {
                "application": "retail",
                "month": "2024-02",
                "users": past.active(end - 29 * DAY + 3 * SECOND, end + 3 * SECOND),
                "from": "2024-02-01T00:00:00+00:00",
                "to": "2024-03-01T00:00:00+00:00",
                "complete": True,
                "state": "recorded",
                "asOf": "2024-03-01T00:00:03+00:00",
                "secondsLate": 3.0,
                "hoursLeftOut": 0.0,
                "lowerBound": None,
                "upperBound": None,
            },
        },
    }


@pytest.mark.parametrize(
    ("late", "complete"),
    [
        (-300 * SECOND, True),
        (-300 * SECOND - TICK, False),
        (300 * SECOND, True),
        (300 * SECOND + TICK, False),
    ],
)
def test_pass_within_five_minutes_gives_the_number(
    sqlite: Engine, late: timedelta, complete: bool
) -> None:
    end = datetime(2024, 3, 1, tzinfo=UTC)
    record(sqlite, [ActivityProfile(end + late, tuple(range(1, 366)))])

    data = month_of(reader(sqlite), "2024-02")

    assert data["complete"] is complete
    assert data["secondsLate"] == late.total_seconds()
    assert data["users"] == (29 if complete else None)
    assert (data["lowerBound"] is None) is complete


def test_nearest_row_gives_the_number(sqlite: Engine) -> None:
    end = datetime(2024, 3, 1, tzinfo=UTC)
    rows = [(end - 240 * SECOND - HOUR, 1), (end - 200 * SECOND, 2), (end + 100 * SECOND, 3)]
    # Half an hour away is another slot.
    rows.append((end + 31 * MINUTE, 4))
    for as_of, users in rows:
        slot_of = ActivityProfile(as_of, (users,) * 365)
        record(sqlite, [slot_of], application=Application(users, "retail"))

    assert month_of(reader(sqlite), "2024-02")["users"] == 3


def test_row_of_the_last_tick_gives_the_number(sqlite: Engine) -> None:
    end = datetime(2024, 3, 1, tzinfo=UTC)
    record(sqlite, [ActivityProfile(end - TICK, (7,) * 365)])

    data = month_of(reader(sqlite), "2024-02")

    assert (data["users"], data["secondsLate"]) == (7, -1e-6)


def test_number_of_a_month_stays_when_another_application_takes_the_name(sqlite: Engine) -> None:
    end = datetime(2024, 3, 1, tzinfo=UTC)
    record(sqlite, [ActivityProfile(end - MINUTE, (7,) * 365)])
    later = [ActivityProfile(end + DAY, (5,) * 365)]
    record(sqlite, later, application=Application(9, "retail"))

    data = month_of(reader(sqlite), "2024-02")

    assert (data["state"], data["users"]) == ("recorded", 7)


def test_month_without_an_end_that_was_recorded_near_it_is_unknown(sqlite: Engine) -> None:
    record(sqlite, [ActivityProfile(END, (5,) * 365)])
    client = reader(sqlite)

    states = {month: month_of(client, month) for month in ("2024-01", "2024-02", "2022-05")}

    assert [(data["state"], data["upperBound"]) for data in states.values()] == [
        ("bounded", None),  # the row is 385 days after its start, and 355 after its end
        ("bounded", 5),
        ("unknown", None),
    ]
    assert states["2022-05"] == {
        **states["2022-05"],
        "users": None,
        "complete": False,
        "asOf": "2025-01-20T12:00:00+00:00",
        "lowerBound": None,
        "upperBound": None,
    }


def test_bounds_that_contradict_each_other_are_none(sqlite: Engine) -> None:
    """Five users were seen shortly before the end, and three by a replica that was behind after."""
    end = datetime(2024, 3, 1, tzinfo=UTC)
    record(
        sqlite, [ActivityProfile(end - HOUR, (5,) * 365), ActivityProfile(end + HOUR, (3,) * 365)]
    )

    data = month_of(reader(sqlite), "2024-02")

    assert (data["lowerBound"], data["upperBound"], data["state"]) == (None, None, "unknown")


def test_month_that_is_not_over_has_a_lower_bound(sqlite: Engine) -> None:
    past = random_past(3, START, END, users=60)
    record(sqlite, map(past.profile, [END - DAY, END - HOUR]))

    data = month_of(reader(sqlite), "2025-01")

    start = datetime(2025, 1, 1, tzinfo=UTC)
    assert (data["state"], data["complete"], data["users"]) == ("running", False, None)
    assert data["to"] == "2025-02-01T00:00:00+00:00"
    assert data["upperBound"] is None
    # The last row of 20 January at 11:00 reaches back 19 days, the one before 18.
    reaches = [END - HOUR - 19 * DAY, END - DAY - 19 * DAY]
    assert reaches[0] >= start
    assert data["lowerBound"] == max(
        past.active(END - HOUR - 19 * DAY, END - HOUR), past.active(END - DAY - 18 * DAY, END - DAY)
    )


def test_rows_of_a_clock_that_was_ahead_are_left_out(sqlite: Engine) -> None:
    rows = {END: 9, END + 5 * MINUTE: 2, END + 5 * MINUTE + TICK: 1}
    store = HistoryStore(INSTANCE)
    store.create(sqlite)
    with sqlite.begin() as connection:
        for as_of, users in rows.items():
            one = recording(ActivityProfile(as_of, (users,) * 365))
            store.add(connection, replace(one, slot=as_of))
    day = END.date()

    bounds = [month_of(reader(sqlite), month)["lowerBound"] for month in ("2024-12", "2025-01")]
    days = days_of(reader(sqlite), day, day)

    assert month_of(reader(sqlite), "2024-12")["upperBound"] == 2
    assert bounds == [0, 9]
    assert days["usersByDay"] == {str(day): 2}


def test_bounds_come_from_48_rows_on_each_side(sqlite: Engine) -> None:
    end = datetime(2024, 3, 1, tzinfo=UTC)
    near = [HOUR * number for number in range(1, 49)]
    best = {-49 * HOUR: 50, 49 * HOUR: 1}
    record(sqlite, [ActivityProfile(end + row, (7,) * 365) for row in near])
    record(sqlite, [ActivityProfile(end - row, (5,) * 365) for row in near])
    record(sqlite, [ActivityProfile(end + row, (users,) * 365) for row, users in best.items()])

    response = ask(reader(sqlite), MONTH, {"application": "retail", "month": "2024-02"})

    data = response.get_json()["responseObject"]["reportData"]
    assert (data["lowerBound"], data["upperBound"]) == (5, 7)
    assert response.headers["Last-Modified"] == http_date(end + 48 * HOUR)


def test_end_of_a_month_that_is_still_ahead_is_no_number(sqlite: Engine) -> None:
    end = datetime(2025, 2, 1, tzinfo=UTC)
    record(sqlite, [ActivityProfile(end - 200 * SECOND, (5,) * 365)])

    states = [month_of(reader(sqlite, now=now), "2025-01")["state"] for now in (end - SECOND, end)]

    assert states == ["running", "recorded"]


def test_correction_is_read_in_place_of_its_row(database: Engine) -> None:
    end = datetime(2024, 3, 1, tzinfo=UTC)
    record(database, [ActivityProfile(end + SECOND, (5,) * 365)])
    record(database, [ActivityProfile(end + MINUTE, (7,) * 365)], reason="a replica was behind")
    client = reader(database)

    data = month_of(client, "2024-02")
    days = days_of(client, date(2024, 3, 1), date(2024, 3, 1))

    assert (data["users"], data["secondsLate"]) == (7, 60)
    assert days["usersByDay"] == {"2024-03-01": 7}

    record(database, [ActivityProfile(end + 20 * MINUTE, (9,) * 365)], reason="it still was")
    data = month_of(reader(database), "2024-02")
    assert (data["users"], data["upperBound"], data["secondsLate"]) == (None, 9, 1200)


def test_hour_that_powerauth_shows_twice_gives_no_upper_bound(small_site: Site) -> None:
    """At 01:00 EST a use of 01:30 EDT looks as if it were still to come, so a pass misses it."""
    zone = "America/New_York"
    end = datetime(2026, 11, 1, 4, tzinfo=UTC)
    naive = end.replace(tzinfo=None) - 4 * HOUR
    powerauth.add_activations(
        small_site.powerauth,
        [
            powerauth.Activation("a", 1, "october", naive - 3 * DAY),
            powerauth.Activation("b", 1, "both", naive + 90 * MINUTE),
        ],
    )
    recorder = small_site.recorder(DATABASE_TIMEZONE=zone)
    for hours in (2, 3):
        small_site.clock.now = end + hours * HOUR
        assert run(recorder).exit_code == 0
    small_site.clock.now += DAY

    at_most = []
    for settings in ({"DATABASE_TIMEZONE": zone}, {"DATABASE_TIMEZONE": "UTC"}):
        client = reader(small_site.history, zone, small_site.clock.now, **settings)
        at_most.append(month_of(client, "2026-10")["upperBound"])

    assert at_most == [2, 1]


def test_month_that_ends_in_the_hour_that_powerauth_shows_twice_has_bounds(
    small_site: Site,
) -> None:
    """Midnight in Denver is 01:00 EST, which leaves out a use of 01:30 EDT."""
    end = datetime(2026, 11, 1, 6, tzinfo=UTC)
    used = powerauth.Activation("a", 1, "late", end.replace(tzinfo=None) - 4.5 * HOUR)
    powerauth.add_activations(small_site.powerauth, [used])
    zones = {"DATABASE_TIMEZONE": "America/New_York", "REPORT_TIMEZONE": "America/Denver"}
    small_site.clock.now = end
    assert run(small_site.recorder(**zones)).exit_code == 0
    small_site.clock.now += 2 * HOUR
    assert run(small_site.recorder(**zones)).exit_code == 0
    keys: dict[str, Any] = {**zones, "REPORTS": [MONTH, "USERS_BY_MONTH"]}
    client = reader(small_site.history, now=small_site.clock.now, **keys)

    known = month_of(client, "2026-10")

    facts = ("users", "state", "lowerBound", "upperBound")
    assert [known[fact] for fact in facts] == [None, "bounded", 0, 1]
    answer = ask(client, "USERS_BY_MONTH", {"application": "retail"}).get_json()
    in_year = answer["responseObject"]["reportData"]["months"][-2]
    assert {**in_year, "application": "retail"} == known


@pytest.mark.parametrize(
    # The hour of UTC that is shown again as the next one; whether November has a number.
    ("clock", "zone", "repeated", "is_known"),
    [
        (NEW_YORK, "America/Denver", 5, True),
        (NEW_YORK, NEW_YORK, 5, True),
        (NEW_YORK, "America/Chicago", 5, False),
        ("America/Anchorage", "Pacific/Marquesas", 9, False),
        ("America/Havana", "America/Havana", 4, False),
        ("UTC", "America/Denver", 5, True),
    ],
)
def test_use_in_the_hour_that_powerauth_shows_twice_breaks_no_bound(
    small_site: Site, clock: str, zone: str, repeated: int, is_known: bool
) -> None:
    first = datetime(2026, 11, 1, repeated, tzinfo=UTC)
    uses = [first + quarter * 15 * MINUTE for quarter in range(-3, 11, 2)]
    powerauth.add_activations(
        small_site.powerauth,
        [
            powerauth.Activation(
                str(one), 1, str(one), used.astimezone(ZoneInfo(clock)).replace(tzinfo=None)
            )
            for one, used in enumerate(uses)
        ],
    )
    zones = {"DATABASE_TIMEZONE": clock, "REPORT_TIMEZONE": zone}
    keys: dict[str, Any] = {**zones, "REPORTS": [MONTH, "USERS_BY_MONTH"]}
    found: set[str] = set()
    for days, minutes in itertools.product((1, 30), (-30, 0, 30, 60, 120)):
        small_site.clock.now = first + days * DAY + minutes * MINUTE
        assert run(small_site.recorder(**zones)).exit_code == 0
        client = reader(small_site.history, now=small_site.clock.now, **keys)
        year = ask(client, "USERS_BY_MONTH", {"application": "retail"}).get_json()
        months = {one["month"]: one for one in year["responseObject"]["reportData"]["months"]}
        for month in (10, 11):
            known = month_of(client, f"2026-{month}")
            assert known == {**months[f"2026-{month}"], "application": "retail"}
            start, end = (datetime.fromisoformat(known[edge]) for edge in ("from", "to"))
            true = sum(start <= used < end for used in uses)
            assert known["users"] in (None, true)
            assert (known["lowerBound"] or 0) <= true
            assert true <= (len(uses) if known["upperBound"] is None else known["upperBound"])
            found |= {fact for fact, value in known.items() if value is not None}
    assert found >= {"lowerBound", "upperBound"}
    assert ("users" in found) == is_known


@pytest.mark.parametrize(("main", "own"), [("UTC", NEW_YORK), (NEW_YORK, None)])
def test_hour_that_is_shown_twice_is_that_of_the_recorded_database(
    small_site: Site, main: str, own: str | None
) -> None:
    """Not of the main database, if a bind is recorded; nor of the history, which is in UTC."""
    small_site.clock.now = datetime(2026, 11, 1, 6, tzinfo=UTC)
    binds = {
        "history": {"url": url_of(small_site.history), "timezone": "UTC"},
        "replica": {"url": url_of(small_site.powerauth), **({"timezone": own} if own else {})},
    }
    documented = dict.fromkeys(("CURRENT_MAU", "USERS_IN_PAST_DAYS"), "replica")
    zones = {"DATABASE_TIMEZONE": main, "REPORT_TIMEZONE": "America/Denver"}
    app = small_site.recorder(**zones, BINDS=binds, REPORT_BINDS=documented, REPORTS=[MONTH])
    assert run(app).exit_code == 0

    known = month_of(app.test_client(), "2026-10")

    assert (known["users"], known["state"]) == (None, "bounded")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"month": "2025-02"}, "The month 2025-02 has not begun"),
        *(
            (
                {"month": month},
                f"Invalid parameters of {MONTH}: month: Must be a month such as 2026-11.",
            )
            for month in (
                "2025-13",
                "2025-00",
                "2025-1",
                "25-01",
                "1999-12",
                "2025-01-01",
                202501,
                "\u0662025-01",
                " 2025-01",
                "2025-01\n",
            )
        ),
    ],
)
def test_senseless_month_is_refused(
    sqlite: Engine, parameters: dict[str, object], message: str
) -> None:
    record(sqlite, [ActivityProfile(END, (5,) * 365)])

    response = ask(reader(sqlite), MONTH, {"application": "retail", **parameters})

    assert (response.status_code, response.get_json()) == (
        400,
        error("ERROR_TELEMETRY", message, localized=True),
    )


@pytest.mark.parametrize(
    ("name", "asked"),
    [(MONTH, {"month": "2025-02"}), (DAYS, {"from": "2025-02-01", "to": "2025-02-01"})],
)
def test_month_and_day_begin_at_midnight_of_the_report_zone(
    sqlite: Engine, name: str, asked: dict[str, str]
) -> None:
    record(sqlite, [ActivityProfile(END, (5,) * 365)])
    begun = datetime(2025, 1, 31, 23, tzinfo=UTC)

    answers = [
        ask(reader(sqlite, "Europe/Prague", now), name, {"application": "retail"} | asked)
        for now in (begun - TICK, begun)
    ]

    assert [one.status_code for one in answers] == [400, 200]


@pytest.mark.parametrize("name", [MONTH, DAYS])
def test_unknown_application_is_told_from_nothing_recorded(database: Engine, name: str) -> None:
    parameters = {
        "application": "corporate",
        "month": "2024-02",
        "from": "2024-01-01",
        "to": "2024-01-02",
    }
    HistoryStore(INSTANCE).create(database)
    assert ask(reader(database), name, parameters).status_code == 503

    record(database, [ActivityProfile(END, (5,) * 365)])

    response = ask(reader(database), name, parameters)
    assert (response.status_code, response.get_json()) == (
        400,
        error("ERROR_TELEMETRY", "Unknown application: corporate", localized=True),
    )


@pytest.mark.parametrize("name", [MONTH, DAYS])
def test_store_that_is_not_there_is_not_available(sqlite: Engine, name: str) -> None:
    with sqlite.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE other (id INTEGER)")
    parameters = {
        "application": "retail",
        "month": "2024-02",
        "from": "2024-01-01",
        "to": "2024-01-02",
    }

    assert ask(reader(sqlite), name, parameters).status_code == 503


def test_row_of_midnight_is_of_the_day_that_begins(sqlite: Engine) -> None:
    midnight = datetime(2025, 1, 19, tzinfo=UTC)
    record(sqlite, [ActivityProfile(midnight - TICK, (1,) * 365)])
    record(sqlite, [ActivityProfile(midnight, (2,) * 365)], application=Application(3, "retail"))

    response = ask(
        reader(sqlite), DAYS, {"application": "retail", "from": "2025-01-18", "to": "2025-01-18"}
    )

    data = response.get_json()["responseObject"]["reportData"]
    assert data["usersByDay"] == {"2025-01-18": 1}
    assert response.headers["Last-Modified"] == http_date(midnight - TICK)


def test_days_of_a_month_are_those_of_current_mau_unless_asked_otherwise(sqlite: Engine) -> None:
    record(sqlite, [ActivityProfile(END - 2 * HOUR, tuple(range(1, 366)))])

    response = ask(
        reader(sqlite), DAYS, {"application": "retail", "from": "2025-01-19", "to": "2025-01-20"}
    )

    assert response.headers["Last-Modified"] == http_date(END - 2 * HOUR)
    assert response.headers["Age"] == "7200"
    assert response.get_json()["responseObject"]["reportData"] == {
        "application": "retail",
        "from": "2025-01-19",
        "to": "2025-01-20",
        "days": 30,
        "usersByDay": {"2025-01-20": 30},
        "missing": ["2025-01-19"],
        "average": 30.0,
        "maximum": 30,
    }


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (
            "2025-01-02",
            "2025-01-01",
            "to: Must be the day of from, or one of the 3659 days after it.",
        ),
        (
            "2014-12-31",
            "2025-01-07",
            "to: Must be the day of from, or one of the 3659 days after it.",
        ),
        ("2025-01-1", "2025-01-01", "from: Must be a day such as 2026-11-25."),
        ("20250101", "2025-01-01", "from: Must be a day such as 2026-11-25."),
        ("2025-01-01", "2025-02-29", "to: Must be a day such as 2026-11-25."),
        ("2025-01-01", 20250101, "to: Must be a day such as 2026-11-25."),
        ("2025-01-01", "2025-01-21", None),
    ],
)
def test_senseless_days_are_refused(
    sqlite: Engine, first: object, last: object, message: str | None
) -> None:
    record(sqlite, [ActivityProfile(END, (5,) * 365)])

    response = ask(reader(sqlite), DAYS, {"application": "retail", "from": first, "to": last})

    expected = (
        f"Invalid parameters of {DAYS}: {message}"
        if message
        else "The day 2025-01-21 has not begun"
    )
    assert (response.status_code, response.get_json()) == (
        400,
        error("ERROR_TELEMETRY", expected, localized=True),
    )


def test_ten_years_of_days_are_one_report(sqlite: Engine) -> None:
    rows = {number: END - number * DAY for number in range(0, 3_660, 20)}
    record(sqlite, [ActivityProfile(row, (number,)) for number, row in rows.items()])
    client = reader(sqlite)

    data = days_of(client, END.date() - 3_659 * DAY, END.date(), days=1)

    assert list(data["usersByDay"].values()) == sorted(rows, reverse=True)
    assert len(data["missing"]) == 3_660 - len(rows)


def test_reports_read_few_rows_by_an_index(database: Engine) -> None:
    end = datetime(2024, 3, 1, tzinfo=UTC)
    rows = [end + number * HOUR for number in range(-100, 100) if number != 0]
    record(database, [ActivityProfile(row, (1,) * 365) for row in rows])
    client = reader(database)

    with recorded_statements() as statements:
        month_of(client, "2024-02")
        days_of(client, date(2024, 2, 25), date(2024, 3, 5))

    reads = [one for one in statements if "FROM telemetry_recording" in one]
    # Of the month: before and after. Of ten days: whether there is any, each day, and the one
    # before them.
    assert len(reads) == 2 + 12
    assert all("LIMIT" in one for one in reads)
    if database.dialect.name == "sqlite":
        for one in set(reads):
            with database.connect() as connection:
                values = ("x",) * one.count("?")
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", values).all()
            detail = [row[3] for row in plan]
            assert any("USING INDEX telemetry_recording_newest" in step for step in detail)
            assert not any("SCAN" in step and "CORRELATED" not in step for step in detail), detail


class OnRecordings(ReportProviderContract):
    @pytest.fixture
    def database(self, tmp_path: Path) -> ContractDatabase:
        """The tables that reports may read, and a history beside them."""
        path = tmp_path / "powerauth.sqlite"
        database = ContractDatabase(path)
        rows = [ActivityProfile(CONTRACT_NOW - number * DAY, (3,) * 365) for number in range(20)]
        for application in (RETAIL, Application(2, "corporate")):
            record(
                create_engine(f"sqlite:///{path}", poolclass=NullPool),
                rows,
                application=application,
            )
        return database


class TestUsersInMonth(OnRecordings):
    provider = UsersInMonth(HistoryStore(INSTANCE), ZoneInfo("Europe/Prague"))
    example: Mapping[str, Any] = {"month": "2026-05"}


class TestMauHistory(OnRecordings):
    provider = MauHistory(HistoryStore(INSTANCE), ZoneInfo("Europe/Prague"))
    example: Mapping[str, Any] = {"from": "2026-05-01", "to": "2026-06-15"}


def test_month_that_ends_or_begins_now(sqlite: Engine) -> None:
    now = datetime(2025, 2, 1, tzinfo=UTC)
    record(sqlite, [ActivityProfile(now - DAY, (5,) * 365)])

    client = reader(sqlite, now=now)
    early = ask(
        reader(sqlite, now=now - TICK), MONTH, {"application": "retail", "month": "2025-02"}
    )

    assert [month_of(client, f"2025-{month}")["state"] for month in ("01", "02")] == [
        "bounded",
        "running",
    ]
    assert early.status_code == 400
