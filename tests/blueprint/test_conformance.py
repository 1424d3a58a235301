"""Every request case, on every engine, with credentials in pa_integration."""

import base64
import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support import further_cases, powerauth
from tests.support.databases import KINDS, Databases
from tests.support.service import NOW, basic, create_app

SAMPLE = Path(__file__).parents[1] / "data" / "conformance.json"
CASES = [*json.loads(SAMPLE.read_text(encoding="utf-8")), *further_cases.CASES]
TOKEN = "6f1d3c62-43aa-4c0b-9c7e-2f4a9d0f5b11"
SECRET = "b8a2e0c4-0f5d-47d7-8a5e-6b0f1c9d3e22"
HEADERS = {
    "good": basic(f"{TOKEN}:{SECRET}"),
    "none": None,
    "bad": basic(f"{TOKEN}:wrong"),
    "unknown_user": basic(f"nobody:{SECRET}"),
    "empty_user": basic(f":{SECRET}"),
    "empty_password": basic(f"{TOKEN}:"),
    "secret_case_changed": basic(f"{TOKEN}:{SECRET.upper()}"),
    "token_case_changed": basic(f"{TOKEN.upper()}:{SECRET}"),
    "malformed_base64": "Basic !!!",
    "no_colon": basic(TOKEN),
    "scheme_only": "Basic",
    "bearer": "Bearer x",
    "not_utf_8": "Basic " + base64.b64encode(b"\xff:\xff").decode(),
    "two_credentials": f"{basic(f'{TOKEN}:{SECRET}')}, {basic(f'{TOKEN}:{SECRET}')}",
    "bearer_with_credentials": basic(f"{TOKEN}:{SECRET}").replace("Basic", "Bearer"),
    "good_lowercase_scheme": basic(f"{TOKEN}:{SECRET}").replace("Basic", "basic"),
}


@pytest.fixture(scope="module", params=KINDS)
def client(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> FlaskClient:
    database = databases.create(request.param, tmp_path_factory.mktemp("conformance"))
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["demo-app", "příliš-žluťoučký"])
    powerauth.add_activations(
        database, [powerauth.Activation("a", 1, "user", powerauth.wall_clock(NOW, UTC))]
    )
    powerauth.add_integrations(database, [powerauth.Integration("1", "billing", TOKEN, SECRET)])
    return create_app(database, CREDENTIALS="pa_integration").test_client()


def body_of(case: dict[str, Any]) -> bytes | None:
    if "body_json" in case:
        return json.dumps(case["body_json"]).encode()
    if "body_text" in case:
        return str(case["body_text"]).encode()
    if "body_base64" in case:
        return base64.b64decode(case["body_base64"])
    if "body_generator" in case:
        name = "a" * case["body_generator"]["chars"]
        request = {"name": "CURRENT_MAU", "parameters": {"application": name}}
        return json.dumps({"requestObject": request}).encode()
    return None


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_request_case(client: FlaskClient, case: dict[str, Any]) -> None:
    headers = dict(case["headers"])
    if authorization := HEADERS[case["auth"]]:
        headers["Authorization"] = authorization

    response = client.open(case["path"], method=case["method"], headers=headers, data=body_of(case))

    assert response.status_code == case["expect"]["status"], response.get_data(as_text=True)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    if case["method"] == "HEAD" or (case["method"] == "OPTIONS" and response.status_code == 200):
        assert response.data == b""
        return
    assert response.mimetype == "application/json"
    check_envelope(response.get_json(), response.status_code, case["expect"]["code"])


def check_envelope(body: dict[str, Any], status: int, code: str | None) -> None:
    assert set(body) == {"status", "responseObject"}
    if status == 200:
        assert body["status"] == "OK"
        assert set(body["responseObject"]) == {"name", "reportData"}
        data = body["responseObject"]["reportData"]
        assert {key: type(value) for key, value in data.items()} == {
            "application": str,
            "days": int,
            "users": int,
        }
        return
    assert body["status"] == "ERROR"
    assert body["responseObject"]["code"] == code
    localized = {"localizedMessage"} if status in {400, 404} else set()
    assert set(body["responseObject"]) == {"code", "message"} | localized
