"""Providers of a stranger: registered, installed beside us, or refused."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from flask import Flask, abort
from marshmallow import Schema, ValidationError, fields, post_load, validates_schema
from sqlalchemy import Engine, create_engine, func, select

from flask_powerauth_telemetry import (
    ApplicationField,
    Computation,
    ConfigurationError,
    DaysField,
    PowerAuthTelemetry,
    ReportContext,
    ReportProvider,
    TelemetryError,
)
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.exceptions import InvalidProvider
from tests.support import powerauth
from tests.support.service import CREDENTIALS, ask, create_app, error, url_of

STRANGERS_MODULE = """
from marshmallow import Schema, fields
from sqlalchemy import func, select

from flask_powerauth_telemetry import ApplicationField, ReportProvider


class Parameters(Schema):
    application = ApplicationField()
    status = fields.Integer(load_default=3, strict=True)


class Data(Schema):
    devices = fields.Integer(required=True)


class Devices(ReportProvider):
    name = "DEVICES"
    definition = "Activations of the application in a status."
    parameters_schema = Parameters
    data_schema = Data
    tables = ("pa_application", "pa_activation")

    def generate(self, context, application, status):
        activation = context.tables.pa_activation.c
        devices = select(func.count(activation.activation_id)).where(
            activation.application_id == context.application(application).id,
            activation.activation_status == status,
        )
        return {"devices": context.connection.scalar(devices)}
"""
STRANGERS_SETUP = """
from setuptools import setup
setup(
    name="strangers-devices",
    version="1.0",
    py_modules=["strangers_devices"],
    entry_points={
        "flask_powerauth_telemetry.providers": ["devices = strangers_devices:Devices"]
    },
)
"""


@pytest.fixture(scope="module")
def strangers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a stranger's package, built from its source by pip, is installed."""
    source = tmp_path_factory.mktemp("source")
    (source / "strangers_devices.py").write_text(STRANGERS_MODULE)
    (source / "setup.py").write_text(STRANGERS_SETUP)
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return target


@pytest.fixture
def installed(strangers_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(strangers_folder)
    yield
    sys.modules.pop("strangers_devices", None)


@pytest.fixture
def filled(database: Engine) -> Engine:
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail", "corporate"])
    powerauth.add_activations(
        database,
        [
            powerauth.Activation(
                f"{number}", 1, "anna", datetime(2026, 1, 1), activation_status=1 + number % 3
            )
            for number in range(7)
        ],
    )
    return database


@pytest.mark.usefixtures("installed")
def test_installed_package_is_found_by_its_entry_point(filled: Engine) -> None:
    client = create_app(filled, LOAD_ENTRY_POINTS=["devices"]).test_client()

    response = ask(client, "devices", {"application": "retail", "else": 1})

    assert response.get_json() == {
        "status": "OK",
        "responseObject": {"name": "DEVICES", "reportData": {"devices": 2}},
    }
    response = ask(client, "DEVICES", {"status": "x"})
    assert response.status_code == 400
    assert response.get_json() == error(
        "ERROR_TELEMETRY",
        "Invalid parameters of DEVICES: application: Missing data for required field.;"
        " status: Not a valid integer.",
        localized=True,
    )


@pytest.mark.usefixtures("installed")
def test_name_that_two_packages_offer_is_refused(
    sqlite: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "another-1.0.dist-info"
    package.mkdir()
    package.joinpath("METADATA").write_text("Name: another\nVersion: 1.0\n")
    package.joinpath("entry_points.txt").write_text(
        "[flask_powerauth_telemetry.providers]\ndevices = another:Devices\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigurationError) as refused:
        create_app(sqlite, LOAD_ENTRY_POINTS=["devices"])

    assert "several packages offer 'devices': another:Devices, strangers_devices:Devices" in str(
        refused.value
    )


@pytest.mark.usefixtures("installed")
def test_installed_package_is_not_loaded_unasked(filled: Engine) -> None:
    client = create_app(filled).test_client()

    assert ask(client, "DEVICES", {"application": "retail"}).status_code == 400
    assert "strangers_devices" not in sys.modules


@pytest.mark.usefixtures("installed")
def test_installed_package_obeys_scopes(filled: Engine) -> None:
    app = create_app(filled, LOAD_ENTRY_POINTS=["devices"], SCOPES={"billing": ["corporate"]})

    response = ask(app.test_client(), "DEVICES", {"application": "retail"})

    assert response.get_json() == error(
        "ERROR_TELEMETRY", "Unknown application: retail", localized=True
    )


class Plain(ReportProvider):
    name = "PLAIN"
    definition = "The number one."
    parameters_schema: Any = Schema
    data_schema: Any = Schema.from_dict({"one": fields.Integer(required=True)})

    def generate(self, context: ReportContext, **parameters: Any) -> Mapping[str, Any]:
        return {"one": 1, **parameters}


class NoName(Plain):
    name = ""


class LowerCase(Plain):
    name = "plain"


class NotAString(Plain):
    name = 5  # type: ignore[assignment]


class NoParametersSchema(Plain):
    parameters_schema = None


class NoDataSchema(Plain):
    data_schema = dict


class Taken(Plain):
    name = "CURRENT_MAU"


class NoWay(ReportProvider):
    name = "NO_WAY"
    parameters_schema = Schema
    data_schema = Schema


class HalfAWay(NoWay):
    def computations(self) -> Sequence[Computation]:
        return []


class BothWays(Plain):
    def computations(self) -> Sequence[Computation]:
        return []

    def report_data(self, result: Any) -> Mapping[str, Any]:
        return {}


class TextForTables(Plain):
    tables = "pa_application"


class TextForColumns(Plain):
    tables = MappingProxyType({"pa_activation": "user_id"})


class NoTables(Plain):
    tables = None  # type: ignore[assignment]


class NoColumns(Plain):
    tables = MappingProxyType({"pa_activation": 7})


class TextToKeep(Plain):
    keep_seconds = "60"  # type: ignore[assignment]


class DeltaToKeep(Plain):
    keep_seconds = timedelta(minutes=1)  # type: ignore[assignment]


class NoNumberToKeep(Plain):
    keep_seconds = float("nan")


class LessToKeep(Plain):
    keep_seconds = -1


class NotAProvider:
    name = "NOT_A_PROVIDER"


@pytest.mark.parametrize(
    ("providers", "message"),
    [
        ([NoName()], "NoName has no name"),
        ([LowerCase()], "LowerCase has the name 'plain': use A to Z"),
        ([NotAString()], "NotAString has no name"),
        ([NoParametersSchema()], "NoParametersSchema has no parameters_schema"),
        ([NoDataSchema()], "NoDataSchema has no data_schema"),
        ([Taken()], r"Taken has the name CURRENT_MAU, taken by .*\.CurrentMau"),
        ([Plain(), Plain()], r"Plain has the name PLAIN, taken by itself: register it once"),
        ([NoWay()], "NoWay has to have either generate, or computations and report_data"),
        ([HalfAWay()], "HalfAWay has to have either generate"),
        ([BothWays()], "BothWays has to have either generate"),
        ([TextForTables()], r"TextForTables has text as tables: write \('pa_application',\)"),
        ([TextForColumns()], r"TextForColumns has text as tables: write \('user_id',\)"),
        ([NoTables()], "NoTables has None as tables: name them in a tuple"),
        ([NoColumns()], "NoColumns has 7 as tables"),
        ([TextToKeep()], "TextToKeep has '60' as keep_seconds: set seconds, or None"),
        ([NoNumberToKeep()], "NoNumberToKeep has nan as keep_seconds"),
        ([LessToKeep()], "LessToKeep has -1 as keep_seconds"),
        ([DeltaToKeep()], "DeltaToKeep has datetime.timedelta"),
        ([NotAProvider()], "NotAProvider is not a ReportProvider"),
        ([Plain], "Plain is a class, register an instance"),
    ],
)
def test_bad_provider_stops_the_start(sqlite: Engine, providers: list[Any], message: str) -> None:
    with pytest.raises(InvalidProvider, match=message) as stopped:
        create_app(sqlite, arguments={"providers": providers})

    assert isinstance(stopped.value, TelemetryError)
    assert "tests.service.test_providers." in str(stopped.value)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 503])
def test_http_error_of_a_provider_is_a_fault_of_ours(
    sqlite: Engine, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    class Aborting(Plain):
        def generate(self, context: ReportContext, **parameters: Any) -> Mapping[str, Any]:
            abort(status)

    response = ask(create_app(sqlite, arguments={"providers": [Aborting()]}).test_client(), "PLAIN")

    assert response.status_code == 500
    assert response.get_json()["responseObject"]["code"] == "ERROR_GENERIC"
    failed, fault = caplog.records
    assert failed.telemetry_status == 500  # type: ignore[attr-defined]
    assert fault.exc_info


def test_provider_is_registered_before_init_app_only(sqlite: Engine) -> None:
    app = Flask(__name__)
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(sqlite)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    telemetry = PowerAuthTelemetry()
    telemetry.register(Plain())
    telemetry.init_app(app)

    assert ask(app.test_client(), "PLAIN", {}).status_code == 200
    with pytest.raises(ConfigurationError, match="Plain comes after init_app"):
        telemetry.register(Plain())


class OnBind(Plain):
    """Counts on a database of its own choice."""

    name = "ON_BIND"
    bind = "warehouse"
    data_schema = Schema.from_dict({"applications": fields.Integer(required=True)})

    def generate(self, context: ReportContext, **parameters: Any) -> Mapping[str, Any]:
        count = select(func.count()).select_from(context.tables.pa_application)
        return {"applications": context.connection.scalar(count)}


def test_provider_reads_its_bind(filled: Engine, tmp_path: Path) -> None:
    warehouse = create_engine(f"sqlite:///{tmp_path / 'warehouse.sqlite'}")
    powerauth.create_schema(warehouse)
    powerauth.add_applications(warehouse, ["a", "b", "c"])
    app = create_app(
        filled,
        arguments={"providers": [OnBind()]},
        BINDS={"warehouse": {"url": str(warehouse.url), "timezone": "Europe/Prague"}},
    )

    response = ask(app.test_client(), "ON_BIND", {})

    assert response.get_json()["responseObject"]["reportData"] == {"applications": 3}
    warehouse.dispose()


def test_missing_bind_stops_the_start(sqlite: Engine) -> None:
    with pytest.raises(ConfigurationError, match="ON_BIND reads the bind 'warehouse'"):
        create_app(sqlite, arguments={"providers": [OnBind()]})


class RenamingSchema(Schema):
    """Takes its applications to other places, where a check of the loaded values lost them."""

    application = ApplicationField(load_default="corporate")
    others = fields.List(ApplicationField(), load_default=list)
    named = fields.Dict(values=ApplicationField(), load_default=dict)
    nested = fields.Nested(Schema.from_dict({"inner": ApplicationField()}), load_default=None)

    @post_load
    def rename(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"one": len(data)}


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"application": "retail"}, 200),
        ({}, 400),
        ({"application": "corporate"}, 400),
        ({"application": "retail", "others": ["retail", "corporate"]}, 400),
        ({"application": "retail", "named": {"x": "corporate"}}, 400),
        ({"application": "retail", "nested": {"inner": "corporate"}}, 400),
        ({"application": "retail", "nested": {"inner": "retail"}}, 200),
    ],
)
def test_no_schema_takes_an_application_past_the_scope(
    sqlite: Engine, parameters: dict[str, Any], status: int
) -> None:
    class Renaming(Plain):
        name = "RENAMING"
        parameters_schema = RenamingSchema

    app = create_app(
        sqlite,
        arguments={"providers": [Renaming()]},
        CREDENTIALS={"scoped": digest("t")},
        SCOPES={"scoped": ["retail"]},
    )

    response = ask(app.test_client(), "RENAMING", parameters, user=("scoped", "t"))

    assert response.status_code == status


class BetweenSchema(Schema):
    least = DaysField(maximum=10)
    most = DaysField(maximum=10, load_default=10)

    @validates_schema
    def in_order(self, data: dict[str, Any], **_: Any) -> None:
        if data["least"] > data["most"]:
            raise ValidationError("least must not be above most")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "least: Missing data for required field."),
        ({"least": 11}, "least: Must be a whole number from 1 to 10."),
        ({"least": 9, "most": 8}, "least must not be above most"),
        ({"least": None}, "least: Field may not be null."),
    ],
)
def test_errors_of_a_providers_schema_are_told(
    sqlite: Engine, parameters: dict[str, Any], message: str
) -> None:
    class Between(Plain):
        name = "BETWEEN"
        parameters_schema = BetweenSchema()
        data_schema = Schema()

    app = create_app(sqlite, arguments={"providers": [Between()]})

    response = ask(app.test_client(), "BETWEEN", parameters)

    assert response.get_json()["responseObject"] == {
        "code": "ERROR_TELEMETRY",
        "message": f"Invalid parameters of BETWEEN: {message}",
        "localizedMessage": f"Invalid parameters of BETWEEN: {message}",
    }


@pytest.mark.parametrize("made", [list, lambda: 1 / 0])
def test_schema_that_loads_no_mapping_or_fails_is_a_fault(
    sqlite: Engine, made: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class NoMapping(Schema):
        @post_load
        def make(self, data: dict[str, Any], **_: Any) -> Any:
            return made()

    class Odd(Plain):
        name = "ODD"
        parameters_schema = NoMapping

    app = create_app(sqlite, arguments={"providers": [Odd()]})

    assert ask(app.test_client(), "ODD", {}).status_code == 500
    assert "ODD: the parameters schema loads no mapping" in caplog.text or made is not list
