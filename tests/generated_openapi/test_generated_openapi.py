"""The OpenAPI document is valid, and no answer to generated requests is outside it."""

import enum
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from marshmallow import Schema, fields, validate
from openapi_spec_validator import validate as validate_document
from sqlalchemy import Engine
from werkzeug.serving import make_server

from example_app.active_devices import ActiveDevicesByPlatform
from flask_powerauth_telemetry import DaysField, ReportContext, ReportProvider
from flask_powerauth_telemetry.reports import FURTHER_REPORTS
from tests.support import powerauth
from tests.support.commands import command
from tests.support.service import PATH, USER, basic, create_app
from tests.support.stranger import StrangersDevices

DOCUMENT = PATH.replace("/report", "/openapi.json")
REQUESTS = 5_000 if os.environ.get("TELEMETRY_GENERATED_REQUESTS") == "full" else 300
# Which applications there are, and which texts are days, is more than a schema can tell.
BEYOND_A_SCHEMA = "positive_data_acceptance"


class Platform(enum.Enum):
    IOS = 1
    ANDROID = 2


class Point(Schema):
    x = fields.Integer(strict=True, required=True)
    text = fields.String(data_key="Text", allow_none=True)


class Everything(Schema):
    days = DaysField(load_default=7)
    text = fields.String(validate=validate.Length(1, 5))
    number = fields.Integer(strict=True, required=True, validate=validate.Range(0, 9))
    uuid = fields.UUID()
    platform = fields.Enum(Platform, allow_none=True)
    choice = fields.String(validate=validate.OneOf(["a", "b"]))
    pattern = fields.String(validate=validate.Regexp("^[a-z]+$"))
    texts = fields.List(fields.String(), validate=validate.Length(max=3))
    numbers = fields.Dict(fields.String(), fields.Integer(strict=True))
    pair = fields.Tuple((fields.Integer(strict=True), fields.String()))
    point = fields.Nested(Point)
    points = fields.Nested(Point, many=True)
    anything = fields.Raw(allow_none=True)


class Echo(ReportProvider):
    """Gives back what it is asked with."""

    name = "ECHO"
    definition = "What was sent."
    parameters_schema = Everything
    data_schema = Everything

    def generate(self, context: ReportContext, **parameters: Any) -> Mapping[str, Any]:
        return parameters


@pytest.fixture
def app(sqlite: Engine, tmp_path: Path) -> Flask:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    providers = [ActiveDevicesByPlatform(), StrangersDevices(), Echo()]
    app = create_app(
        sqlite,
        STRICT_APPLICATION=False,
        REPORTS=list(FURTHER_REPORTS),
        BINDS={"history": f"sqlite:///{tmp_path / 'history.sqlite'}"},
        arguments={"providers": providers},
    )
    app.testing = False
    command(app, "snapshot")
    return app


@pytest.fixture
def answered(app: Flask) -> Counter[tuple[str, int]]:
    """How often the application answered, by path and status."""
    counted: Counter[tuple[str, int]] = Counter()

    @app.after_request
    def count(response: Response) -> Response:
        counted[request.path, response.status_code] += 1
        return response

    return counted


@pytest.fixture
def address(app: Flask, answered: Counter[tuple[str, int]]) -> Iterator[str]:
    """Where the application is served over HTTP."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_document_is_valid(app: Flask) -> None:
    document = app.test_client().get(DOCUMENT, auth=USER).get_json()

    validate_document(document)
    assert document["openapi"] == "3.1.0"


def test_no_answer_is_outside_the_document(
    address: str, answered: Counter[tuple[str, int]], tmp_path: Path
) -> None:
    if find_spec("schemathesis") is None:
        pytest.skip("needs schemathesis: see tox -e openapi")
    arguments = [sys.executable, "-m", "schemathesis.cli", "run", address + DOCUMENT]
    arguments += ["--header", f"Authorization: {basic(':'.join(USER))}"]
    arguments += ["--max-examples", str(REQUESTS), "--checks", "all"]
    arguments += ["--exclude-checks", BEYOND_A_SCHEMA]

    result = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"Operations:\s+7 selected / 7 total", result.stdout)
    assert sum(answered[PATH, status] for status in (200, 400)) >= REQUESTS
    assert {status for path, status in answered if path == PATH} >= {200, 400, 401, 405, 415}
