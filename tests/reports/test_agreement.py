"""Reports agree with each other: what two of them count alike is one number, parts are a whole."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, Pool, event, text

from flask_powerauth_telemetry.dashboard import PowerAuthTelemetryDashboard
from flask_powerauth_telemetry.reports import FURTHER_REPORTS
from tests.support import audit, powerauth, questions
from tests.support.audit import Change, Verification
from tests.support.commands import findings, of_check
from tests.support.powerauth import Activation, wall_clock
from tests.support.questions import LIVE
from tests.support.recorded import PAIRS, Site, run
from tests.support.service import NOW, USER, ask, create_app

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
ACTIVE, REMOVED = 3, 5
MONTH, MONTH_DAYS = "2026-10", 31
WIDTHS = (1, 2, 29, 30, 31, 32, 90, 91, 200, 364, 365)
ZONES = ("Europe/Prague", "Australia/Lord_Howe", "America/New_York", "UTC")
"""Of the database and of the calendar; clocks change in the month or just after it."""


class Reports:
    """The report data of one application."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client

    def of(self, report: str, **parameters: Any) -> Any:
        """The report data; ``application`` is retail unless given otherwise."""
        asked = parameters if "applications" in parameters else {"application": "retail"}
        answer = ask(self._client, report, asked | parameters)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_json()["responseObject"]["reportData"]

    def users(self, days: int, application: str = "retail") -> int:
        """The documented number."""
        users: int = self.of("USERS_IN_PAST_DAYS", days=days, application=application)["users"]
        return users


def times(source: random.Random, now: datetime, zone: ZoneInfo, count: int) -> Sequence[datetime]:
    """Naive times of the past, the oldest first, some at the very edge of a window."""
    found = []
    for _ in range(count):
        edge = now - source.choice((*WIDTHS, source.randrange(1, 400))) * DAY
        found.append(edge + source.choice((-1, 0, 1, source.randrange(10**10, 10**12))) * TICK)
    return sorted(wall_clock(min(time, now - TICK), zone) for time in found)


def fill(site: Site, zone: ZoneInfo, source: random.Random) -> None:
    """Users as PowerAuth makes them: created, maybe active at some time, maybe used after it."""
    activations, changes, verifications = [], [], []
    for number in range(300):
        created, became_active, *verified, used = times(source, site.clock.now, zone, 6)
        name, status = f"{number}", source.randrange(1, 7)
        user = f"user-{source.randrange(120)}"
        unused = source.random() < 0.2
        activations.append(
            Activation(
                name,
                source.choice((1, 1, 2)),
                user,
                created if unused else used,
                status,
                timestamp_created=created,
            )
        )
        if not unused and status >= ACTIVE:
            changes.append(Change(name, ACTIVE, became_active))
        verifications += [
            Verification(name, time, source.random() < 0.8, source.choice(("POSSESSION", "Ω")))
            for time in verified
        ]
    powerauth.add_activations(site.powerauth, activations)
    audit.add_changes(site.powerauth, changes)
    audit.add_verifications(site.powerauth, verifications)


@pytest.fixture
def zone(request: pytest.FixtureRequest, site: Site) -> str:
    """The site has a year of random users, and is recorded at the midnight that ends a month."""
    name: str = request.param
    site.clock.now = datetime(2026, 11, 1, tzinfo=ZoneInfo(name)).astimezone(UTC)
    fill(site, ZoneInfo(name), random.Random(f"{name}{site.powerauth.dialect.name}"))
    recorded = run(site.recorder(DATABASE_TIMEZONE=name))
    assert recorded.exit_code == 0, recorded.output
    return name


@pytest.fixture
def live(site: Site, zone: str) -> Reports:
    app = site.recorder(DATABASE_TIMEZONE=zone, REPORT_TIMEZONE=zone, REPORTS=LIVE)
    return Reports(app.test_client())


@pytest.fixture
def recorded(site: Site, zone: str) -> Reports:
    history = [*(FURTHER_REPORTS.keys() - set(LIVE)), "USERS_BY_PAST_DAYS"]
    app = site.reader(DATABASE_TIMEZONE=zone, REPORT_TIMEZONE=zone, REPORTS=history)
    return Reports(app.test_client())


@pytest.mark.parametrize(
    ("site", "zone"),
    [*zip((*PAIRS, ("sqlite", "sqlite")), ZONES, strict=True)],
    indirect=True,
)
def test_reports_agree_with_each_other(live: Reports, recorded: Reports) -> None:
    windows = live.of("USERS_BY_PAST_DAYS")["users"]
    assert 0 < windows[0] < windows[-1]
    assert all(narrow <= wide for narrow, wide in pairwise(windows))
    assert live.of("CURRENT_MAU")["users"] == windows[29]
    for days in WIDTHS:
        assert live.users(days) == windows[days - 1]
    _agree_on_committed_users(live, windows)
    _agree_on_new_users(live, windows)
    _agree_across_applications(live)
    _agree_on_users_known(live, windows)
    _agree_on_verifications(live)
    _agree_on_recorded_users(recorded, windows)


def _agree_on_committed_users(live: Reports, windows: Sequence[int]) -> None:
    before = 0
    for days in WIDTHS:
        data = live.of("COMMITTED_USERS_IN_PAST_DAYS", days=days)
        assert data["usersInPastDays"] == windows[days - 1]
        assert data["users"] + sum(data["usersLeftOut"].values()) == windows[days - 1]
        assert before <= data["users"] <= windows[days - 1]
        before = data["users"]


def _agree_on_new_users(live: Reports, windows: Sequence[int]) -> None:
    by_day = live.of("NEW_USERS_IN_PAST_DAYS", days=365)["usersByDay"]
    for days in WIDTHS:
        data = live.of("NEW_USERS_IN_PAST_DAYS", days=days)
        assert data["usersByDay"] == by_day[:days]
        assert data["users"] == sum(by_day[:days]) <= windows[days - 1]
    assert sum(by_day) > 0


def _agree_across_applications(live: Reports) -> None:
    for days in WIDTHS:
        names = ["retail", "corporate"]
        data = live.of("USERS_ACROSS_APPLICATIONS", applications=names, days=days)
        own = data["usersByApplication"]
        assert own == {name: live.users(days, name) for name in names}
        assert data["users"] == sum(own.values()) - data["overlaps"][0]["users"]
        assert data["overlaps"][0]["users"] <= min(own.values())


def _agree_on_users_known(live: Reports, windows: Sequence[int]) -> None:
    data = live.of("USERS_BY_STATUS")
    of = {one["status"]: one for one in data["byStatus"]}
    users = [one["users"] for one in data["byStatus"]]
    assert data["activations"] == sum(one["activations"] for one in data["byStatus"])
    assert max(users) <= data["users"] <= sum(users)
    assert all(one["users"] <= one["activations"] for one in data["byStatus"])
    assert windows[-1] <= data["users"]
    committed = live.of("COMMITTED_USERS_IN_PAST_DAYS", days=365)["users"]
    assert committed <= of["ACTIVE"]["users"] + of["BLOCKED"]["users"]


def _agree_on_verifications(live: Reports) -> None:
    totals = []
    for days in WIDTHS:
        data = live.of("SIGNATURES_IN_PAST_DAYS", days=days)
        _is_sum_of_its_parts(data)
        assert sum(filter(None, data["byHour"]["verifications"])) == data["total"]
        totals.append(data["total"])
    assert totals == sorted(totals)
    month = live.of("SIGNATURES_IN_MONTH", month=MONTH)
    _is_sum_of_its_parts(month)
    assert sum(month["byDay"]) == month["total"] > 0
    within = dict(zip(WIDTHS, totals, strict=True))
    # A month with a change of clock is an hour longer or shorter than its days of 24 hours.
    assert within[MONTH_DAYS - 1] <= month["total"] <= within[MONTH_DAYS + 1]
    hours = datetime.fromisoformat(month["to"]) - datetime.fromisoformat(month["from"])
    if hours == MONTH_DAYS * DAY:
        assert month["total"] == within[MONTH_DAYS]


def _is_sum_of_its_parts(data: Any) -> None:
    assert data["valid"] + data["invalid"] == data["total"]
    for part in ("total", "valid", "invalid"):
        assert sum(one[part] for one in data["byType"]) == data[part]
    assert data["busiestHour"] is None or data["busiestHour"]["verifications"] <= data["total"]


def _agree_on_recorded_users(recorded: Reports, windows: Sequence[int]) -> None:
    assert recorded.of("USERS_BY_PAST_DAYS")["users"] == windows
    for days in WIDTHS:
        assert recorded.users(days) == windows[days - 1]
        day = "2026-11-01"
        history = recorded.of("MAU_HISTORY", **{"from": day, "to": day, "days": days})
        assert history["usersByDay"] == {day: windows[days - 1]}
    month = recorded.of("USERS_IN_MONTH", month=MONTH)
    assert month["users"] == windows[MONTH_DAYS - 1]
    assert recorded.of("USERS_BY_MONTH")["months"][-2] | {"application": "retail"} == month


def test_activation_without_a_user_is_nobody(database: Engine) -> None:
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail", "corporate"])
    created, used = (NOW.replace(tzinfo=None) - hours * TICK for hours in (2, 1))
    users = {"1": "somebody", "2": "nobody", "3": "nobody", "4": "anybody"}
    rows = [
        Activation(name, 1, user, used, timestamp_created=created) for name, user in users.items()
    ]
    powerauth.add_activations(database, rows)
    audit.add_changes(database, [Change(name, ACTIVE, created) for name in users])
    with database.begin() as connection:
        columns = "activation_id, application_id, activation_status, timestamp_created"
        connection.execute(
            text(
                f"CREATE VIEW seen AS SELECT {columns}, timestamp_last_used,"
                " NULLIF(user_id, 'nobody') AS user_id FROM pa_activation"
            )
        )
    app = create_app(database, REPORTS=LIVE, TABLES={"pa_activation": "seen"})
    reports = Reports(app.test_client())
    statuses = reports.of("USERS_BY_STATUS")

    assert reports.users(30) == 2
    assert reports.of("COMMITTED_USERS_IN_PAST_DAYS", days=30)["usersInPastDays"] == 2
    assert reports.of("NEW_USERS_IN_PAST_DAYS", days=30)["users"] == 2
    several = ["retail", "corporate"]
    across = reports.of("USERS_ACROSS_APPLICATIONS", applications=several, days=30)
    assert across["users"] == 2
    assert (statuses["users"], statuses["activations"]) == (2, 4)
    assert [one["users"] for one in statuses["byStatus"]] == [0, 0, 2, 0, 0]
    found = findings(app, "--verify", "--pass", "--application", "retail")
    assert of_check(found, "verify")["level"] == "ok"
    assert of_check(found, "pass")["facts"]["users"] == 2


@pytest.mark.parametrize("zone", ["Europe/Prague", "Australia/Lord_Howe"])
def test_columns_with_a_zone_hold_instants(postgresql: Engine, zone: str) -> None:
    """Over changes of the clock too, from which a difference of instants is an hour off."""
    source = random.Random(zone)
    edges = [NOW - days * DAY for days in range(367)]
    used = [edge + source.choice((-1, 0, 1, 3 * 10**9)) * TICK for edge in edges for _ in range(2)]
    powerauth.create_schema(postgresql)
    powerauth.add_applications(postgresql, ["retail", "corporate"])
    shown = [time.replace(tzinfo=None) for time in used]
    rows = [Activation(f"{number}", 1, f"{number}", time) for number, time in enumerate(shown)]
    powerauth.add_activations(postgresql, rows)
    audit.add_verifications(postgresql, [Verification("0", time) for time in shown])
    activation = "activation_id, application_id, user_id, activation_status"
    signature = "activation_id, valid, signature_type, signature_algorithm"
    in_utc = "timestamp_created AT TIME ZONE 'UTC' AS timestamp_created"
    with postgresql.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE VIEW seen AS SELECT {activation}, {in_utc}, timestamp_last_used"
            " AT TIME ZONE 'UTC' AS timestamp_last_used FROM pa_activation;"
            f"CREATE VIEW heard AS SELECT {signature}, {in_utc} FROM pa_signature_audit"
        )
    tables = {"pa_activation": "seen", "pa_signature_audit": "heard"}
    app = create_app(
        postgresql, REPORTS=LIVE, TABLES=tables, DATABASE_TIMEZONE=zone, REPORT_TIMEZONE=zone
    )
    reports = Reports(app.test_client())

    within = [sum(start <= time <= NOW for time in used) for start in edges[1:366]]
    assert reports.of("USERS_BY_PAST_DAYS")["users"] == within
    hour_of = partial(datetime.replace, minute=0, second=0, microsecond=0)
    each = Counter(hour_of(time) for time in used if time <= NOW)
    for days in (30, 40, 300):
        found = reports.of("COMMITTED_USERS_IN_PAST_DAYS", days=days)
        assert found["usersInPastDays"] == within[days - 1]
        hours = reports.of("SIGNATURES_IN_PAST_DAYS", days=days)["byHour"]
        start = datetime.fromisoformat(hours["start"])
        expected = [each[start + number * HOUR] for number in range(1, days * 24 + 1)]
        told = hours["verifications"][1:]
        assert [one for one in told if one is not None] == _joined(told, expected)
    month = reports.of("SIGNATURES_IN_MONTH", month=MONTH)
    own = [time.astimezone(ZoneInfo(zone)) for time in used]
    october = [time.day for time in own if f"{time:%Y-%m}" == MONTH]
    assert month["byDay"] == [october.count(day) for day in range(1, MONTH_DAYS + 1)]


def _joined(told: Sequence[int | None], each: Sequence[int]) -> Sequence[int]:
    """The numbers of hours, those that the clock can't tell apart together."""
    joined: list[int] = []
    for one, number in zip(told, each, strict=False):
        if one is None:
            joined[-1] += number
        else:
            joined.append(number)
    return joined


def test_no_report_page_or_recording_fetches_an_id(sqlite: Engine, tmp_path: Path) -> None:
    """Users and activations are counted where they are: no id of either is sent to us."""
    questions.fill(sqlite)
    with sqlite.connect() as connection:
        ids = connection.execute(text("SELECT user_id, activation_id FROM pa_activation")).all()
    fetched: set[str] = set()

    def note(content: bytes) -> str:
        fetched.add(content.decode())
        return content.decode()

    def note_texts(connection: Any, _: object) -> None:
        connection.text_factory = note

    binds = {"history": f"sqlite:///{tmp_path / 'history.sqlite'}"}
    app = create_app(sqlite, REPORTS=[*FURTHER_REPORTS], BINDS=binds)
    PowerAuthTelemetryDashboard(app)
    client = app.test_client()
    event.listen(Pool, "connect", note_texts)
    try:
        recorded = run(app)
        answers = [ask(client, *question) for question in questions.questions(NOW)]
        for path in ("", "application?application=retail", "figure/committed?application=retail"):
            answers.append(client.get(f"/telemetry/{path}", auth=USER))
    finally:
        event.remove(Pool, "connect", note_texts)

    assert recorded.exit_code == 0, recorded.output
    assert {answer.status_code for answer in answers} == {200}
    assert {"retail", "corporate", "kiosk"} <= fetched
    assert fetched & {name for row in ids for name in row} == set()
