"""An application with every report, and a stranger's, served over HTTP."""

import enum
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from marshmallow import Schema, fields, validate
from sqlalchemy import Engine
from werkzeug.serving import make_server

from example_app.active_devices import ActiveDevicesByPlatform
from flask_powerauth_telemetry import DaysField, ReportContext, ReportProvider
from flask_powerauth_telemetry.reports import FURTHER_REPORTS
from tests.support import audit, powerauth
from tests.support.commands import command
from tests.support.service import NOW, create_app
from tests.support.stranger import StrangersDevices


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
    powerauth.add_applications(sqlite, ["retail-banking", "corporate-banking", "quiet"])
    activations = powerauth.random_activations(seed=7, now=NOW, zone=UTC, count=60)
    powerauth.add_activations(sqlite, activations)
    rows = (random.Random(7), activations, NOW, UTC)
    audit.add_changes(sqlite, audit.random_changes(*rows))
    audit.add_verifications(sqlite, audit.random_verifications(*rows, count=200))
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
