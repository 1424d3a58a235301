"""What those who watch are told: the observer, the log record, the signals."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, timedelta
from functools import partial
from logging.config import dictConfig
from typing import Any

import pytest
from blinker import NamedSignal
from flask import Flask, abort
from flask.testing import FlaskClient
from marshmallow import Schema, fields
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from flask_powerauth_telemetry import ReportContext, ReportProvider
from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.config.keys import DEFAULT_NAME
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.monitoring.events import Origin, Refusal
from flask_powerauth_telemetry.monitoring.signals import (
    credentials_refused,
    report_failed,
    report_generated,
    request_refused,
)
from flask_powerauth_telemetry.service import Observer, ReportRun, ReportService
from flask_powerauth_telemetry.state import EXTENSION_KEY, TelemetryState
from tests.support import powerauth
from tests.support.service import CREDENTIALS, NOW, PATH, USER, ask, basic, create_app, url_of

LOGGER = "flask_powerauth_telemetry.access_log"
SIGNALS = (report_generated, report_failed, credentials_refused, request_refused)
DATA = {"application": "retail", "days": 30, "users": 3}
GENERATED = ReportRun(
    report="CURRENT_MAU",
    known=True,
    principal="billing",
    applications=("retail",),
    days=30,
    seconds=0,
    as_of=NOW,
    source="live",
    data=DATA,
)
RECORD = {
    "telemetry_event": "report_generated",
    "telemetry_address": "192.0.2.7",
    "telemetry_instance": "powerauth_telemetry",
    "telemetry_request_id": "id-1",
    "telemetry_principal": "billing",
    "telemetry_user": None,
    "telemetry_report": "CURRENT_MAU",
    "telemetry_application": "retail",
    "telemetry_days": 30,
    "telemetry_as_of": "2026-11-25T12:00:00.000Z",
    "telemetry_seconds": 0,
    "telemetry_source": "live",
    "telemetry_kept": False,
    "telemetry_status": 200,
    "telemetry_code": None,
    "telemetry_error": None,
    "telemetry_database": None,
}
NO_RUN = dict.fromkeys(
    f"telemetry_{name}"
    for name in ("report", "application", "days", "as_of", "seconds", "source", "kept")
)
HEADERS = {"X-Request-ID": "id-1"}
FROM = {"REMOTE_ADDR": "192.0.2.7"}


class Flawed(ReportProvider):
    """Does what it is told to."""

    name = "FLAWED"
    definition = "Whatever the test wants."
    parameters_schema = Schema.from_dict({})
    data_schema = Schema.from_dict({"value": fields.Raw()})

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act

    def generate(self, context: ReportContext, *_: Any, **__: Any) -> Mapping[str, Any]:
        return {"value": self._act()}


def failing() -> None:
    raise ValueError("the secret cause")


@pytest.fixture
def users(sqlite: Engine) -> Engine:
    """A database in which the application retail has three users."""
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    used = powerauth.wall_clock(NOW - timedelta(days=2), UTC)
    powerauth.add_activations(
        sqlite,
        [powerauth.Activation(f"a{number}", 1, f"u{number}", used) for number in range(3)],
    )
    return sqlite


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, LOGGER)
    return caplog


def post(client: FlaskClient, **options: Any) -> TestResponse:
    """A request of a known origin, by default for the users of retail."""
    body = {"requestObject": {"name": "current_mau", "parameters": {"application": "retail"}}}
    given = {"json": body, "auth": USER, "headers": HEADERS, "environ_overrides": FROM}
    return client.open(**{"path": PATH, "method": "POST", **given, **options})


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: value for name, value in vars(record).items() if name.startswith("telemetry_")
    } | ({"telemetry_seconds": 0} if vars(record)["telemetry_seconds"] is not None else {})


def records_of(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in log.records if record.name == LOGGER]


@contextmanager
def received(app: Flask) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The signals that an application sends in this block."""
    told: list[tuple[str, dict[str, Any]]] = []

    def receiver(signal: NamedSignal) -> Callable[..., None]:
        def receive(sender: Flask, **facts: Any) -> None:
            assert sender is app
            if "run" in facts:
                assert facts["run"].seconds > 0
                facts["run"] = facts["run"]._replace(seconds=0)
            told.append((signal.name, facts))

        return receive

    receivers = [(signal, receiver(signal)) for signal in SIGNALS]
    for signal, receive in receivers:
        signal.connect(receive, sender=app)
    yield told
    for signal, receive in receivers:
        signal.disconnect(receive, sender=app)


def service_of(app: Flask, observer: Observer) -> ReportService:
    state: TelemetryState = app.extensions[EXTENSION_KEY][DEFAULT_NAME]
    return ReportService(
        state.registry, state.databases, lambda: NOW, keep_seconds=60, observer=observer
    )


def test_observer_is_told_of_each_run(users: Engine) -> None:
    runs: list[ReportRun] = []
    service = service_of(create_app(users), runs.append)

    for _ in range(2):
        service.run("current_mau", {"application": "retail"}, Principal("billing"))

    assert all(0 < run.seconds < 60 for run in runs)
    assert [run._replace(seconds=0) for run in runs] == [
        GENERATED,
        GENERATED._replace(kept=True),
    ]


@pytest.mark.parametrize(
    ("name", "parameters", "facts"),
    [
        (
            "x" * 65,
            {"application": "retail"},
            {
                "report": "x" * 64 + "…",
                "known": False,
                "applications": (),
                "days": None,
                "error": "UnknownReport",
            },
        ),
        (
            "users_in_past_days",
            {"application": "retail", "days": 366},
            {"report": "USERS_IN_PAST_DAYS", "days": None, "error": "InvalidParameters"},
        ),
        (
            "USERS_IN_PAST_DAYS",
            {"application": "corporate", "days": "7"},
            {
                "report": "USERS_IN_PAST_DAYS",
                "applications": ("corporate",),
                "days": None,
                "error": "UnknownApplication",
            },
        ),
        (
            "USERS_IN_PAST_DAYS",
            {"application": "nowhere", "days": "7"},
            {
                "report": "USERS_IN_PAST_DAYS",
                "applications": ("nowhere",),
                "days": 7,
                "error": "UnknownApplication",
            },
        ),
    ],
)
def test_observer_is_told_of_each_failure(
    users: Engine, name: str, parameters: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    runs: list[ReportRun] = []
    service = service_of(create_app(users), runs.append)
    principal = Principal("billing", frozenset({"retail", "nowhere"}))

    with pytest.raises(TelemetryError):
        service.run(name, parameters, principal)

    (run,) = runs
    failed = GENERATED._replace(
        as_of=None, source=None, data=None, status=400, code="ERROR_TELEMETRY"
    )
    assert run._replace(seconds=0) == failed._replace(**facts)


def test_observer_that_raises_does_not_disturb(
    users: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    def raising(run: ReportRun) -> None:
        raise RuntimeError("the observer broke")

    service = service_of(create_app(users), raising)

    report = service.run("CURRENT_MAU", {"application": "retail"}, Principal("billing"))

    assert report.data == DATA
    assert "the observer broke" in caplog.text


def test_report_has_one_record(users: Engine, log: pytest.LogCaptureFixture) -> None:
    client = create_app(users).test_client()

    for _ in range(2):
        assert post(client).status_code == 200

    first, second = records_of(log)
    assert (first.levelno, extra_of(first)) == (logging.INFO, RECORD)
    assert (second.levelno, extra_of(second)) == (
        logging.INFO,
        RECORD | {"telemetry_kept": True},
    )
    assert re.sub(r"seconds=[0-9.e-]+", "seconds=S", first.getMessage()) == (
        "report generated: address=192.0.2.7 instance=powerauth_telemetry request_id=id-1"
        " principal=billing report=CURRENT_MAU application=retail days=30"
        " as_of=2026-11-25T12:00:00.000Z seconds=S source=live kept=false status=200"
    )


def test_report_has_no_record_by_default(users: Engine, caplog: pytest.LogCaptureFixture) -> None:
    assert post(create_app(users).test_client()).status_code == 200

    assert records_of(caplog) == []


REFUSED = [
    pytest.param({"auth": None}, 401, {"principal": None, "error": "Unauthorized"}, id="none"),
    pytest.param(
        {"auth": ("billing", "pass-word")},
        401,
        {"principal": None, "user": "billing", "error": "Unauthorized"},
        id="wrong",
    ),
    pytest.param(
        {"auth": ("0a1b2c3d-4e5f-6789-abcd-ef0123456789", "pass-word")},
        401,
        {"principal": None, "user": "0a1b2c3d-4e5…", "error": "Unauthorized"},
        id="token as user",
    ),
    pytest.param({"path": f"{PATH}/more"}, 404, {"error": "NotFound"}, id="path"),
    pytest.param({"method": "GET"}, 405, {"error": "MethodNotAllowed"}, id="method"),
    pytest.param(
        {"json": None, "data": "{}"}, 415, {"error": "UnsupportedMediaType"}, id="no JSON"
    ),
    pytest.param(
        {"json": {"requestObject": {"name": "X" * 70_000}}},
        413,
        {"error": "PayloadTooLarge"},
        id="too large",
    ),
    pytest.param({"json": {"requestObject": {}}}, 400, {"error": "InvalidRequest"}, id="no name"),
]
CODES = {401: "ERROR_UNAUTHORIZED", 404: "ERROR_NOT_FOUND"}


@pytest.mark.parametrize(("options", "status", "facts"), REFUSED)
def test_refusal_is_told(
    users: Engine,
    log: pytest.LogCaptureFixture,
    options: dict[str, Any],
    status: int,
    facts: dict[str, Any],
) -> None:
    app = create_app(users)

    with received(app) as told:
        assert post(app.test_client(), **options).status_code == status

    known: dict[str, Any] = {"principal": "billing", **facts}
    code = CODES.get(status, "ERROR_HTTP_REQUEST")
    refusal = Refusal(status=status, code=code, **known)
    event = "credentials_refused" if status == 401 else "request_refused"
    origin = Origin(instance="powerauth_telemetry", request_id="id-1", address="192.0.2.7")
    assert told == [(event, {"refusal": refusal, "origin": origin})]
    (record,) = records_of(log)
    assert record.levelno == logging.WARNING
    assert extra_of(record) == {
        **RECORD,
        **NO_RUN,
        "telemetry_event": event,
        **{f"telemetry_{name}": value for name, value in vars(refusal).items()},
    }
    assert "pass-word" not in log.text


def test_refused_credentials_have_the_documented_line(
    users: Engine, log: pytest.LogCaptureFixture
) -> None:
    post(create_app(users).test_client(), auth=("billing", "pass-word"))

    assert records_of(log)[0].getMessage() == (
        "credentials refused: address=192.0.2.7 instance=powerauth_telemetry request_id=id-1"
        " user=billing status=401 code=ERROR_UNAUTHORIZED error=Unauthorized"
    )


def test_options_is_not_told(users: Engine, log: pytest.LogCaptureFixture) -> None:
    app = create_app(users)

    with received(app) as told:
        assert post(app.test_client(), method="OPTIONS", json=None).status_code == 200

    assert told == []
    assert records_of(log) == []


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (failing, "ValueError"),
        (object, "ProviderFault"),
        (lambda: float("nan"), "ProviderFault"),
        (lambda: abort(403), "Forbidden"),
        (lambda: abort(413), "RequestEntityTooLarge"),
    ],
)
def test_fault_is_told_once_without_its_cause(
    users: Engine, log: pytest.LogCaptureFixture, act: Callable[[], Any], error: str
) -> None:
    app = create_app(users, arguments={"providers": [Flawed(act)]})
    body = {"requestObject": {"name": "FLAWED"}}

    with received(app) as told:
        assert post(app.test_client(), json=body).status_code == 500

    run = GENERATED._replace(
        report="FLAWED",
        applications=(),
        days=None,
        as_of=None,
        source=None,
        data=None,
        status=500,
        code="ERROR_GENERIC",
        error=error,
    )
    assert [(name, facts["run"]) for name, facts in told] == [("report_failed", run)]
    (record,) = records_of(log)
    assert record.levelno == logging.WARNING
    assert extra_of(record) == RECORD | NO_RUN | {
        "telemetry_event": "report_failed",
        "telemetry_report": "FLAWED",
        "telemetry_seconds": 0,
        "telemetry_kept": False,
        "telemetry_status": 500,
        "telemetry_code": "ERROR_GENERIC",
        "telemetry_error": error,
    }
    assert "secret" not in record.getMessage()
    (fault,) = [record for record in log.records if record.levelno == logging.ERROR]
    assert fault.name == "flask_powerauth_telemetry.errors"


def test_credentials_that_cant_be_checked_are_told_as_unavailable(
    log: pytest.LogCaptureFixture, sqlite: Engine
) -> None:
    client = create_app(sqlite, CREDENTIALS="pa_integration").test_client()

    response = post(client)

    (record,) = records_of(log)
    assert response.status_code == vars(record)["telemetry_status"] >= 500
    assert vars(record)["telemetry_event"] == "request_refused"
    assert vars(record)["telemetry_user"] is None


FORGED = "x\r\n\u2028\x1b[0mcredentials refused: address=198.51.100.1 status=401"


@pytest.mark.parametrize(
    "options",
    [
        {"environ_overrides": {"HTTP_X_REQUEST_ID": FORGED, "REMOTE_ADDR": "192.0.2.7"}},
        {"environ_overrides": {"REMOTE_ADDR": FORGED}},
        {"auth": None, "headers": {"Authorization": basic(f"{FORGED[:9]}:p")}},
        {"json": {"requestObject": {"name": FORGED}}},
        {"json": {"requestObject": {"name": "CURRENT_MAU", "parameters": {"application": FORGED}}}},
    ],
    ids=["request id", "address", "user", "report", "application"],
)
def test_record_cant_be_forged(
    users: Engine, log: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    post(create_app(users).test_client(), **options)

    (record,) = records_of(log)
    texts = [value for value in extra_of(record).values() if isinstance(value, str)]
    assert all(text.isprintable() for text in texts)
    assert record.getMessage().isascii()
    assert record.getMessage().isprintable()
    assert "address=198.51.100.1" not in record.getMessage()
    assert record.getMessage().count("status=") == 1


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("a" * 129, "a" * 128),
        ("  trace-1\t\x7f\xe9 ", "trace-1"),
        ('a b="c"', 'a b="c"'),
    ],
)
def test_request_id_is_printable_and_short(
    users: Engine, log: pytest.LogCaptureFixture, given: str, known: str
) -> None:
    post(create_app(users).test_client(), environ_overrides={"HTTP_X_REQUEST_ID": given})

    assert vars(records_of(log)[0])["telemetry_request_id"] == known


@pytest.mark.parametrize("given", [None, "", "\xe9\t"])
def test_request_id_is_made_when_there_is_none(
    users: Engine, log: pytest.LogCaptureFixture, given: str | None
) -> None:
    client = create_app(users).test_client()
    environ = {} if given is None else {"HTTP_X_REQUEST_ID": given}

    for _ in range(2):
        post(client, headers={}, environ_overrides=environ)

    first, second = (vars(record)["telemetry_request_id"] for record in records_of(log))
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


def test_concurrent_requests_are_told_apart(users: Engine, log: pytest.LogCaptureFixture) -> None:
    app = create_app(users, MAX_WAITING=0)
    asked = {f"id-{number}": 1 + number % 40 for number in range(200)}

    def request(item: tuple[str, int]) -> int:
        parameters = {"application": "retail", "days": item[1]}
        body = {"requestObject": {"name": "USERS_IN_PAST_DAYS", "parameters": parameters}}
        headers = {"X-Request-ID": item[0]}
        return post(app.test_client(), json=body, headers=headers).status_code

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(request, asked.items())) == {200}

    records = [vars(record) for record in records_of(log)]
    assert len(records) == len(asked)
    assert {record["telemetry_request_id"]: record["telemetry_days"] for record in records} == asked


def test_signal_tells_what_the_record_does(users: Engine) -> None:
    app = create_app(users)

    with received(app) as told:
        post(app.test_client())

    origin = Origin(instance="powerauth_telemetry", request_id="id-1", address="192.0.2.7")
    assert told == [("report_generated", {"run": GENERATED, "origin": origin})]


def test_signal_outside_of_a_request_has_no_origin(users: Engine) -> None:
    app = create_app(users)
    state: TelemetryState = app.extensions[EXTENSION_KEY][DEFAULT_NAME]

    with received(app) as told:
        state.service.run("CURRENT_MAU", {"application": "retail"}, Principal("billing"))

    origin = Origin(instance="powerauth_telemetry")
    assert told == [("report_generated", {"run": GENERATED, "origin": origin})]


def test_signals_of_one_application_reach_no_other(users: Engine) -> None:
    app, other = create_app(users), create_app(users)

    with received(other) as told:
        post(app.test_client())

    assert told == []


@pytest.mark.parametrize(
    ("signal", "options", "status"),
    [(report_generated, {}, 200), (credentials_refused, {"auth": None}, 401)],
)
def test_receiver_that_raises_changes_nothing(
    users: Engine,
    caplog: pytest.LogCaptureFixture,
    signal: NamedSignal,
    options: dict[str, Any],
    status: int,
) -> None:
    app = create_app(users)
    plain = post(app.test_client(), **options)

    def raising(sender: Flask, **_: Any) -> None:
        raise RuntimeError("the receiver broke")

    with signal.connected_to(raising, sender=app), received(app) as told:
        response = post(app.test_client(), **options)

    assert (response.status_code, response.data) == (status, plain.data)
    assert [name for name, _ in told] == [signal.name]
    assert "the receiver broke" in caplog.text


def test_receiver_that_changes_the_data_changes_no_answer(users: Engine) -> None:
    app = create_app(users, CACHE_SECONDS=60)
    plain = [post(app.test_client()).data for _ in range(2)]
    seen = []

    def changing(sender: Flask, run: ReportRun, **_: Any) -> None:
        assert isinstance(run.data, dict)
        seen.append(run.data["users"])
        run.data.clear()

    with (
        report_generated.connected_to(changing, sender=app),
        report_generated.connected_to(partial(changing), sender=app),
    ):
        assert [post(app.test_client()).data for _ in range(2)] == plain
    assert len(seen) == 4


def test_filter_that_raises_changes_nothing(
    users: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    def raising(record: logging.LogRecord) -> bool:
        raise RuntimeError("the filter broke")

    logger = logging.getLogger(LOGGER)
    logger.addFilter(raising)
    try:
        assert post(create_app(users).test_client(), auth=None).status_code == 401
    finally:
        logger.removeFilter(raising)

    assert "the filter broke" in caplog.text


def test_instances_are_told_apart(users: Engine, log: pytest.LogCaptureFixture) -> None:
    app = create_app(
        users,
        arguments={"name": "emea"},
        EMEA_DATABASE_URL=url_of(users),
        EMEA_CREDENTIALS=CREDENTIALS,
    )

    post(app.test_client())

    assert vars(records_of(log)[0])["telemetry_instance"] == "emea"


def test_every_record_of_a_request_has_the_same_fields(
    users: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with users.begin() as connection:
        connection.exec_driver_sql("DROP TABLE pa_activation")
    headers = {"X-Request-ID": "id-1"}
    asked = {"requestObject": {"name": "CURRENT_MAU", "parameters": {"application": "retail"}}}

    post(create_app(users).test_client(), json=asked, headers=headers)

    told, failed = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert failed.name == "flask_powerauth_telemetry.errors"
    assert failed.exc_info
    assert extra_of(failed) == extra_of(told)
    assert extra_of(failed)["telemetry_request_id"] == "id-1"
    assert extra_of(failed)["telemetry_application"] == "retail"


def test_unavailable_database_is_logged_with_its_cause(
    sqlite: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    url = "postgresql+psycopg://nobody:secret@127.0.0.1:1/nowhere"
    asked = {"requestObject": {"name": "CURRENT_MAU", "parameters": {"application": "retail"}}}

    response = post(create_app(DATABASE_URL=url).test_client(), json=asked)

    assert response.status_code == 503
    failed = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert "OperationalError" in failed.getMessage()
    assert "refused" in failed.getMessage()
    assert "secret" not in caplog.text


def test_logging_as_flasks_manual_sets_it_up(users: Engine) -> None:
    """It calls dictConfig after the imports, which disables every logger that is there."""
    logger = logging.getLogger("flask_powerauth_telemetry.access_log")
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    loggers = [
        one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)
    ]
    disabled = {one: one.disabled for one in loggers}
    try:
        dictConfig(
            {
                "version": 1,
                "handlers": {"lines": {"()": Lines}},
                "root": {"level": "INFO", "handlers": ["lines"]},
            }
        )
        assert logger.disabled
        ask(create_app(users).test_client(), parameters={"application": "retail"})
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]
        for one, was in disabled.items():
            one.disabled = was
    assert any("report generated" in line for line in lines)
