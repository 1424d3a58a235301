"""Reports out of the history: equal to live ones, dated, and refused when they can't be true."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlglot
from flask.testing import FlaskClient
from marshmallow import Schema, fields
from sqlalchemy import Dialect, event, make_url, select
from sqlalchemy.dialects import mssql, mysql, oracle, postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlglot import exp
from werkzeug.http import http_date

from flask_powerauth_telemetry import ConfigurationError, ReportContext, ReportProvider
from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.history.tables import HistoryTables
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import DEFINITION_VERSION, ActivityProfile
from flask_powerauth_telemetry.state import EXTENSION_KEY
from tests.support.past import recording
from tests.support.recorded import Site, run
from tests.support.service import (
    CREDENTIALS,
    NOW,
    ask,
    create_app,
    error,
    recorded_statements,
    url_of,
    users_of,
)

CURVE = "USERS_BY_PAST_DAYS"
RETAIL = {"application": "retail"}
FAULT = error("ERROR_GENERIC", "The report could not be generated, see the log of the server")
NOT_NOW = error("ERROR_GENERIC", "The report is not available now, try again later")
UNKNOWN = error("ERROR_TELEMETRY", "Unknown application: nowhere", localized=True)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
MAX_AGE = timedelta(seconds=90_000)

ZONES_AND_INSTANTS = [
    ("UTC", NOW),
    ("Europe/Prague", datetime(2026, 3, 29, 12, 30, 0, 123_456, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 20, 9, 15, tzinfo=UTC)),
]


class Constant(ReportProvider):
    """A report that reads the main database."""

    name = "CONSTANT"
    definition = "One."
    parameters_schema = Schema
    data_schema = Schema.from_dict({"number": fields.Integer()})

    def generate(self, context: ReportContext) -> Mapping[str, Any]:
        return {"number": context.connection.scalar(select(1))}


def windows(client: FlaskClient) -> list[int]:
    """Every window, asked for by itself."""
    return [
        users_of(client, application, days)
        for application, days in product(("retail", "corporate"), range(1, 366))
    ]


def curves(client: FlaskClient) -> list[int]:
    """Every window, asked for at once; other tests say that it answers the same."""
    answers = [
        ask(client, CURVE, {"application": application}) for application in ("retail", "corporate")
    ]
    return [
        users
        for answer in answers
        for users in answer.get_json()["responseObject"]["reportData"]["users"]
    ]


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_INSTANTS)
def test_every_recorded_window_equals_the_live_one(site: Site, zone: str, now: datetime) -> None:
    site.clock.now = now
    site.fill(ZoneInfo(zone), count=2_000)
    recorder = site.recorder(DATABASE_TIMEZONE=zone, REPORTS=[CURVE])
    assert run(recorder).exit_code == 0

    recorded = curves(site.reader(REPORTS=[CURVE]).test_client())

    assert recorded == curves(recorder.test_client())
    assert len(set(recorded)) > 300


def test_each_recorded_window_alone_is_that_of_the_curve(small_site: Site) -> None:
    zone, small_site.clock.now = ZONES_AND_INSTANTS[1]
    small_site.fill(ZoneInfo(zone), count=2_000)
    recorder = small_site.recorder(DATABASE_TIMEZONE=zone)
    assert run(recorder).exit_code == 0
    client = small_site.reader(REPORTS=[CURVE]).test_client()

    recorded = windows(client)

    assert recorded == curves(client) == windows(recorder.test_client())


def test_answer_is_dated_back(site: Site) -> None:
    site.fill()
    site.record()
    site.clock.now += timedelta(hours=3, seconds=7)
    app = site.reader()

    for _ in range(2):
        response = ask(app.test_client(), "CURRENT_MAU", RETAIL)
        assert response.status_code == 200
        assert response.headers["Last-Modified"] == http_date(NOW)
        assert response.headers["Age"] == "10807"


def test_report_tells_its_source(small_site: Site) -> None:
    small_site.record()
    apps = [small_site.recorder(), small_site.reader()]

    reports = [
        app.extensions[EXTENSION_KEY]["powerauth_telemetry"].service.run(
            "CURRENT_MAU", RETAIL, Principal("anyone")
        )
        for app in apps
    ]

    assert [(report.source, report.kept) for report in reports] == [
        ("live", False),
        ("recorded", True),
    ]
    assert [report.as_of for report in reports] == [NOW, NOW]


def test_newest_recording_is_taken(site: Site) -> None:
    site.record()
    site.clock.now += DAY
    site.fill()
    site.record()
    users = users_of(site.recorder().test_client(), "retail", 365)
    site.clock.now += 5 * SECOND

    client = site.reader().test_client()

    assert users_of(client, "retail", 365) == users > 0
    assert [row[2] for row in site.rows()] == ["2026-11-25T12:00:00.000000Z"] * 2 + [
        "2026-11-26T12:00:00.000000Z"
    ] * 2


def test_recording_costs_one_indexed_query(site: Site) -> None:
    site.record()
    client = site.reader().test_client()
    users_of(client, "retail", 1)

    with recorded_statements() as statements:
        users_of(client, "corporate", 2)
    with recorded_statements() as again:
        for days in (2, 1, 365):
            users_of(client, "corporate", days)

    selects = [statement for statement in statements if statement.startswith("SELECT")]
    assert ["telemetry_recording" in statement for statement in selects] == [False, True, True]
    assert again == []
    if site.history.dialect.name == "sqlite":
        with site.history.connect() as connection:
            values = ("x",) * (selects[1].count("?") - 2)
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {selects[1]}", (*values, 1, 0))
            detail = " ".join(row[3] for row in plan)
        assert "USING INDEX telemetry_recording_newest" in detail


def test_answers_while_the_powerauth_database_is_down(site: Site) -> None:
    site.fill()
    site.record()
    down = "postgresql+psycopg://telemetry:pass-word@127.0.0.1:1/powerauth"
    expected = users_of(site.recorder().test_client(), "retail", 200)

    keys_of_readers: list[dict[str, str]] = [{}, {"DATABASE_URL": down}]
    for keys in keys_of_readers:
        client = site.reader(None, **keys).test_client()
        assert users_of(client, "retail", 200) == expected


def test_thousand_requests_read_the_history_alone(small_site: Site) -> None:
    small_site.fill()
    small_site.record()
    Path(str(small_site.powerauth.url.database)).unlink()
    client = small_site.reader().test_client()

    users = [users_of(client, "retail", 1 + number % 365) for number in range(1_000)]

    assert users[:365] == users[365:730]
    assert sorted(users[:365]) == users[:365]


@pytest.mark.parametrize(("over", "status"), [(-SECOND, 200), (timedelta(0), 200), (SECOND, 503)])
def test_older_than_max_age_is_refused(small_site: Site, over: timedelta, status: int) -> None:
    small_site.record()
    small_site.clock.now += MAX_AGE + over

    response = ask(small_site.reader().test_client(), "CURRENT_MAU", RETAIL)

    assert response.status_code == status
    if status == 503:
        assert response.get_json() == NOT_NOW
        assert response.headers["Retry-After"] == "60"
        assert "Age" not in response.headers


def test_kept_answer_does_not_outlive_max_age(small_site: Site) -> None:
    small_site.record()
    client = small_site.reader(CACHE_SECONDS=600).test_client()
    statuses = []
    for age in (MAX_AGE - 60 * SECOND, MAX_AGE - SECOND, MAX_AGE, MAX_AGE + SECOND):
        small_site.clock.now = NOW + age
        statuses.append(ask(client, "CURRENT_MAU", RETAIL).status_code)

    assert statuses == [200, 200, 200, 503]
    small_site.record()
    assert ask(client, "CURRENT_MAU", RETAIL).status_code == 200


def test_max_age_is_configured(small_site: Site) -> None:
    small_site.record()
    client = small_site.reader(MAX_AGE=10).test_client()
    statuses = []
    for age in (10, 11):
        small_site.clock.now = NOW + age * SECOND
        statuses.append(ask(client, "CURRENT_MAU", RETAIL).status_code)

    assert statuses == [200, 503]


def test_old_answer_is_served_with_its_age_when_allowed(small_site: Site) -> None:
    small_site.record()
    small_site.clock.now += 100 * DAY

    response = ask(small_site.reader(SERVE_STALE=True).test_client(), "CURRENT_MAU", RETAIL)

    assert response.status_code == 200
    assert response.headers["Age"] == str(100 * 86_400)


def test_unknown_application_is_told_from_one_that_is_not_available(site: Site) -> None:
    client = site.reader().test_client()
    assert ask(client, parameters={"application": "nowhere"}).status_code == 503

    site.record()
    response = ask(client, parameters={"application": "nowhere"})
    assert (response.status_code, response.get_json()) == (400, UNKNOWN)
    for name in ("RETAIL", "retail ", " retail"):
        assert ask(client, parameters={"application": name}).status_code == 400

    site.clock.now += MAX_AGE + SECOND
    assert ask(client, parameters={"application": "nowhere"}).status_code == 503


def test_unknown_application_has_no_users_when_not_strict(small_site: Site) -> None:
    small_site.record()
    small_site.clock.now += 60 * SECOND
    client = small_site.reader(STRICT_APPLICATION=False).test_client()

    response = ask(client, "CURRENT_MAU", {"application": "nowhere"})

    assert response.get_json()["responseObject"]["reportData"]["users"] == 0
    assert response.headers["Age"] == "60"


def test_out_of_scope_is_unknown_without_a_query(small_site: Site) -> None:
    small_site.record()
    client = small_site.reader(SCOPES={"billing": ["corporate"]}).test_client()

    with recorded_statements() as statements:
        assert ask(client, parameters=RETAIL).status_code == 400

    assert statements == []


def test_missing_store_is_not_available(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    response = ask(site.reader().test_client(), "CURRENT_MAU", RETAIL)

    assert (response.status_code, response.get_json()) == (503, NOT_NOW)
    if site.history.dialect.name == "postgresql":
        assert "nothing is recorded yet, run: flask telemetry snapshot" in caplog.text


def test_store_that_is_down_is_not_available(caplog: pytest.LogCaptureFixture) -> None:
    url = "postgresql+psycopg://history:pass-word@127.0.0.1:1/history"
    app = create_app(SOURCE="snapshot", BINDS={"history": url})

    response = ask(app.test_client(), "CURRENT_MAU", RETAIL)

    assert (response.status_code, response.get_json()) == (503, NOT_NOW)
    assert "pass-word" not in caplog.text


def test_store_that_goes_and_comes_back_heals(small_site: Site) -> None:
    small_site.record()
    client = small_site.reader(CACHE_SECONDS=0).test_client()
    file = Path(str(small_site.history.url.database))
    away = file.with_suffix(".away")
    statuses = [ask(client, parameters=RETAIL).status_code]
    # An open file would still be read.
    next(iter(client.application.extensions[EXTENSION_KEY].values())).close()
    file.rename(away)
    statuses.append(ask(client, parameters=RETAIL).status_code)
    away.rename(file)
    statuses.append(ask(client, parameters=RETAIL).status_code)

    assert statuses == [200, 503, 200]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("users", "[" + ",".join(["7"] * 365) + "]"),
        ("users", "[1"),
        ("users", ""),
        ("digest", "0" * 64),
        ("recorded_by", "someone else"),
        ("milliseconds", 10**9),
        ("slot", "2026"),
        ("as_of", "2026-11-25T11:00:00.000000Z"),
    ],
)
def test_damaged_row_is_a_fault_that_the_log_names(
    site: Site, column: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    site.record("--application", "retail")
    site.execute(f"UPDATE telemetry_recording SET {column} = :value", value=value)

    response = ask(site.reader().test_client(), "CURRENT_MAU", RETAIL)

    assert (response.status_code, response.get_json()) == (500, FAULT)
    assert "the row 1 of telemetry_recording is damaged" in caplog.text


def test_value_of_another_type_is_a_damage(
    small_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    small_site.record("--application", "retail")
    small_site.execute("UPDATE telemetry_recording SET users = x'ff00', definition = '1'")

    response = ask(small_site.reader().test_client(), "CURRENT_MAU", RETAIL)

    assert response.status_code == 500
    assert "the row 1 of telemetry_recording is damaged" in caplog.text


@pytest.mark.parametrize(
    ("version", "cause"), [(2, "install the release that wrote it"), (0, "docs/recording.md")]
)
def test_store_of_another_version_is_refused(
    site: Site, version: int, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.record()
    site.execute("UPDATE telemetry_history_version SET version = :version", version=version)
    before = site.rows()

    response = ask(site.reader().test_client(), "CURRENT_MAU", RETAIL)
    result = site.record()

    assert (response.status_code, response.get_json()) == (500, FAULT)
    assert f"schema version {version}" in caplog.text
    assert result.exit_code == 1
    assert cause in result.stderr
    assert site.rows() == before


def test_missing_privilege_on_the_store_is_a_fault(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    if site.history.dialect.name != "postgresql":
        pytest.skip("SQLite has no privileges")
    site.record()
    site.execute("CREATE ROLE history_stranger LOGIN")
    url = site.history.url.set(username="history_stranger")
    try:
        app = site.reader(BINDS={"history": url})
        response = ask(app.test_client(), "CURRENT_MAU", RETAIL)
    finally:
        site.execute("DROP ROLE history_stranger")

    assert (response.status_code, response.get_json()) == (500, FAULT)
    assert "permission denied for table telemetry_history_version" in caplog.text


def test_rows_that_count_something_else_are_left_out(small_site: Site) -> None:
    small_site.record()
    small_site.execute("UPDATE telemetry_recording SET definition = :d", d=DEFINITION_VERSION + 1)

    assert ask(small_site.reader().test_client(), parameters=RETAIL).status_code == 503


def test_row_of_a_clock_that_was_ahead_is_left_out(small_site: Site) -> None:
    small_site.record()
    small_site.clock.now += 30 * DAY
    small_site.record()
    small_site.clock.now = NOW + 60 * SECOND

    response = ask(small_site.reader().test_client(), parameters=RETAIL)

    assert response.headers["Last-Modified"] == http_date(NOW)


def test_instances_share_a_store_without_sharing_rows(small_site: Site) -> None:
    small_site.record()

    app = create_app(
        clock=small_site.clock,
        arguments={"name": "emea"},
        EMEA_SOURCE="snapshot",
        EMEA_BINDS=small_site.binds,
        EMEA_CREDENTIALS=CREDENTIALS,
    )

    assert ask(app.test_client(), parameters=RETAIL).status_code == 503


def test_default_store_lies_in_the_instance_folder() -> None:
    app = create_app(SOURCE="snapshot")
    state = app.extensions[EXTENSION_KEY]["powerauth_telemetry"]

    url = state.config.binds["history"].url

    assert url == make_url(f"sqlite:///{Path(app.instance_path) / 'telemetry-history.sqlite'}")


@pytest.mark.parametrize(
    ("start", "cause"),
    [
        (create_app, "no database is configured"),
        (
            lambda: create_app(SOURCE="snapshot", arguments={"providers": [Constant()]}),
            "DATABASE_URL: no database is configured, and the report CONSTANT reads it",
        ),
        (
            lambda: create_app(SOURCE="snapshot", CREDENTIALS="pa_integration"),
            "no database is configured, and credentials are read from pa_integration",
        ),
    ],
)
def test_main_database_is_missed_when_it_is_needed(start: Callable[[], Any], cause: str) -> None:
    with pytest.raises(ConfigurationError, match=cause):
        start()


def test_credentials_may_have_the_only_powerauth_database(small_site: Site) -> None:
    small_site.record()
    binds = {**small_site.binds, "integration": url_of(small_site.powerauth)}
    app = small_site.reader(CREDENTIALS="pa_integration", BINDS=binds)

    assert ask(app.test_client(), parameters=RETAIL).status_code == 401


@pytest.mark.parametrize(
    ("dialect", "grammar"),
    [
        (postgresql.dialect, "postgres"),
        (sqlite.dialect, "sqlite"),
        (oracle.dialect, "oracle"),
        (mssql.dialect, "tsql"),
        (mysql.dialect, "mysql"),
    ],
)
def test_store_compiles_on_every_dialect(
    small_site: Site, dialect: Callable[[], Dialect], grammar: str
) -> None:
    tables = HistoryTables(None)
    table, head = tables.recording, tables.head
    retail, store = Application(1, "retail"), HistoryStore("emea")
    store.create(small_site.history)
    reads: list[Any] = []
    event.listen(
        small_site.history, "before_execute", lambda _, statement, *__: reads.append(statement)
    )
    with small_site.history.begin() as connection:
        store.add(connection, recording(ActivityProfile(NOW, (0,) * 365)))
        store.newest(connection, "retail", NOW)
        store.newest_of_any(connection, NOW)
        store.within(connection, "retail", [(NOW, NOW + DAY)], 48)
        store.within(connection, "retail", [(NOW - DAY, NOW), (NOW, NOW + DAY)])
        store.of_slot(connection, retail, NOW)
        store.days(connection, retail, [(NOW, NOW + DAY)])
        store.recorded_days(connection, retail)
        store.is_gone(connection, recording(ActivityProfile(NOW, (0,) * 365)), NOW + DAY)
        list(store.chain(connection))
        store.names(connection)
    assert len(reads) > 13
    statements = [
        *map(CreateTable, (table, head)),
        *map(CreateIndex, table.indexes),
        *reads,
    ]

    for statement in statements:
        sql = str(statement.compile(dialect=dialect()))
        # The placeholders of drivers are no part of a grammar.
        parsed = sqlglot.parse(re.sub(r"%(\(\w+\))?s|__\[\w+\]", "1", sql), read=grammar)
        assert len(parsed) == 1
        assert not isinstance(parsed[0], exp.Command)
