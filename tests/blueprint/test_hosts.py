"""The extension inside hosts of every kind: their pages stay theirs, and ours stay ours."""

import gc
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, Request, abort
from flask_httpauth import HTTPBasicAuth
from flask_limiter import Limiter
from flask_sqlalchemy import SQLAlchemy
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter

from flask_powerauth_telemetry import ConfigurationError, PowerAuthTelemetry
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.dashboard import PowerAuthTelemetryDashboard
from flask_powerauth_telemetry.monitoring.metrics import TelemetryMetrics
from tests.support import powerauth
from tests.support.callers import threads_of_ours
from tests.support.held import eventually
from tests.support.recorded import Clock
from tests.support.service import (
    CREDENTIALS,
    NOW,
    PATH,
    USER,
    ask,
    basic,
    create_app,
    error,
    url_of,
)

RETAIL = {"application": "retail"}
BODY = {"requestObject": {"name": "CURRENT_MAU", "parameters": RETAIL}}


@pytest.fixture
def filled(sqlite: Engine) -> Engine:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    powerauth.add_activations(
        sqlite, [powerauth.Activation("a", 1, "anna", powerauth.wall_clock(NOW, UTC))]
    )
    return sqlite


def host(engine: Engine, **keys: Any) -> Flask:
    """A host that answers its own errors in its own way, for every code and exception."""
    app = create_app(engine, **keys)

    def handler(error: Exception) -> tuple[str, int, dict[str, str]]:
        code = getattr(error, "code", 599)
        return f"the host's own page for {code}", code, {"X-Host": "yes"}

    for code in (400, 401, 404, 405, 413, 415, 500):
        app.register_error_handler(code, handler)
    app.register_error_handler(Exception, handler)

    @app.post("/hosts/own")
    def own() -> str:
        raise ValueError("the host's own fault")

    @app.get("/hosts/slashed/")
    def slashed() -> str:
        return "slashed"

    return app


@pytest.mark.parametrize(
    ("method", "path", "data", "status", "code"),
    [
        ("POST", PATH, b"{", 400, "ERROR_HTTP_REQUEST"),
        ("POST", PATH, b"x" * 70_000, 413, "ERROR_HTTP_REQUEST"),
        ("POST", "/rest/v3/telemetry/nowhere", b"{}", 404, "ERROR_NOT_FOUND"),
        ("POST", "/rest/v3/telemetry", b"{}", 404, "ERROR_NOT_FOUND"),
        ("POST", "/rest/v3/telemetry//report", b"{}", 404, "ERROR_NOT_FOUND"),
        ("GET", PATH, b"", 405, "ERROR_HTTP_REQUEST"),
        ("PROPFIND", PATH, b"", 405, "ERROR_HTTP_REQUEST"),
    ],
)
def test_errors_are_ours_below_the_prefix(
    filled: Engine, method: str, path: str, data: bytes, status: int, code: str
) -> None:
    client = host(filled).test_client()

    response = client.open(
        path, method=method, data=data, auth=USER, content_type="application/json"
    )

    assert response.status_code == status
    assert response.get_json()["responseObject"]["code"] == code
    assert "X-Host" not in response.headers


def test_fault_is_ours_below_the_prefix(sqlite: Engine) -> None:
    with sqlite.connect():
        pass
    response = ask(host(sqlite).test_client(), "CURRENT_MAU", RETAIL)

    assert response.status_code == 500
    assert response.get_json()["responseObject"]["code"] == "ERROR_GENERIC"
    assert "X-Host" not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "page"),
    [
        ("GET", "/", 404, "the host's own page for 404"),
        ("GET", "/rest/v3/telemetryx", 404, "the host's own page for 404"),
        ("GET", "/rest/v3", 404, "the host's own page for 404"),
        ("GET", "/rest/v3/telemetri/report", 404, "the host's own page for 404"),
        ("GET", "/hosts/own", 405, "the host's own page for 405"),
        ("POST", "/hosts/own", 599, "the host's own page for 599"),
        ("GET", "/hosts//slashed/", 308, ""),
        ("GET", "/hosts/slashed", 308, ""),
        ("GET", "/hosts/slashed/", 200, "slashed"),
    ],
)
def test_everything_else_is_the_hosts(
    filled: Engine, method: str, path: str, status: int, page: str
) -> None:
    response = host(filled).test_client().open(path, method=method)

    assert response.status_code == status
    assert "WWW-Authenticate" not in response.headers
    assert "Cache-Control" not in response.headers
    if page:
        assert response.get_data(as_text=True) == page


class Greedy(BaseConverter):
    regex, part_isolating, weight = ".*?", False, -1


@pytest.mark.parametrize(
    "rule",
    [
        "/<path:p>",
        "/<greedy:p>",
        "/rest/<path:p>",
        "/<a>/<b>/<c>/<d>",
        "/rest/<v>/telemetry/report",
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_wide_rules_of_the_host_take_nothing_below_the_prefix(
    filled: Engine, rule: str, is_first: bool
) -> None:
    app = Flask("host", static_url_path="")
    app.url_map.converters["greedy"] = Greedy
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(filled)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    if not is_first:
        PowerAuthTelemetry(app)
    app.add_url_rule(rule, view_func=lambda **_: "the host's", methods=["GET", "POST"])
    if is_first:
        PowerAuthTelemetry(app)
    client = app.test_client()

    assert ask(client, "CURRENT_MAU", RETAIL).status_code == 200
    for method, path, status in (
        ("GET", PATH, 405),
        ("GET", f"{PATH}/x", 404),
        ("POST", "/rest/v3/telemetry//report", 404),
        ("GET", "/rest/v3/telemetry/", 404),
    ):
        assert client.open(path, method=method).status_code == 401
        assert client.open(path, method=method, auth=USER).status_code == status


def test_json_settings_of_the_host_do_not_matter(filled: Engine) -> None:
    app = create_app(filled)
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = True  # type: ignore[attr-defined]
    app.json.compact = False  # type: ignore[attr-defined]

    response = app.test_client().post(
        PATH,
        data='{"requestObject":{"name":"\\ud800☂"}}',
        auth=USER,
        content_type="application/json",
    )

    assert response.status_code == 400
    assert response.data.isascii()
    assert b"\\ud800\\u2602" in response.data


class FixedLimit(Request):
    """A class of a host's own, from before Flask let a limit be set."""

    max_content_length: Any = property(lambda self: 10)


@pytest.mark.parametrize("request_class", [Request, FixedLimit])
def test_smaller_limit_of_the_host_stays_on_its_own_routes(
    filled: Engine, request_class: type[Request]
) -> None:
    app = host(filled)
    app.config["MAX_CONTENT_LENGTH"] = 10
    app.request_class = request_class
    client = app.test_client()

    assert ask(client, "CURRENT_MAU", RETAIL).status_code == 200
    assert ask(client, "CURRENT_MAU", {"application": "a" * 70_000}).status_code == 413


def test_flask_sqlalchemy_engine(filled: Engine) -> None:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url_of(filled)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    database = SQLAlchemy()
    telemetry = PowerAuthTelemetry(engine=lambda: database.engine, clock=lambda: NOW)
    database.init_app(app)
    telemetry.init_app(app)

    response = ask(app.test_client(), "CURRENT_MAU", RETAIL)

    assert response.get_json()["responseObject"]["reportData"]["users"] == 1
    with app.app_context():
        database.engine.dispose()


def test_script_root_behind_a_proxy(filled: Engine) -> None:
    app = create_app(filled)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
    client = app.test_client()
    headers = {
        "X-Forwarded-Prefix": "/powerauth-java-server",
        "Authorization": basic(":".join(USER)),
    }

    assert client.post(PATH, json=BODY, headers=headers).status_code == 200
    assert client.post(PATH + "/", json=BODY, headers=headers).status_code == 404


def test_script_root_of_the_server(filled: Engine) -> None:
    client = create_app(filled).test_client()

    response = client.post(PATH, json=BODY, auth=USER, base_url="http://bank.example/powerauth")

    assert response.status_code == 200


def test_several_prefixes(filled: Engine) -> None:
    app = create_app(filled, URL_PREFIX=["/rest/v3/telemetry", "/rest/v4/telemetry"])
    client = app.test_client()

    for version in ("v3", "v4"):
        path = f"/rest/{version}/telemetry"
        assert ask(client, "CURRENT_MAU", RETAIL, path=f"{path}/report").status_code == 200
        assert ask(client, "CURRENT_MAU", RETAIL, path=f"{path}/other").status_code == 404
        assert client.post(f"{path}/other").status_code == 401


def test_nested_blueprint_that_the_host_mounts(filled: Engine) -> None:
    app = Flask(__name__)
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(filled)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    app.config["POWERAUTH_TELEMETRY_URL_PREFIX"] = None
    telemetry = PowerAuthTelemetry(app, clock=lambda: NOW)
    parent = Blueprint("internal", __name__, url_prefix="/internal")
    parent.register_blueprint(telemetry.blueprint, url_prefix="/telemetry")
    app.register_blueprint(parent)
    client = app.test_client()

    path = "/internal/telemetry"
    assert ask(client, "CURRENT_MAU", RETAIL, path=f"{path}/report").status_code == 200
    assert ask(client, "CURRENT_MAU", RETAIL, path=f"{path}/x").status_code == 404
    assert client.post(f"{path}/x").get_json()["responseObject"]["code"] == "ERROR_UNAUTHORIZED"
    assert client.post("/internal/x").status_code == 404
    assert client.post(PATH, auth=USER).get_json(silent=True) is None
    with app.test_request_context():
        assert app.url_for("internal.powerauth_telemetry.report") == f"{path}/report"
    telemetry.close(app)


def test_blueprint_that_the_host_mounts_elsewhere_too(filled: Engine) -> None:
    app = Flask(__name__)
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(filled)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    app.config["POWERAUTH_TELEMETRY_URL_PREFIX"] = ["/v3", "/v4"]
    telemetry = PowerAuthTelemetry(app, clock=lambda: NOW)
    parent = Blueprint("internal", __name__, url_prefix="/internal")
    parent.register_blueprint(telemetry.blueprint)
    app.register_blueprint(parent)
    app.register_blueprint(telemetry.blueprint, name="again", url_prefix="/again")

    for prefix in ("/v3", "/v4", "/internal", "/again"):
        path = f"{prefix}/report"
        assert ask(app.test_client(), "CURRENT_MAU", RETAIL, path=path).status_code == 200
        assert app.test_client().get(f"{prefix}/other").status_code == 401
    telemetry.close(app)


def test_blueprint_mounted_before_init_app_and_at_the_root(filled: Engine) -> None:
    app = Flask(__name__)
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(filled)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    app.config["POWERAUTH_TELEMETRY_URL_PREFIX"] = None
    telemetry = PowerAuthTelemetry(clock=lambda: NOW)
    app.register_blueprint(telemetry.blueprint)
    client = app.test_client()
    assert client.post("/report").status_code == 500

    telemetry.init_app(app)

    assert ask(client, "CURRENT_MAU", RETAIL, path="/report").status_code == 200
    assert ask(client, "CURRENT_MAU", RETAIL, path="/report/").status_code == 404
    for path in ("/", ""):  # as of a script root, with a slash and without
        asked = {"PATH_INFO": path}
        assert client.get(auth=USER, environ_overrides=asked).status_code == 404
        assert client.get(environ_overrides=asked).status_code == 401
    telemetry.close(app)


def test_close_leaves_no_session_and_a_later_request_opens_one(postgresql: Engine) -> None:
    powerauth.create_schema(postgresql)
    powerauth.add_applications(postgresql, ["retail"])
    telemetry, app = PowerAuthTelemetry(clock=lambda: NOW), Flask(__name__)
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(postgresql)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    app.config["POWERAUTH_TELEMETRY_CACHE_SECONDS"] = 0
    telemetry.init_app(app)

    def sessions() -> int:
        with postgresql.connect() as connection:
            count = "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()"
            return int(connection.exec_driver_sql(count).scalar_one())

    before = sessions()
    for _ in range(2):
        assert ask(app.test_client(), "CURRENT_MAU", RETAIL).status_code == 200
        assert sessions() > before
        telemetry.close(app)
        eventually(lambda: sessions() == before)


def test_two_instances_in_one_application(filled: Engine) -> None:
    app = create_app(filled)
    for key, value in {
        "DATABASE_URL": url_of(filled),
        "CREDENTIALS": {"emea": digest("emea-token")},
        "URL_PREFIX": "/emea/telemetry",
    }.items():
        app.config[f"POWERAUTH_TELEMETRY_EMEA_{key}"] = value
    emea = PowerAuthTelemetry(app, name="emea", clock=lambda: NOW)
    client = app.test_client()
    emea_user = ("emea", "emea-token")
    emea_path = "/emea/telemetry/report"

    assert ask(client, "CURRENT_MAU", RETAIL).status_code == 200
    assert ask(client, "CURRENT_MAU", RETAIL, path=emea_path, user=emea_user).status_code == 200
    assert ask(client, "CURRENT_MAU", RETAIL, user=emea_user).status_code == 401
    assert ask(client, "CURRENT_MAU", RETAIL, path=emea_path).status_code == 401
    emea.close(app)


def test_one_extension_on_two_applications(filled: Engine) -> None:
    telemetry = PowerAuthTelemetry(clock=lambda: NOW)
    answers = []
    tokens = ("one", "two")
    for token in tokens:
        app = Flask(token)
        app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(filled)
        app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = {"user": digest(token)}
        telemetry.init_app(app)
        client = app.test_client()
        answers.append(
            [
                ask(client, "CURRENT_MAU", RETAIL, user=("user", t)).status_code
                for t in ("one", "two")
            ]
        )
        telemetry.close(app)

    assert answers == [[200, 401], [401, 200]]


def test_nothing_of_an_application_is_kept_on_the_extension(filled: Engine) -> None:
    telemetry, dashboard = PowerAuthTelemetry(), PowerAuthTelemetryDashboard()
    metrics = TelemetryMetrics(registry=CollectorRegistry())

    def served(**keys: Any) -> weakref.ref[Flask]:
        app = Flask("host")
        app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(filled)
        app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
        app.config.update(keys)
        telemetry.init_app(app)
        dashboard.init_app(app)
        metrics.init_app(app)
        ask(app.test_client(), "CURRENT_MAU", RETAIL)
        return weakref.ref(app)

    gc.freeze()  # so that what other tests left is not gone through
    apps = [
        served(),
        served(POWERAUTH_TELEMETRY_SOURCE="snapshot"),
        served(POWERAUTH_TELEMETRY_CREDENTIALS="pa_integration"),
    ]
    eventually(lambda: not threads_of_ours())
    gc.collect()
    gc.unfreeze()

    assert [app() for app in apps] == [None] * 3


@pytest.mark.parametrize("name", ["powerauth_telemetry", "apac"])
def test_application_without_the_instance_is_refused_by_whatever_takes_one(
    filled: Engine, name: str
) -> None:
    apps = [
        Flask("bare"),
        create_app(
            filled,
            arguments={"name": "emea"},
            EMEA_CREDENTIALS=CREDENTIALS,
            EMEA_DATABASE_URL=url_of(filled),
        ),
    ]
    told = f"'{name}' is not on this application"
    for app in apps:
        with pytest.raises(ConfigurationError, match=told):
            PowerAuthTelemetry(name=name).close(app)
        with pytest.raises(ConfigurationError, match=told):
            PowerAuthTelemetryDashboard(app, name=name)


def test_blueprint_on_an_application_without_its_instance_says_what_is_missing(
    filled: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask(__name__)
    app.register_blueprint(PowerAuthTelemetry(name="emea").blueprint, url_prefix="/telemetry")

    answer = ask(app.test_client(), "CURRENT_MAU", RETAIL, path="/telemetry/report")

    assert answer.status_code == 500
    assert "A report failed: init_app of the instance 'emea' was not called" in caplog.text


def test_flask_limiter_counts_on_our_blueprint(filled: Engine) -> None:
    app = Flask(__name__)
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(filled)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    app.config["POWERAUTH_TELEMETRY_URL_PREFIX"] = ["/v3", "/v4"]
    limiter = Limiter(lambda: "everyone", app=app, storage_uri="memory://")
    telemetry = PowerAuthTelemetry(clock=lambda: NOW)
    limiter.limit("3/hour")(telemetry.blueprint)
    telemetry.init_app(app)

    @app.get("/hosts/own")
    def own() -> str:
        return "own"

    @app.errorhandler(429)
    def too_many(error: Exception) -> tuple[str, int]:
        return "the host's own page for 429", 429

    client = app.test_client()
    answers = [
        ask(client, "CURRENT_MAU", RETAIL, path=f"/v{version}/report") for version in (3, 4, 3, 4)
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].get_json() == error(
        "ERROR_HTTP_REQUEST", "Too many requests, try again later"
    )
    assert client.get("/hosts/own").status_code == 200
    telemetry.close(app)


@pytest.mark.parametrize("path", ["report", "nowhere", "report/"])
def test_hook_that_refuses_too_many_requests(filled: Engine, path: str) -> None:
    app = host(filled, URL_PREFIX=None)
    telemetry = PowerAuthTelemetry(name="nested", clock=lambda: NOW)
    parent = Blueprint("internal", __name__, url_prefix="/internal")
    parent.register_blueprint(telemetry.blueprint, url_prefix="/telemetry")
    app.register_blueprint(parent)
    app.before_request(lambda: abort(429, retry_after=30))

    paths = (f"/internal/telemetry/{path}", "/hosts/own")
    inside, outside = (app.test_client().post(path) for path in paths)

    assert inside.status_code == 429
    assert inside.get_json()["responseObject"]["code"] == "ERROR_HTTP_REQUEST"
    assert inside.headers["Cache-Control"] == "no-store"
    assert inside.headers["Retry-After"] == "30"
    assert outside.get_json(silent=True) is None


def test_host_can_go_through_the_methods_of_all_routes(filled: Engine) -> None:
    app = create_app(filled)

    # As Flasgger, Flask-DebugToolbar, and pages that list what there is.
    methods: dict[str, Any] = {rule.rule: rule.methods for rule in app.url_map.iter_rules()}
    listed = {path: sorted(some.difference({"HEAD"})) for path, some in methods.items()}

    assert listed[PATH] == ["POST"]
    assert listed["/rest/v3/telemetry"] == []
    assert all(method in methods["/rest/v3/telemetry"] for method in ("GET", "PROPFIND"))


def test_hooks_of_the_host_run(filled: Engine) -> None:
    app = create_app(filled)

    @app.after_request
    def mark(response: Any) -> Any:
        response.headers["X-Host"] = "yes"
        return response

    assert ask(app.test_client(), "CURRENT_MAU", RETAIL).headers["X-Host"] == "yes"


def test_principal_is_no_user_of_the_hosts_own_authentication(filled: Engine) -> None:
    app, theirs = create_app(filled), HTTPBasicAuth()
    users: list[Any] = []

    @app.after_request
    def note(response: Any) -> Any:
        users.append(theirs.current_user())
        return response

    assert ask(app.test_client(), "CURRENT_MAU", RETAIL).status_code == 200
    assert users == [None]


def test_host_can_catch_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        PowerAuthTelemetry(Flask(__name__))


FORKING_HOST = """
import os
from flask import Flask
from flask_powerauth_telemetry import PowerAuthTelemetry

app = Flask(__name__)
app.config.from_prefixed_env()
telemetry = PowerAuthTelemetry(app)
state = app.extensions["powerauth_telemetry"]["powerauth_telemetry"]
with state.databases[None].connect() as connection:  # a connection from before the fork
    connection.exec_driver_sql("SELECT 1")

@app.after_request
def tell(response):
    response.headers["X-Worker"] = str(os.getpid())
    return response
"""


@pytest.fixture
def preloaded(postgresql: Engine, tmp_path: Path) -> Iterator[str]:
    """The address of gunicorn with two workers that were forked from a loaded application."""
    powerauth.create_schema(postgresql)
    powerauth.add_applications(postgresql, ["retail"])
    (tmp_path / "forking_host.py").write_text(FORKING_HOST)
    environment = os.environ | {
        "FLASK_POWERAUTH_TELEMETRY_DATABASE_URL": url_of(postgresql),
        "FLASK_POWERAUTH_TELEMETRY_CREDENTIALS": json.dumps(CREDENTIALS),
    }
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=2", "--threads=2"]
    command += ["--bind=127.0.0.1:0", "forking_host:app"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=output)
    try:
        yield _address(log)
    finally:
        server.terminate()
        server.wait(timeout=20)


def _address(log: Path) -> str:
    for _ in range(200):
        for line in log.read_text().splitlines():
            if "Listening at: " in line:
                return line.partition("Listening at: ")[2].split(" ")[0]
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_gunicorn_with_preloaded_workers(preloaded: str) -> None:
    def worker(_: int) -> str:
        request = urllib.request.Request(
            preloaded + PATH,
            data=json.dumps(BODY).encode(),
            headers={"Content-Type": "application/json", "Authorization": basic(":".join(USER))},
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            assert json.load(response)["responseObject"]["reportData"]["users"] == 0
            return str(response.headers["X-Worker"])

    workers: set[str] = set()
    # Which worker takes a connection is the system's choice.
    with ThreadPoolExecutor(16) as callers:
        for _ in range(50):
            workers.update(callers.map(worker, range(32)))
            if len(workers) == 2:
                break

    assert len(workers) == 2


def test_body_in_chunks_of_unknown_length(preloaded: str) -> None:
    def post(size: int) -> int:
        body = json.dumps(BODY).encode().ljust(size)
        request = urllib.request.Request(
            preloaded + PATH,
            data=iter([body[:100], body[100:]]),
            headers={
                "Content-Type": "application/json",
                "Authorization": basic(":".join(USER)),
                "Transfer-Encoding": "chunked",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return int(response.status)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code

    assert post(1_000) == 200
    assert post(70_000) == 413


def test_broken_chunk_is_the_fault_of_the_caller(preloaded: str) -> None:
    host, port = preloaded.removeprefix("http://").split(":")
    head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    head += f"Authorization: {basic(':'.join(USER))}\r\nContent-Type: application/json\r\n"
    message = "The body can't be read"
    told = {"code": "ERROR_HTTP_REQUEST", "message": message, "localizedMessage": message}

    for chunk in (b"ZZ\r\n{}", b"-5\r\n{}", b"5;\r\n{}\r\n", b"\xff\r\n"):
        with socket.create_connection((host, int(port)), timeout=20) as caller:
            caller.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
            caller.shutdown(socket.SHUT_WR)
            answer = caller.makefile("rb").read()

        assert answer.startswith(b"HTTP/1.1 400 "), chunk
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["responseObject"] == told


def test_body_that_ends_early_is_the_fault_of_the_caller(filled: Engine) -> None:
    client = create_app(filled).test_client()

    answer = client.post(PATH, json=BODY, auth=USER, environ_overrides={"CONTENT_LENGTH": "1000"})

    assert answer.status_code == 400
    assert answer.get_json() == error(
        "ERROR_HTTP_REQUEST", "The body can't be read", localized=True
    )


def test_age_is_told_of_kept_answers_alone(filled: Engine) -> None:
    clock = Clock()
    client = create_app(filled, clock=clock).test_client()

    ages = []
    for seconds in (0, 42, 20):
        clock.now += timedelta(seconds=seconds)
        ages.append(ask(client, "CURRENT_MAU", RETAIL).headers.get("Age"))

    assert ages == [None, "42", None]


def test_age_is_not_told_when_nothing_is_kept(filled: Engine) -> None:
    client = create_app(filled, CACHE_SECONDS=0).test_client()

    assert [ask(client, "CURRENT_MAU", RETAIL).headers.get("Age") for _ in range(2)] == [None, None]
