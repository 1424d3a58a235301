"""Every record of a request can be joined with the others, and none is one of too many."""

import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from marshmallow import Schema, fields
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, Executable, text
from werkzeug.test import TestResponse

from flask_powerauth_telemetry import ApplicationField, ReportContext, ReportProvider, Unavailable
from flask_powerauth_telemetry.dashboard import PowerAuthTelemetryDashboard
from flask_powerauth_telemetry.database.dialects.postgresql import PostgreSQL
from flask_powerauth_telemetry.monitoring.access_log import fields_of
from flask_powerauth_telemetry.monitoring.metrics import TelemetryMetrics
from flask_powerauth_telemetry.monitoring.signals import report_failed
from flask_powerauth_telemetry.responses import LOG_AGAIN_SECONDS, LoggedCauses
from tests.support import powerauth
from tests.support.callers import LONG, Clock, Gate
from tests.support.documents import ROOT
from tests.support.held import TABLES, create_held_database, hold
from tests.support.service import CREDENTIALS, PATH, USER, create_app, url_of

ATTRIBUTES = {f"telemetry_{name}" for name in fields_of(None, None, None)}
ADDRESS = "192.0.2.7"
DOWN = "postgresql+psycopg://nobody:pass-word@127.0.0.1:1/nowhere"
GET: dict[str, Any] = {"method": "GET", "json": None}


class Acting(ReportProvider):
    """Does what a test wants."""

    name = "ACTING"
    definition = "Whatever the test wants."
    parameters_schema = Schema.from_dict({"application": ApplicationField()})
    data_schema = Schema.from_dict({"value": fields.Raw()})

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act

    def generate(self, context: ReportContext, *_: Any, **__: Any) -> Mapping[str, Any]:
        return {"value": self._act()}


def failing() -> None:
    raise ValueError("the cause")


class Failing:
    """A store of credentials that has a fault."""

    def authenticate(self, username: str, password: str) -> str | None:
        raise ValueError("the cause")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "flask_powerauth_telemetry")
    return caplog


@pytest.fixture
def users(sqlite: Engine) -> Engine:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    return sqlite


@pytest.fixture
def damaged(users: Engine) -> Engine:
    with users.begin() as connection:
        connection.exec_driver_sql("DROP TABLE pa_activation")
    return users


def send(app: Flask, name: str = "CURRENT_MAU", **options: Any) -> TestResponse:
    """A request of a known origin, by default for the users of retail."""
    body = {"requestObject": {"name": name, "parameters": {"application": "retail"}}}
    given = {
        "path": PATH,
        "method": "POST",
        "json": body,
        "auth": USER,
        "headers": {"X-Request-ID": "id-1"},
        "environ_overrides": {"REMOTE_ADDR": ADDRESS},
    }
    return app.test_client().open(**given | options)


def ours(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [one for one in log.records if one.name.startswith("flask_powerauth_telemetry")]


def told(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name.startswith("telemetry_")}


def errors(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [one for one in ours(log) if one.levelno >= logging.ERROR]


def assert_joined(log: pytest.LogCaptureFixture, loggers: str, **facts: Any) -> None:
    """All records of one request are of these loggers, and each tells the same of it."""
    records = ours(log)
    assert {one.name.removeprefix("flask_powerauth_telemetry.") for one in records} == set(
        loggers.split()
    )
    known = {"instance": "powerauth_telemetry", "request_id": "id-1", "address": ADDRESS, **facts}
    for record in records:
        assert told(record).keys() == ATTRIBUTES
        assert {name: told(record)[f"telemetry_{name}"] for name in known} == known, record
        json.dumps(told(record))


RETAIL = {"report": "CURRENT_MAU", "application": "retail", "principal": "billing"}
OUT_OF_RANGE = {"requestObject": {"name": "users_in_past_days", "parameters": {"days": 0}}}
REQUESTS = [
    pytest.param({"auth": ("billing", "wrong")}, 401, {"principal": None}, id="credentials"),
    pytest.param({"json": OUT_OF_RANGE}, 400, {"report": "USERS_IN_PAST_DAYS"}, id="parameters"),
    pytest.param({"name": "NOWHERE"}, 400, {"report": "NOWHERE"}, id="report"),
    pytest.param({}, 200, RETAIL, id="given"),
    pytest.param({**GET, "path": f"{PATH}s", "auth": None}, 401, {"report": None}, id="catalogue"),
    pytest.param({**GET, "path": f"{PATH[:-7]}/x"}, 404, {"report": None}, id="path"),
    pytest.param({"path": f"{PATH[:-7]}/openapi.json"}, 405, {"report": None}, id="openapi"),
    pytest.param({**GET, "path": "/telemetry/", "auth": None}, 401, {}, id="page"),
    pytest.param({**GET, "path": "/telemetry/figure/none"}, 404, {}, id="figure"),
]


@pytest.mark.parametrize(("options", "status", "facts"), REQUESTS)
def test_record_of_a_request_that_nobody_failed(
    users: Engine,
    log: pytest.LogCaptureFixture,
    options: dict[str, Any],
    status: int,
    facts: dict[str, Any],
) -> None:
    app = create_app(users)
    PowerAuthTelemetryDashboard(app)

    assert send(app, **options).status_code == status

    assert_joined(log, "access_log", status=status, database=None, **facts)


@pytest.mark.parametrize("level", [logging.INFO, logging.CRITICAL])
@pytest.mark.parametrize("act", [failing, object])
def test_provider_that_fails(
    users: Engine, log: pytest.LogCaptureFixture, act: Callable[[], Any], level: int
) -> None:
    app = create_app(users, arguments={"providers": [Acting(act)]})
    log.set_level(level, "flask_powerauth_telemetry.access_log")
    log.handler.setLevel(logging.DEBUG)

    assert send(app, "ACTING").status_code == 500

    loggers = "errors access_log" if level == logging.INFO else "errors"
    assert_joined(log, loggers, report="ACTING", application="retail", status=500, database=None)
    assert errors(log)[0].exc_info


def test_answer_that_cant_be_made(
    users: Engine, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.set_level(logging.WARNING, "flask_powerauth_telemetry.access_log")
    monkeypatch.setattr("flask_powerauth_telemetry.blueprint.report_envelope", failing)

    assert send(create_app(users)).status_code == 500

    assert_joined(log, "errors")


def test_store_that_fails(users: Engine, log: pytest.LogCaptureFixture) -> None:
    app = create_app(users, arguments={"credentials": Failing()}, CREDENTIALS=None)

    assert send(app).status_code == 500

    assert_joined(log, "errors access_log", status=500, error="ServerFault")


def test_receiver_that_fails(users: Engine, log: pytest.LogCaptureFixture) -> None:
    app = create_app(users)

    def receive(*_: Any, **__: Any) -> None:
        failing()

    with report_failed.connected_to(receive, sender=app):
        assert send(app, "NOWHERE").status_code == 400

    assert_joined(log, "monitoring access_log", report="NOWHERE", status=400)


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({}, RETAIL),
        ({**GET, "path": "/telemetry/figure/now?application=retail"}, {"report": "CURRENT_MAU"}),
        ({**GET, "path": "/telemetry/"}, {"report": "CURRENT_MAU"}),
    ],
)
def test_table_that_is_not_there(
    damaged: Engine, log: pytest.LogCaptureFixture, options: dict[str, Any], facts: dict[str, Any]
) -> None:
    app = create_app(damaged)
    PowerAuthTelemetryDashboard(app)

    send(app, **options)

    failed = errors(log)[0]
    assert failed.getMessage().startswith("A report failed, database main: OperationalError: ")
    assert failed.exc_info
    assert told(failed)["telemetry_database"] == "main"
    assert {told(record)["telemetry_request_id"] for record in ours(log)} == {"id-1"}
    assert {name: told(failed)[f"telemetry_{name}"] for name in facts} == facts


@pytest.mark.parametrize("path", [PATH, "/telemetry/"])
def test_database_that_is_down(log: pytest.LogCaptureFixture, path: str) -> None:
    app = create_app(DATABASE_URL=DOWN)
    PowerAuthTelemetryDashboard(app)

    assert send(app, path=path, **({} if path == PATH else GET)).status_code == 503

    assert_joined(log, "errors access_log", database="main", status=503, error="Unavailable")
    (failed,) = errors(log)
    assert failed.getMessage().startswith("A report is not available, database main: ")
    assert "refused" in failed.getMessage()
    assert "pass-word" not in log.text


def test_further_database_that_is_down(users: Engine, log: pytest.LogCaptureFixture) -> None:
    names = ["USERS_BY_STATUS"]
    app = create_app(
        users,
        REPORTS=names,
        BINDS={"replica": DOWN},
        REPORT_BINDS={"USERS_BY_STATUS": "replica"},
    )

    assert send(app, "USERS_BY_STATUS").status_code == 503
    assert_joined(log, "errors access_log", database="replica", report="USERS_BY_STATUS")
    log.clear()
    assert send(app).status_code == 200
    assert_joined(log, "access_log", database=None)


def test_credentials_that_cant_be_read(log: pytest.LogCaptureFixture) -> None:
    app = create_app(DATABASE_URL=DOWN, CREDENTIALS="pa_integration")

    assert send(app).status_code == 503

    assert_joined(log, "errors access_log", database="integration", principal=None)


def test_lock_of_somebody_else(postgresql: Engine, log: pytest.LogCaptureFixture) -> None:
    powerauth.create_schema(postgresql)
    powerauth.add_applications(postgresql, ["retail"])
    app = create_app(postgresql, STATEMENT_TIMEOUT=2)

    with postgresql.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE pa_activation")
        assert send(app).status_code == 503

    assert_joined(log, "errors access_log", database="main", status=503, **RETAIL)


def test_time_limit(postgresql: Engine, log: pytest.LogCaptureFixture) -> None:
    create_held_database(postgresql)
    hold(postgresql, 5)
    app = create_app(postgresql, TABLES=TABLES, STATEMENT_TIMEOUT=0.5)

    for _ in range(2):  # the second is refused because of the first
        assert send(app).status_code == 503

        assert_joined(log, "errors access_log", database="main", error="TooSlow", **RETAIL)
        log.clear()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def test_too_many_callers(users: Engine, log: pytest.LogCaptureFixture, gate: Gate) -> None:
    app = create_app(users, arguments={"providers": [Acting(gate)]}, MAX_WAITING=1)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, app, "ACTING")
        gate.wait()
        assert send(app).status_code == 503
        assert_joined(log, "errors access_log", status=503, **RETAIL)
        gate.opened.set()
        assert first.result(LONG).status_code == 200


def test_computation_that_hangs_is_told_as_its_callers(
    users: Engine, log: pytest.LogCaptureFixture, gate: Gate
) -> None:
    app = create_app(users, arguments={"providers": [Acting(gate)]}, STATEMENT_TIMEOUT=0.2)

    assert send(app, "ACTING").status_code == 503

    assert_joined(
        log,
        "computation errors access_log",
        report="ACTING",
        application="retail",
        principal="billing",
        database="main",
    )


def test_look_that_fails_is_told_once_and_as_its_callers(
    postgresql: Engine, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_held_database(postgresql)
    hold(postgresql, 2.5)
    monkeypatch.setattr(PostgreSQL, "end_if_waited_for", _look_that_fails)

    assert send(create_app(postgresql, TABLES=TABLES)).status_code == 200

    assert_joined(log, "database access_log", **RETAIL)
    (record,) = (one for one in ours(log) if one.name.endswith(".database"))
    assert "on the database main: " in record.getMessage()
    assert told(record)["telemetry_database"] == "main"


def _look_that_fails(*_: Any) -> Executable:
    return text("SELECT no_such_column")


def test_request_has_one_id_in_all_its_records(
    damaged: Engine, log: pytest.LogCaptureFixture
) -> None:
    app = create_app(damaged)
    PowerAuthTelemetryDashboard(app)

    for _ in range(2):
        send(app, **GET, path="/telemetry/application?application=retail", headers={})

    ids = [told(record)["telemetry_request_id"] for record in ours(log)]
    assert len(ids) > 4
    assert len(set(ids)) == 2
    assert ids == sorted(ids, key=ids.index)


def test_every_logger_tells(users: Engine, log: pytest.LogCaptureFixture) -> None:
    source = " ".join(
        path.read_text("utf-8") for path in (ROOT / "flask_powerauth_telemetry").rglob("*.py")
    )
    names = set(re.findall(r'getLogger\("(flask_powerauth_telemetry\.\w+)"', source))
    create_app(users)

    for name in names:
        logging.getLogger(name).error("outside of a request")

    assert len(names) >= 8
    assert [told(record).keys() for record in ours(log)] == [ATTRIBUTES] * len(names)


_HOST = """
import json, logging.config, sys
from flask import Flask
from flask_powerauth_telemetry import PowerAuthTelemetry

class Json(logging.Formatter):
    def format(self, record):
        return json.dumps({"logger": record.name, **{
            name: value for name, value in vars(record).items() if name.startswith("telemetry_")
        }})

formats = {"json": {"()": Json}, "text": {"format": "%(telemetry_request_id)s %(message)s"}}
logging.config.dictConfig({
    "version": 1,
    "formatters": formats,
    "handlers": {
        "json": {"class": "logging.FileHandler", "filename": "json", "formatter": "json"},
        "text": {"class": "logging.FileHandler", "filename": "text", "formatter": "text"},
    },
    "loggers": {"flask_powerauth_telemetry": {"level": "INFO", "handlers": ["json", "text"]}},
})
app = Flask("host")
app.config.from_prefixed_env()
PowerAuthTelemetry(app)
body = {"requestObject": {"name": "CURRENT_MAU", "parameters": {"application": "retail"}}}
for user in (("billing", "a-token"), ("billing", "wrong")):
    app.test_client().post(sys.argv[1], json=body, auth=user, headers={"X-Request-ID": "id-1"})
"""


def test_hosts_own_formatters_find_the_attributes(damaged: Engine, tmp_path: Path) -> None:
    environment = {
        "FLASK_POWERAUTH_TELEMETRY_DATABASE_URL": url_of(damaged),
        "FLASK_POWERAUTH_TELEMETRY_CREDENTIALS": json.dumps(CREDENTIALS),
    }

    subprocess.run(
        [sys.executable, "-W", "error", "-c", _HOST, PATH],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=60,
    )

    records = [json.loads(line) for line in (tmp_path / "json").read_text().splitlines()]
    assert [one.pop("logger").rpartition(".")[2] for one in records] == [
        "access_log",
        "errors",
        "access_log",
    ]
    assert all(one.keys() == ATTRIBUTES for one in records)
    assert records[0] == records[1]
    assert {one["telemetry_request_id"] for one in records} == {"id-1"}
    lines = (tmp_path / "text").read_text().splitlines()
    assert sum(line.startswith("id-1 ") for line in lines) == 3


def test_crowd_before_a_stopped_database_is_logged_once_each_time(
    log: pytest.LogCaptureFixture,
) -> None:
    app = create_app(DATABASE_URL=DOWN, MAX_WAITING=0)
    registry = CollectorRegistry()
    TelemetryMetrics(app, registry=registry)
    started = time.monotonic()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(app).status_code, range(200)))

    most = 1 + (time.monotonic() - started) // LOG_AGAIN_SECONDS
    assert answers == [503] * 200
    assert 1 <= len(errors(log)) <= most
    assert "refused" in errors(log)[0].getMessage()
    refused = [one for one in ours(log) if one.name.endswith("access_log")]
    assert len(refused) == 200
    assert all(one.levelno == logging.WARNING and not one.exc_info for one in refused)
    counted = registry.get_sample_value(
        "powerauth_telemetry_failures_total",
        {"telemetry": "powerauth_telemetry", "report": "CURRENT_MAU", "error": "Unavailable"},
    )
    assert counted == 200


def test_each_cause_is_logged(users: Engine, log: pytest.LogCaptureFixture) -> None:
    app = create_app(
        users,
        REPORTS=["USERS_BY_STATUS"],
        BINDS={"replica": DOWN},
        REPORT_BINDS={"USERS_BY_STATUS": "replica"},
        CACHE_SECONDS=0,
    )
    for table in ("pa_activation", "pa_application"):
        for _ in range(5):
            send(app, "USERS_BY_STATUS")
            send(app)
        with users.begin() as connection:
            connection.exec_driver_sql(f"DROP TABLE {table}")
    for _ in range(5):
        send(app)

    databases = [told(one)["telemetry_database"] for one in errors(log)]
    messages = [one.getMessage() for one in errors(log)]
    assert sorted(databases) == ["main", "main", "replica"]
    assert [table in " ".join(messages) for table in ("pa_activation", "pa_application")] == [
        True,
        True,
    ]
    assert sum(bool(one.exc_info) for one in errors(log)) == 2


def test_causes_that_begin_alike_are_one(users: Engine, log: pytest.LogCaptureFixture) -> None:
    causes = iter([*(["x" * 254 + end for end in ("a", "b", "bc")]), "port 5432", "port 60000"])

    def unavailable() -> None:
        raise Unavailable(next(causes))

    app = create_app(users, arguments={"providers": [Acting(unavailable)]})
    for _ in range(5):
        assert send(app, "ACTING").status_code == 503

    assert [one.getMessage()[-3:] for one in errors(log)] == ["xxa", "xxb", "432"]


def test_faults_of_providers_are_all_logged(users: Engine, log: pytest.LogCaptureFixture) -> None:
    app = create_app(users, arguments={"providers": [Acting(failing)]})

    for _ in range(3):
        send(app, "ACTING")

    assert [bool(one.exc_info) for one in errors(log)] == [True] * 3


def test_repeated_cause_is_counted_until_it_is_logged_again() -> None:
    clock = Clock()
    causes = LoggedCauses(clock)

    assert causes.repeats("one") == 0
    assert [causes.repeats("one") for _ in range(3)] == [None] * 3
    assert causes.repeats("other") == 0
    clock.now = LOG_AGAIN_SECONDS
    assert causes.repeats("one") == 3
    assert causes.repeats("one") is None
    assert [causes.repeats(number) for number in range(1000)] == [0] * 1000
    assert causes.repeats("one") == 0


@pytest.mark.parametrize("character", ["x", "\n", "\U0001f600", "\u202e", "\\", "="])
def test_no_attribute_is_longer_than_its_limit(
    users: Engine, log: pytest.LogCaptureFixture, character: str
) -> None:
    name = character * 254 + "x"
    with users.begin() as connection:
        statement = text("INSERT INTO pa_application (id, name) VALUES (7, :name)")
        connection.execute(statement, {"name": name})
    app = create_app(users, REPORTS=["USERS_ACROSS_APPLICATIONS"])
    headers = {"X-Request-ID": "i" * 999}
    several = {"name": "USERS_ACROSS_APPLICATIONS", "parameters": {"applications": [name, "y"]}}
    one = {"name": "CURRENT_MAU", "parameters": {"application": name}}

    for asked in (several, one, {"name": name, "parameters": {}}):
        send(app, headers=headers, json={"requestObject": asked})
    send(app, headers=headers, auth=(character * 255, "wrong"))

    records = ours(log)
    assert [one.getMessage().split(":")[0] for one in records] == [
        "report failed",
        "report generated",
        "report failed",
        "credentials refused",
    ]
    for record in records:
        texts = [value for value in told(record).values() if isinstance(value, str)]
        assert max(len(value.removesuffix("\u2026")) for value in texts) <= 255


@pytest.mark.parametrize(
    ("path", "destination", "status"),
    [
        ("", "image", 403),
        ("application", "document", 400),
        ("application?application=nope", "document", 404),
    ],
)
def test_page_that_is_refused_is_a_refused_request(
    users: Engine, log: pytest.LogCaptureFixture, path: str, destination: str, status: int
) -> None:
    app = create_app(users)
    PowerAuthTelemetryDashboard(app)
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": destination}

    send(app, path=f"/telemetry/{path}", headers=headers, **GET)

    (record,) = ours(log)
    refused = (told(record)["telemetry_event"], told(record)["telemetry_status"])
    assert refused == ("request_refused", status)


def test_first_record_of_a_process_can_be_formatted(tmp_path: Path) -> None:
    """It is written while the application starts, here by loggers that dictConfig has disabled."""
    keys = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'powerauth.sqlite'}",
        "CREDENTIALS": CREDENTIALS | {"growth": CREDENTIALS[USER[0]]},
        "SCOPES": {USER[0]: ["retail"]},
    }
    shown = " ".join(f"%({name})s" for name in sorted(ATTRIBUTES))
    script = f"""
from logging.config import dictConfig
from flask import Flask
from flask_powerauth_telemetry import PowerAuthTelemetry
dictConfig({{
    "version": 1,
    "formatters": {{"all": {{"format": "%(levelname)s {shown} %(message)s"}}}},
    "handlers": {{"out": {{"class": "logging.StreamHandler", "formatter": "all"}}}},
    "root": {{"handlers": ["out"]}},
}})
app = Flask("host")
app.config.update({ ({f"POWERAUTH_TELEMETRY_{name}": value for name, value in keys.items()})!r})
PowerAuthTelemetry(app)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    nothing = " ".join(["None"] * len(ATTRIBUTES))
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"WARNING {nothing} POWERAUTH_TELEMETRY_SCOPES has no entry *: ")
