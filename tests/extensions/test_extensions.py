"""Beside other extensions: what docs/extensions.md tells to write, and what goes wrong without."""

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask
from flask import Blueprint, Flask, abort, current_app, request
from flask.testing import FlaskClient
from flask_caching import Cache
from flask_compress import Compress
from flask_cors import CORS
from flask_limiter import Limiter
from flask_login import LoginManager, current_user
from flask_smorest import Api
from flask_talisman import Talisman
from flask_wtf import CSRFProtect
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from flask_powerauth_telemetry import PowerAuthTelemetry
from flask_powerauth_telemetry.dashboard import PowerAuthTelemetryDashboard
from tests.support import powerauth
from tests.support.commands import findings, now
from tests.support.documents import EXTENSIONS, table
from tests.support.service import CREDENTIALS, PATH, USER, ask, error, url_of

RETAIL = {"application": "retail"}
USERS = 3
HTTPS = {"X-Forwarded-Proto": "https"}
ENVELOPE = {
    "status": "OK",
    "responseObject": {
        "name": "CURRENT_MAU",
        "reportData": {"application": "retail", "days": 30, "users": USERS},
    },
}


@dataclass
class Host:
    """An application with the API and the dashboard, and a page of its own."""

    app: Flask
    telemetry: PowerAuthTelemetry
    dashboard: PowerAuthTelemetryDashboard

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    @property
    def routes(self) -> dict[str, Any]:
        """What ``check`` says of the route of reports."""
        found = findings(self.app, "--no-pass")
        (routes,) = [one for one in found if one["check"] == "routes"]
        return routes


@pytest.fixture
def filled(sqlite: Engine) -> Engine:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    used = now() - timedelta(days=2)
    powerauth.add_activations(
        sqlite,
        [powerauth.Activation(f"a{number}", 1, f"u{number}", used) for number in range(USERS)],
    )
    return sqlite


@pytest.fixture
def make(filled: Engine) -> Callable[..., Host]:
    def make(app: Flask | None = None) -> Host:
        app = app or Flask("host")
        app.config["SECRET_KEY"] = "secret"
        app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(filled)
        app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
        telemetry = PowerAuthTelemetry(app)
        dashboard = PowerAuthTelemetryDashboard(app)
        app.add_url_rule("/own", "own", lambda: {"page": "own" * 1000}, methods=["GET", "POST"])
        return Host(app, telemetry, dashboard)

    return make


@pytest.fixture
def host(make: Callable[..., Host]) -> Host:
    return make()


def written(extension: str) -> str:
    """What the page tells to write beside an extension."""
    (row,) = [row for row in table(EXTENSIONS, "## Extensions") if extension in row["Extension"]]
    return row["Write"]


def line(extension: str) -> str:
    (code,) = re.findall(r"^`(.+?)`", written(extension))
    return str(code)


def names_of(host: Host) -> dict[str, Any]:
    """The names that the page uses in a hook."""
    ours = {"telemetry": host.telemetry, "dashboard": host.dashboard}
    return ours | {"request": request, "current_app": current_app}


def is_well(host: Host, headers: dict[str, str] | None = None) -> None:
    """Callers and readers get what they would get without any other extension."""
    client = host.client
    body = {"requestObject": {"name": "CURRENT_MAU", "parameters": RETAIL}}
    answer = client.post(PATH, json=body, auth=USER, headers=headers)
    stranger = client.post(PATH, json=body, headers=headers)
    wrong = client.post(PATH, json={}, auth=USER, headers=headers)

    assert (answer.status_code, answer.get_json()) == (200, ENVELOPE)
    assert answer.headers["Cache-Control"] == "no-store"
    assert (stranger.status_code, wrong.status_code) == (401, 400)
    assert stranger.get_json() == error("ERROR_UNAUTHORIZED", "Invalid application credentials")
    assert stranger.headers.getlist("WWW-Authenticate") != []
    assert wrong.get_json()["responseObject"]["code"] == "ERROR_HTTP_REQUEST"
    page = client.get("/telemetry/", auth=USER, headers=headers)
    assert page.status_code == 200
    assert_policy(page)
    (sheet,) = re.findall(r'<link rel="stylesheet" href="(.+?)">', text(page))
    style = client.get(sheet, auth=USER, headers=headers)
    assert (style.status_code, style.mimetype) == (200, "text/css")
    assert_policy(style)
    assert "{" in text(style)
    style.close()
    assert host.routes["level"] == "ok"


def text(response: TestResponse) -> str:
    return response.get_data(as_text=True)


def assert_policy(response: TestResponse) -> None:
    """The dashboard's policy alone; it allows its own styles."""
    (policy,) = response.headers.getlist("Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert response.headers.getlist("X-Frame-Options") == ["DENY"]


def test_every_extension_of_the_page_is_tested() -> None:
    extensions = " ".join(row["Extension"] for row in table(EXTENSIONS, "## Extensions"))
    names = re.findall(r"(?i)flask-\w+|APIFlask", extensions)

    assert len(names) == 9
    assert {f"test_{name.lower().replace('-', '_')}" for name in names} <= globals().keys()


def test_flask_wtf(host: Host) -> None:
    csrf = CSRFProtect(host.app)
    assert ask(host.client, "CURRENT_MAU", RETAIL).status_code == 400
    assert host.routes["level"] == "error"
    assert "answered 400 before the extension" in host.routes["message"]
    assert "protection from CSRF?" in host.routes["message"]
    assert line("Flask-WTF") in host.routes["cure"]

    exec(line("Flask-WTF"), {"csrf": csrf, "telemetry": host.telemetry})

    is_well(host)
    assert host.client.post("/own").status_code == 400


@pytest.mark.parametrize(("view", "status"), [("login", 302), (None, 401)])
def test_flask_login(host: Host, view: str | None, status: int) -> None:
    manager = LoginManager(host.app)
    manager.login_view = view
    manager.user_loader(lambda _: None)
    host.app.add_url_rule("/login", "login", lambda: "login")
    names = names_of(host) | {"current_user": current_user, "manager": manager}
    asked = "return None if current_user.is_authenticated else manager.unauthorized()"
    exec(f"def ask():\n {asked}\ndef leave_out():\n {line('Flask-Login')}\n {asked}", names)

    @host.app.before_request
    def hook() -> Any:
        return names["hook"]()

    names["hook"] = names["ask"]
    answers = (ask(host.client, "CURRENT_MAU", RETAIL), host.client.get("/telemetry/", auth=USER))
    assert {answer.status_code for answer in answers} == {status}
    assert host.routes["level"] == "error"
    assert f"answered {status} before the extension" in host.routes["message"]
    assert "a hook that asks for a login?" in host.routes["message"]

    names["hook"] = names["leave_out"]
    is_well(host)
    assert host.client.get("/own").status_code == status


def test_hook_that_asks_for_a_login_beside_nested_blueprints(filled: Engine) -> None:
    app = Flask("host")
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(filled)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    app.config["POWERAUTH_TELEMETRY_URL_PREFIX"] = None
    host = Host(app, PowerAuthTelemetry(app), PowerAuthTelemetryDashboard())
    admin = Blueprint("admin", __name__, url_prefix="/admin")
    admin.register_blueprint(host.telemetry.blueprint, url_prefix="/api")
    admin.register_blueprint(host.dashboard.blueprint, url_prefix="/pages")
    app.register_blueprint(admin)
    names = names_of(host)
    exec(f"def hook():\n {line('Flask-Login')}\n return 'log in', 403", names)
    app.before_request(names["hook"])

    report = ask(host.client, "CURRENT_MAU", RETAIL, path="/admin/api/report")

    assert report.get_json() == ENVELOPE
    assert host.client.get("/admin/pages/", auth=USER).status_code == 200
    assert host.client.get("/admin/").status_code == 403


def test_flask_talisman(host: Host) -> None:
    Talisman(host.app)
    assert written("Flask-Talisman").startswith("nothing")
    assert ask(host.client, "CURRENT_MAU", RETAIL).status_code == 302
    assert host.routes["level"] == "ok"  # it asks by https, as callers do

    is_well(host, HTTPS)
    own = host.client.get("/own", headers=HTTPS)
    assert own.headers["Content-Security-Policy"].startswith("default-src 'self'")


def test_strict_policy_of_flask_talisman(host: Host) -> None:
    nothing = {"default-src": "'none'", "style-src": "'nonce-only'"}
    Talisman(host.app, content_security_policy=nothing, frame_options="ALLOW-FROM")

    is_well(host, HTTPS)


def test_flask_limiter(host: Host) -> None:
    limiter = Limiter(
        lambda: "everyone", app=host.app, storage_uri="memory://", headers_enabled=True
    )
    host.app.register_error_handler(429, lambda _: ("the host's own page", 429))
    assert host.routes["level"] == "ok"
    text = line("Flask-Limiter")
    assert "60/minute" in text

    exec(text, {"limiter": limiter, "telemetry": host.telemetry})

    is_well(host)
    client = host.client
    answers = [ask(client, "CURRENT_MAU", RETAIL) for _ in range(61)]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert answers[-1].get_json() == error(
        "ERROR_HTTP_REQUEST", "Too many requests, try again later"
    )
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert client.get("/own").status_code == 200
    assert client.get("/telemetry/", auth=USER).status_code == 200


def test_flask_cors(host: Host) -> None:
    CORS(host.app)
    assert written("Flask-CORS") == "nothing"

    is_well(host)
    foreign = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert host.client.options(PATH, headers=foreign).status_code == 401
    assert host.client.options("/own", headers=foreign).status_code == 200


def test_flask_compress(host: Host) -> None:
    host.app.config["COMPRESS_MIN_SIZE"] = 1
    Compress(host.app)
    assert written("Flask-Compress") == "nothing"

    is_well(host)
    packed = host.client.get("/telemetry/", auth=USER, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert_policy(packed)
    assert b"</html>" in gzip.decompress(packed.get_data())


def test_flask_caching(host: Host) -> None:
    cache = Cache(host.app, config={"CACHE_TYPE": "SimpleCache"})
    numbers = iter(range(9))
    kept = cache.cached(timeout=60)(lambda: f"made {next(numbers)}")
    host.app.add_url_rule("/kept", "kept", kept)
    assert written("Flask-Caching").startswith("nothing")

    is_well(host)
    client = host.client
    assert [text(client.get("/kept")) for _ in range(2)] == ["made 0"] * 2
    assert client.post(PATH, json={}).status_code == 401  # not somebody else's answer


def test_flask_smorest(host: Host) -> None:
    host.app.config.update(API_TITLE="Host", API_VERSION="1", OPENAPI_VERSION="3.1.0")
    host.app.config["OPENAPI_URL_PREFIX"] = "/api"
    Api(host.app)
    assert written("flask-smorest") == "nothing"
    host.app.add_url_rule("/refused", "refused", lambda: abort(409))

    is_well(host)
    assert host.client.get("/refused").get_json()["status"] == "Conflict"
    assert telemetry_paths(host, "/api/openapi.json") == []


def test_apiflask(make: Callable[..., Host]) -> None:
    host = make(APIFlask("host"))
    host.app.add_url_rule("/refused", "refused", lambda: abort(409))
    assert written("APIFlask") == "nothing"

    is_well(host)
    assert host.client.get("/refused").get_json() == {"detail": {}, "message": "Conflict"}
    assert telemetry_paths(host, "/openapi.json") == []


def telemetry_paths(host: Host, document: str) -> list[str]:
    paths = host.client.get(document).get_json()["paths"]
    return [path for path in paths if "telemetry" in path]


def test_all_of_them_at_once(host: Host) -> None:
    app = host.app
    names = names_of(host)
    exec(f"def hook():\n {line('Flask-Login')}\n return 'no', 401", names)
    app.before_request(names["hook"])
    app.config.update(API_TITLE="Host", API_VERSION="1", OPENAPI_VERSION="3.1.0")
    Talisman(app)
    CORS(app)
    Compress(app)
    Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    Api(app)
    limiter = Limiter(lambda: "everyone", app=app, storage_uri="memory://")
    names |= {"csrf": CSRFProtect(app), "limiter": limiter}
    exec(f"{line('Flask-WTF')}\n{line('Flask-Limiter')}", names)

    is_well(host, HTTPS)
