"""SIGNATURES_IN_MONTH counts the verifications of a calendar month, in whatever zones."""

import random
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from flask_powerauth_telemetry.exceptions import TooSlow
from flask_powerauth_telemetry.history.signatures_in_month import SignaturesInMonth
from flask_powerauth_telemetry.reports import audit_by_day
from flask_powerauth_telemetry.reports.verifications import Audit
from tests.support import audit, powerauth
from tests.support.audit import DAY, HOUR, TICK, Verification
from tests.support.powerauth import Activation, wall_clock
from tests.support.recorded import Clock
from tests.support.service import ask, create_app, error, recorded_statements

REPORT = SignaturesInMonth.name
ENDS = re.compile(r"(min|max)\(")
YEAR = datetime(2026, 1, 1)
NOW = datetime(2026, 11, 25, 12, 0, 0, 1, tzinfo=UTC)
CASES = [
    ("UTC", "UTC", (2026, 10)),
    ("UTC", "Europe/Prague", (2026, 10)),
    ("UTC", "Europe/Prague", (2026, 11)),
    ("Europe/Prague", "Europe/Prague", (2026, 3)),
    ("Europe/Prague", "Europe/Prague", (2024, 3)),  # the clock changes on its last day
    ("Europe/Prague", "America/New_York", (2026, 10)),
    ("America/New_York", "America/New_York", (2026, 11)),
    ("Australia/Lord_Howe", "Asia/Kathmandu", (2026, 4)),
    ("UTC", "Atlantic/Azores", (2026, 10)),
    ("Asia/Kolkata", "Pacific/Apia", (2025, 12)),
    ("UTC", "America/Santiago", (2026, 9)),
]
"""The zone of the database, that of the report, and the month."""


def client_of(engine: Engine, now: Any = NOW, zone: str = "UTC", **keys: Any) -> FlaskClient:
    clock = now if callable(now) else lambda: now
    return create_app(
        engine, clock=clock, REPORTS=[REPORT], REPORT_TIMEZONE=zone, **keys
    ).test_client()


def month_of(client: FlaskClient, month: str, application: str = "retail") -> dict[str, Any]:
    answer = ask(client, REPORT, {"application": application, "month": month})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    data: dict[str, Any] = answer.get_json()["responseObject"]["reportData"]
    assert data.pop("application") == application
    assert data.pop("recordedDays") == []
    return data


def filled(engine: Engine, times: Sequence[datetime] = ()) -> Engine:
    powerauth.create_schema(engine)
    powerauth.add_applications(engine, ["retail", "corporate"])
    powerauth.add_activations(
        engine, [Activation("a", 1, "anna", YEAR), Activation("b", 2, "bob", YEAR)]
    )
    if times:
        audit.add_verifications(engine, [Verification("a", time) for time in times])
    return engine


def random_verifications(
    source: random.Random, month: tuple[int, int], zone: ZoneInfo, report_zone: ZoneInfo
) -> list[Verification]:
    """Around a month: half of them at its midnights, a tick before or after."""
    first = datetime(*month, 1, tzinfo=report_zone)
    times = []
    for number in range(-2, 35):
        midnight = (first + number * DAY).astimezone(UTC)
        times += [midnight + ticks * TICK for ticks in (-1, 0, 1)]
        times += [midnight + source.random() * DAY for _ in range(12)]
    return [
        Verification(
            activation_id=source.choice("aaab"),
            timestamp_created=wall_clock(time, zone),
            valid=source.choice((True, True, False, None)),
            signature_type=source.choice(("POSSESSION", "POSSESSION_KNOWLEDGE")),
            signature_algorithm=source.choice((None, "ECDSA_P256")),
        )
        for time in times
    ]


@pytest.mark.parametrize(("zone", "report_zone", "month"), CASES)
def test_every_number_equals_a_count_by_hand(
    database: Engine, zone: str, report_zone: str, month: tuple[int, int]
) -> None:
    own, calendar = ZoneInfo(zone), ZoneInfo(report_zone)
    rows = random_verifications(random.Random(f"{zone}{month}"), month, own, calendar)
    audit.add_verifications(filled(database), rows)
    retail = [one for one in rows if one.activation_id == "a"]
    first = datetime(*month, 1, tzinfo=calendar).astimezone(UTC)

    for now in (first, first + 17 * DAY + 5 * HOUR, first + 31 * DAY, first + 60 * DAY):
        client = client_of(database, now, report_zone, DATABASE_TIMEZONE=zone)
        data = month_of(client, f"{month[0]}-{month[1]:02}")
        del data["auditSince"], data["auditUntil"]
        assert data.pop("missing") == []
        assert data == audit.month_by_hand(retail, month, now, calendar, own)
        assert sum(filter(None, data["byDay"])) == data["total"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Prague", "Australia/Lord_Howe"])
def test_month_before_and_after_share_no_verification(sqlite: Engine, zone: str) -> None:
    clock = ZoneInfo(zone)
    midnight = datetime(2026, 11, 1, tzinfo=clock)
    times = [midnight.astimezone(UTC) + time for time in (-2 * DAY, -TICK, 0 * TICK, TICK)]
    client = client_of(filled(sqlite, [wall_clock(time, UTC) for time in times]), NOW, zone)

    assert month_of(client, "2026-10")["byDay"][-1] == 1
    assert month_of(client, "2026-11")["byDay"][0] == 2


@pytest.mark.parametrize(("since", "begun"), [(None, None), ("2026-10-31T23:00:00+00:00", 0)])
def test_month_without_verifications_is_zero_only_where_the_audit_reaches(
    database: Engine, since: str | None, begun: int | None
) -> None:
    filled(database)
    days = [f"2026-11-{day:02}" for day in range(1, 26)]
    if since is not None:
        oldest = datetime.fromisoformat(since)
        audit.add_verifications(database, [Verification("b", wall_clock(oldest, UTC))])
        since = oldest.astimezone(ZoneInfo("Europe/Prague")).isoformat()

    assert month_of(client_of(database, zone="Europe/Prague"), "2026-11") == {
        "month": "2026-11",
        "from": "2026-11-01T00:00:00+01:00",
        "to": "2026-12-01T00:00:00+01:00",
        "complete": False,
        "total": 0,
        "valid": 0,
        "invalid": 0,
        "byType": [],
        "byDay": [begun] * 25 + [None] * 5,
        "busiestHour": None,
        "auditSince": since,
        "auditUntil": since,
        "missing": days if since is None else [],
    }


def test_day_that_the_audit_may_have_lost_in_part_has_no_number(database: Engine) -> None:
    """What is left of it is in the totals alone, and it is named."""
    midnight = datetime(2026, 11, 3)
    for oldest, missing in ((midnight + TICK, 3), (midnight, 2)):
        audit.delete_verifications(database) if missing == 2 else filled(database)
        times = [oldest, midnight + HOUR, midnight + DAY]
        audit.add_verifications(database, [Verification("a", time) for time in times])

        data = month_of(client_of(database), "2026-11")

        assert data["missing"] == [f"2026-11-{day:02}" for day in range(1, missing + 1)]
        assert data["byDay"][:4] == [None, None, None if missing == 3 else 2, 1]
        assert data["total"] == sum(row["total"] for row in data["byType"]) == 3


def test_audit_begins_in_the_first_month_that_can_be_asked_for(sqlite: Engine) -> None:
    """A row of a time before it, as of a clock that was never set, tells nothing."""
    first = datetime(2000, 1, 1)
    client = client_of(filled(sqlite, [first - TICK]), CACHE_SECONDS=0)
    assert month_of(client, "2026-10")["auditSince"] is None

    audit.add_verifications(sqlite, [Verification("a", first)], first=2)

    assert month_of(client, "2026-10")["auditSince"] == "2000-01-01T00:00:00+00:00"


def test_rows_that_are_brought_back_are_counted(sqlite: Engine) -> None:
    """What was read while they were gone is not kept."""
    late = [datetime(2026, 10, 20, 12), datetime(2026, 10, 21, 12)]
    client = client_of(filled(sqlite, late))
    clock = Clock(NOW)
    client = client_of(sqlite, clock)
    assert month_of(client, "2026-10")["byDay"][19:21] == [None, 1]
    early = [datetime(2026, 9, 20), datetime(2026, 10, 1), datetime(2026, 10, 20, 3)]
    audit.delete_verifications(sqlite)
    audit.add_verifications(sqlite, [Verification("a", time) for time in (*early, *late)])
    clock.now += 25 * HOUR

    data = month_of(client, "2026-10")

    assert (data["byDay"][0], data["byDay"][19:21], data["missing"]) == (1, [2, 1], [])


@pytest.mark.parametrize(
    ("zone", "since"),
    [
        ("UTC", "2026-10-05T08:30:00.000001+02:00"),
        ("America/New_York", "2026-10-05T12:30:00.000001+02:00"),
        ("Australia/Lord_Howe", "2026-10-04T21:30:00.000001+02:00"),
    ],
)
def test_oldest_row_of_any_application_is_told(database: Engine, zone: str, since: str) -> None:
    oldest = datetime(2026, 10, 5, 6, 30, 0, 1)
    audit.add_verifications(
        filled(database), [Verification("b", oldest), Verification("a", oldest + DAY)]
    )
    client = client_of(database, zone="Europe/Prague", DATABASE_TIMEZONE=zone)

    assert month_of(client, "2026-10")["auditSince"] == since
    assert month_of(client, "2026-10")["total"] == 1


@pytest.mark.parametrize(
    ("zone", "shown", "since", "skipped"),
    [
        ("Europe/Prague", datetime(2026, 3, 29, 2, 30), "2026-03-29T01:30:00+00:00", True),
        ("Antarctica/Troll", datetime(2026, 3, 29, 1, 30), "2026-03-29T01:30:00+00:00", True),
        ("Europe/Prague", datetime(2026, 10, 25, 2, 30), "2026-10-25T00:30:00+00:00", False),
        ("America/New_York", datetime(2026, 11, 1, 1, 30), "2026-11-01T05:30:00+00:00", False),
    ],
)
def test_oldest_row_at_a_change_of_the_clock(
    sqlite: Engine, zone: str, shown: datetime, since: str, skipped: bool
) -> None:
    client = client_of(filled(sqlite, [shown]), DATABASE_TIMEZONE=zone)
    data = month_of(client, f"{shown:%Y-%m}")

    assert data["auditSince"] == since
    assert data["total"] == 1
    assert (data["busiestHour"] is None) == skipped


@pytest.mark.parametrize("zone", ["UTC", "Europe/Prague"])
def test_audit_with_a_zone_is_read(postgresql: Engine, zone: str) -> None:
    filled(postgresql, [datetime(2026, 10, 25, 1, 30)])
    with postgresql.begin() as connection:
        connection.exec_driver_sql(
            "CREATE VIEW zoned AS SELECT activation_id, valid, signature_type,"
            " signature_algorithm, timestamp_created AT TIME ZONE 'UTC' AS timestamp_created"
            " FROM pa_signature_audit"
        )
    client = client_of(postgresql, DATABASE_TIMEZONE=zone, TABLES={"pa_signature_audit": "zoned"})

    data = month_of(client, "2026-10")

    assert data["auditSince"] == "2026-10-25T01:30:00+00:00"
    assert data["total"] == 1


@pytest.mark.parametrize("month", ["2026-12", "2999-12"])
def test_month_that_has_not_begun_is_refused(sqlite: Engine, month: str) -> None:
    answer = ask(client_of(filled(sqlite)), REPORT, {"application": "retail", "month": month})

    assert answer.status_code == 400
    assert answer.get_json() == error(
        "ERROR_TELEMETRY", f"The month {month} has not begun", localized=True
    )


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "", None, 202611, "2026-11-01"])
def test_what_is_no_month_is_refused(sqlite: Engine, month: object) -> None:
    answer = ask(client_of(filled(sqlite)), REPORT, {"application": "retail", "month": month})

    assert answer.status_code == 400


def test_unknown_application_is_an_error(sqlite: Engine) -> None:
    client = client_of(filled(sqlite), STRICT_APPLICATION=False)

    answer = ask(client, REPORT, {"application": "nowhere", "month": "2026-10"})

    assert answer.status_code == 400


def test_month_that_is_over_is_kept_and_the_running_one_grows(sqlite: Engine) -> None:
    clock = Clock(NOW)
    times = [datetime(2026, 10, 5), datetime(2026, 11, 25), datetime(2026, 11, 25, 13)]
    client = client_of(filled(sqlite, times), clock)
    assert (month_of(client, "2026-10")["total"], month_of(client, "2026-11")["total"]) == (1, 1)
    clock.now += 2 * HOUR

    with recorded_statements() as statements:
        assert month_of(client, "2026-10")["total"] == 1
        assert statements == []
        assert month_of(client, "2026-11")["total"] == 2

    assert sum("JOIN" in statement for statement in statements) == 1  # the running day alone


def test_month_that_ends_with_the_newest_row_is_kept_and_its_days_are(sqlite: Engine) -> None:
    clock = Clock(NOW)
    client = client_of(filled(sqlite, [YEAR, datetime(2026, 11, 1)]), clock)
    month_of(client, "2026-10")
    clock.now += 2 * HOUR
    with recorded_statements() as statements:
        month_of(client, "2026-10")
    assert statements == []

    clock.now += 2 * DAY  # no answer is kept for so long
    with recorded_statements() as statements:
        month_of(client, "2026-10")
    assert statements != []
    assert not any("JOIN" in statement for statement in statements)


def test_days_read_last_are_kept_of_too_many(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_by_day, "KEPT_DAYS", 31)
    clock = Clock(NOW)
    client = client_of(filled(sqlite, [YEAR, wall_clock(NOW, UTC)]), clock)
    for month in ("2026-08", "2026-09", "2026-10"):
        month_of(client, month)
    clock.now += 2 * DAY  # no answer is kept for so long

    passes = {}
    for month in ("2026-10", "2026-08"):
        with recorded_statements() as statements:
            month_of(client, month)
        passes[month] = sum("JOIN" in statement for statement in statements)
    assert passes == {"2026-10": 0, "2026-08": 4}


def test_copy_that_is_fed_while_it_is_read_is_read_again(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before its rows came is neither told as the end nor kept."""
    read, late = Audit.read, datetime(2026, 11, 24)
    clock = Clock(NOW)
    client = client_of(filled(sqlite, [datetime(2026, 10, 1), datetime(2026, 10, 5)]), clock)

    def read_before(*arguments: Any) -> Any:
        monkeypatch.setattr(Audit, "read", read)
        found = read(*arguments)
        times = (datetime(2026, 10, 6), late)
        audit.add_verifications(sqlite, [Verification("a", time) for time in times], first=9)
        return found

    monkeypatch.setattr(Audit, "read", read_before)
    data = month_of(client, "2026-10")
    assert (data["auditUntil"], data["total"]) == ("2026-10-05T00:00:00+00:00", 2)
    clock.now += timedelta(minutes=2)

    data = month_of(client, "2026-10")

    assert (data["auditUntil"], data["total"]) == (f"{late.isoformat()}+00:00", 3)


def test_day_is_read_again_while_it_may_still_be_written(sqlite: Engine) -> None:
    """A row with a time before midnight that was committed after it is counted."""
    midnight = datetime(2026, 11, 1, tzinfo=UTC)
    clock = Clock(midnight + timedelta(minutes=2))
    client = client_of(filled(sqlite), clock)
    assert month_of(client, "2026-10")["total"] == 0
    audit.add_verifications(sqlite, [Verification("a", datetime(2026, 10, 31, 23, 59, 59))])
    clock.now += timedelta(minutes=2)

    assert month_of(client, "2026-10")["total"] == 1


def test_rows_that_a_copy_gets_late_are_counted(sqlite: Engine) -> None:
    """A standby that was behind, or a copy that was not fed for a while, catches up."""
    clock = Clock(NOW)
    client = client_of(filled(sqlite, [datetime(2026, 10, 5, 1)]), clock)
    assert month_of(client, "2026-10")["total"] == 1

    late = [datetime(2026, 10, 5, 2), datetime(2026, 10, 31), datetime(2026, 11, 1)]
    audit.add_verifications(sqlite, [Verification("a", time) for time in late], first=9)
    clock.now += timedelta(minutes=2)

    assert month_of(client, "2026-10")["total"] == 3


@pytest.mark.parametrize(
    "newest",
    [
        datetime(2026, 11, 15, 12),  # as in a copy that is no longer fed
        datetime(2026, 11, 24, 11),  # as where nobody came for a day
        datetime(2026, 10, 31, 20),
    ],
)
def test_it_tells_the_end_of_an_audit(database: Engine, newest: datetime) -> None:
    """Days after it are 0 where nobody came, and unknown in a copy that is no longer fed."""
    times = [newest - days * DAY for days in range(60)]
    later = Verification("b", newest + HOUR)  # of another application
    audit.add_verifications(filled(database), [Verification("a", time) for time in times])
    audit.add_verifications(database, [later], first=99)
    total = sum(time.month == 11 for time in times)

    data = month_of(client_of(database, zone="Europe/Prague"), "2026-11")

    until = wall_clock(later.timestamp_created.replace(tzinfo=UTC), ZoneInfo("Europe/Prague"))
    assert data["auditUntil"] == f"{until.isoformat()}+01:00"
    assert (data["total"], data["missing"]) == (total, [])
    known = until.day if until.month == 11 else 0
    assert data["byDay"][known:25] == [0] * (25 - known)


@pytest.mark.parametrize("shown", ["infinity", "20000-01-01", "2027-01-01"])
def test_row_of_a_time_that_has_not_come_tells_nothing(postgresql: Engine, shown: str) -> None:
    filled(postgresql, [datetime(2026, 10, 5)])
    with postgresql.begin() as connection:
        connection.exec_driver_sql(f"UPDATE pa_signature_audit SET timestamp_created = '{shown}'")

    data = month_of(client_of(postgresql), "2026-10")

    assert (data["auditSince"], data["auditUntil"]) == (None, None)
    assert (data["total"], len(data["missing"])) == (0, 31)


def test_month_longer_than_the_time_limit_is_answered_in_the_end(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try goes on where the one before stopped, and reads no day twice."""
    read = Audit.read

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.4)
        return read(*arguments)

    monkeypatch.setattr(Audit, "read", slowly)
    times = [datetime(2026, 10, 5), datetime(2026, 11, 5)]
    client = client_of(filled(sqlite, times), STATEMENT_TIMEOUT=1)
    asked = {"application": "retail", "month": "2026-10"}

    with recorded_statements() as statements:
        answers = [ask(client, REPORT, asked)]
        while answers[-1].status_code == 503 and len(answers) < 9:
            answers.append(ask(client, REPORT, asked))

    assert answers[-1].status_code == 200
    assert len(answers) > 1
    assert {answer.headers["Retry-After"] for answer in answers[:-1]} == {"1"}
    assert answers[-1].get_json()["responseObject"]["reportData"]["total"] == 1
    assert sum("JOIN" in statement for statement in statements) == 4


def test_slices_that_are_too_slow_get_shorter(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Audit.read

    def too_slow_for_many(
        self: Audit, context: Any, application_id: int, edges: Any, *others: Any
    ) -> Any:
        if len(edges) > 4:
            raise TooSlow("too many")
        return read(self, context, application_id, edges, *others)

    monkeypatch.setattr(Audit, "read", too_slow_for_many)
    client = client_of(filled(sqlite, [datetime(2026, 10, 5), datetime(2026, 10, 31)]))
    asked = {"application": "retail", "month": "2026-10"}

    assert [ask(client, REPORT, asked).status_code for _ in range(2)] == [503, 503]
    assert month_of(client, "2026-10")["total"] == 2


def test_single_day_that_is_too_slow_is_told_as_that(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_slow(*_: Any) -> Any:
        raise TooSlow("even one")

    client = client_of(filled(sqlite, [datetime(2026, 10, 5)]))
    monkeypatch.setattr(Audit, "read", too_slow)

    answers = [ask(client, REPORT, {"application": "retail", "month": "2026-10"}) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [503] * 5
    # 8 days, 4, 2 and 1; then it is known to be too slow.
    assert [answer.headers["Retry-After"] for answer in answers] == ["1", "1", "1", "60", "60"]


def test_no_statement_reads_more_than_eight_days(postgresql: Engine) -> None:
    """By the index on the time that PowerAuth ships."""
    filled(postgresql)
    with recorded_statements() as statements:
        month_of(client_of(postgresql), "2026-10")

    read = [statement for statement in statements if "pa_signature_audit" in statement]
    passes = [statement for statement in read if "JOIN" in statement]
    assert len(passes) == 4
    assert all(
        "timestamp_created >= " in statement and "timestamp_created < " in statement
        for statement in passes
    )
    assert [one for one in read if one not in passes and not ENDS.search(one)] == []
