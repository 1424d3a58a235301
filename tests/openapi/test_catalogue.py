"""The routes that tell of the reports: the catalogue, and the OpenAPI document."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

import pytest
from flask import Blueprint, Flask, got_request_exception
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from marshmallow import Schema, fields, validate
from sqlalchemy import Engine

from flask_powerauth_telemetry import PowerAuthTelemetry, ReportContext, ReportProvider
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.blueprint import create_blueprint
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.openapi.document import ERRORS
from flask_powerauth_telemetry.reports import FURTHER_REPORTS
from flask_powerauth_telemetry.state import EXTENSION_KEY
from flask_powerauth_telemetry.testing import contract_suite
from tests.support import powerauth
from tests.support.service import (
    CREDENTIALS,
    NOW,
    PATH,
    USER,
    ask,
    create_app,
    error,
    recorded_statements,
    url_of,
)
from tests.support.stranger import StrangersDevices

TestStrangersDevices = contract_suite(StrangersDevices())

PREFIX = PATH.removesuffix("/report")
CATALOGUE = f"{PREFIX}/reports"
DOCUMENT = f"{PREFIX}/openapi.json"
BOTH = pytest.mark.parametrize("path", [CATALOGUE, DOCUMENT])
DIALECT = "https://json-schema.org/draft/2020-12/schema"
APPLICATION = {
    "description": "The name of an application.",
    "type": "string",
    "pattern": r"\S",
    "minLength": 1,
    "maxLength": 255,
    "examples": ["retail-banking", "corporate-banking"],
}
DAYS = {
    "description": "A number of days of 24 hours.",
    "type": "integer",
    "minimum": 1,
    "maximum": 365,
    "examples": [90],
}
ACTIVE_USERS = {
    "$schema": DIALECT,
    "type": "object",
    "properties": {
        "application": {"type": "string"},
        "days": {"type": "integer"},
        "users": {"type": "integer", "minimum": 0},
    },
    "required": ["application", "days", "users"],
}
DOCUMENTED = [
    {
        "name": "CURRENT_MAU",
        "definition": "Unique users of the application with an activation, whatever its status,"
        " last used in the past 30 days of 24 hours.",
        "parameters": {
            "$schema": DIALECT,
            "type": "object",
            "properties": {"application": APPLICATION},
            "required": ["application"],
        },
        "reportData": ACTIVE_USERS,
    },
    {
        "name": "USERS_IN_PAST_DAYS",
        "definition": "Unique users of the application with an activation, whatever its status,"
        " last used in the past given number of days of 24 hours.",
        "parameters": {
            "$schema": DIALECT,
            "type": "object",
            "properties": {"application": APPLICATION, "days": DAYS},
            "required": ["application", "days"],
        },
        "reportData": ACTIVE_USERS,
    },
]
STRANGERS = {
    "name": "STRANGERS_DEVICES",
    "definition": "Activations of the application that have the given status.",
    "parameters": {
        "$schema": DIALECT,
        "type": "object",
        "properties": {
            "application": APPLICATION | {"description": "Whose devices."},
            "status": {"type": "integer", "minimum": 1, "maximum": 5, "default": 3},
        },
        "required": ["application"],
    },
    "reportData": {
        "$schema": DIALECT,
        "type": "object",
        "properties": {"devices": {"type": "integer", "description": "Rows counted."}},
        "required": ["devices"],
    },
}


@pytest.fixture
def filled(sqlite: Engine) -> Engine:
    fill(sqlite)
    return sqlite


def fill(engine: Engine) -> None:
    powerauth.create_schema(engine)
    powerauth.add_applications(engine, ["retail"])
    used = powerauth.wall_clock(NOW, UTC)
    powerauth.add_activations(
        engine, [powerauth.Activation(f"a{n}", 1, f"u{n}", used) for n in range(3)]
    )


@pytest.fixture
def client(filled: Engine) -> FlaskClient:
    return create_app(filled).test_client()


def names_in_catalogue(client: FlaskClient, path: str = CATALOGUE, user: Any = USER) -> list[str]:
    response = client.get(path, auth=user)
    assert response.status_code == 200
    return [report["name"] for report in response.get_json()["responseObject"]["reports"]]


def servers(client: FlaskClient, path: str = DOCUMENT, **options: Any) -> list[str]:
    response = client.get(path, **{"auth": USER, **options})
    assert response.status_code == 200
    return [server["url"] for server in response.get_json()["servers"]]


def test_catalogue_tells_of_every_report(client: FlaskClient) -> None:
    with recorded_statements() as statements:
        response = client.get(CATALOGUE, auth=USER)

    assert response.status_code == 200
    assert response.get_json() == {"status": "OK", "responseObject": {"reports": DOCUMENTED}}
    assert response.headers["Content-Type"] == "application/json"
    assert statements == []


def test_scope_hides_no_report(filled: Engine) -> None:
    client = create_app(filled, SCOPES={"billing": []}).test_client()

    assert names_in_catalogue(client) == ["CURRENT_MAU", "USERS_IN_PAST_DAYS"]


def test_strangers_provider_is_in_catalogue_and_document_by_itself(filled: Engine) -> None:
    app = create_app(filled, arguments={"providers": [StrangersDevices()]})
    client = app.test_client()

    catalogue = client.get(CATALOGUE, auth=USER).get_json()["responseObject"]["reports"]
    document = client.get(DOCUMENT, auth=USER).get_json()

    assert catalogue == [*DOCUMENTED, STRANGERS]
    schemas = document["components"]["schemas"]
    for suffix, part in {"Parameters": "parameters", "Data": "reportData"}.items():
        assert {"$schema": DIALECT} | schemas[f"StrangersDevices{suffix}"] == STRANGERS[part]
    name = {"type": "string", "enum": ["STRANGERS_DEVICES"]}
    assert schemas["StrangersDevicesRequest"] == {
        "type": "object",
        "description": STRANGERS["definition"],
        "properties": {
            "name": name,
            "parameters": {"$ref": "#/components/schemas/StrangersDevicesParameters"},
        },
        "required": ["name", "parameters"],
    }
    assert schemas["StrangersDevicesResponse"] == {
        "type": "object",
        "description": STRANGERS["definition"],
        "properties": {
            "name": name,
            "reportData": {"$ref": "#/components/schemas/StrangersDevicesData"},
        },
        "required": ["name", "reportData"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("method", "path", "user", "status"),
    [
        ("GET", "", ("billing", "wrong"), 401),
        ("OPTIONS", "", ("billing", "wrong"), 401),
        ("POST", "", ("billing", "wrong"), 401),
        ("GET", "/", USER, 404),
        ("GET", "/more", USER, 404),
        ("POST", "", USER, 405),
        ("PROPFIND", "", USER, 405),
        ("GET", "", USER, 200),
        ("HEAD", "", USER, 200),
        ("OPTIONS", "", USER, 200),
    ],
)
@pytest.mark.parametrize("route", [CATALOGUE, DOCUMENT])
def test_answers_come_in_the_order_of_all_routes(
    client: FlaskClient, route: str, method: str, path: str, user: tuple[str, str], status: int
) -> None:
    response = client.open(route + path, method=method, auth=user)

    assert response.status_code == status
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    listed = status == 405 or (method == "OPTIONS" and status == 200)
    assert response.headers.get("Allow") == ("GET, HEAD, OPTIONS" if listed else None)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
    if method in {"HEAD", "OPTIONS"} and status == 200:
        assert response.data == b""


@BOTH
def test_refusals_have_the_envelope(client: FlaskClient, path: str) -> None:
    assert client.get(path).get_json() == error(
        "ERROR_UNAUTHORIZED", "Invalid application credentials"
    )
    assert client.put(path, auth=USER).get_json() == error(
        "ERROR_HTTP_REQUEST", "Method PUT is not allowed, use GET"
    )


@BOTH
def test_only_refusals_are_told(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    caplog.set_level(logging.INFO)
    client.get(path, auth=USER)
    client.open(path, method="OPTIONS", auth=USER)
    assert caplog.records == []

    client.post(path, auth=USER)
    client.get(path, auth=("billing", "wrong"))

    told = [
        tuple(vars(record)[f"telemetry_{fact}"] for fact in ("event", "status", "principal"))
        for record in caplog.records
    ]
    assert told == [("request_refused", 405, "billing"), ("credentials_refused", 401, None)]


def test_fault_is_told_and_signalled(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    app = client.application
    (state,) = app.extensions[EXTENSION_KEY].values()
    raised = []

    def remember(_: Flask, exception: Exception, **__: Any) -> None:
        raised.append(exception)

    state.registry._reports["BROKEN"] = None
    with got_request_exception.connected_to(remember, app):
        response = client.get(CATALOGUE, auth=USER)

    assert response.status_code == 500
    assert response.get_json()["responseObject"]["code"] == "ERROR_GENERIC"
    assert [type(exception) for exception in raised] == [AttributeError]
    assert vars(caplog.records[0])["telemetry_event"] == "request_refused"
    assert vars(caplog.records[0])["telemetry_error"] == "ServerFault"


class Odd(Schema):
    """What no sense can be made of."""

    method = fields.Method("nothing", "nothing")
    lost = fields.Nested("no such schema")
    default = fields.Integer(load_default="no number")
    text = fields.String(metadata={"description": object()})
    names: Any = fields.Dict(keys=fields.Dict(), values=fields.Nested(lambda: Odd()))  # noqa: PLW0108

    def nothing(self, _: object) -> None:
        """Nothing."""


class OddProvider(ReportProvider):
    name = "ODD"
    definition = None  # type: ignore[assignment]
    parameters_schema = Odd
    data_schema = Odd()

    def generate(self, context: ReportContext, **parameters: Any) -> Mapping[str, Any]:
        return parameters


def test_odd_provider_hides_no_other(filled: Engine) -> None:
    client = create_app(filled, arguments={"providers": [OddProvider()]}).test_client()

    *others, odd = client.get(CATALOGUE, auth=USER).get_json()["responseObject"]["reports"]
    document = client.get(DOCUMENT, auth=USER).get_json()

    assert others == DOCUMENTED
    assert (odd["name"], odd["definition"]) == ("ODD", "")
    assert set(odd["parameters"]["properties"]) == {"method", "lost", "default", "text", "names"}
    assert odd["reportData"]["properties"]["lost"] == {}
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_routes_are_below_each_prefix(filled: Engine) -> None:
    app = create_app(filled, URL_PREFIX=["/v3", "/v4"])
    client = app.test_client()

    for prefix in ("/v3", "/v4"):
        assert names_in_catalogue(client, f"{prefix}/reports")
        assert servers(client, f"{prefix}/openapi.json") == [prefix]


def test_routes_of_a_nested_blueprint(filled: Engine) -> None:
    app = Flask(__name__)
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(filled)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    app.config["POWERAUTH_TELEMETRY_URL_PREFIX"] = None
    telemetry = PowerAuthTelemetry(app, clock=lambda: NOW)
    parent = Blueprint("internal", __name__, url_prefix="/<tenant>/internal")
    parent.register_blueprint(telemetry.blueprint, url_prefix="/telemetry")
    app.register_blueprint(parent)
    client = app.test_client()

    assert names_in_catalogue(client, "/acme/internal/telemetry/reports")
    mounted = "/a%20bank/internal/telemetry"
    assert servers(client, f"{mounted}/openapi.json") == [mounted]
    with app.test_request_context():
        built = app.url_for("internal.powerauth_telemetry.openapi", tenant="acme")
    assert built == "/acme/internal/telemetry/openapi.json"
    telemetry.close(app)


def test_routes_at_the_root(filled: Engine) -> None:
    app = Flask(__name__)
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(filled)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    app.config["POWERAUTH_TELEMETRY_URL_PREFIX"] = None
    telemetry = PowerAuthTelemetry(app)
    app.register_blueprint(telemetry.blueprint)

    assert servers(app.test_client(), "/openapi.json") == ["/"]
    telemetry.close(app)


def test_server_is_below_the_script_root(client: FlaskClient) -> None:
    base_url = "http://bank.example/powerauth-java-server"

    assert servers(client, base_url=base_url) == [f"/powerauth-java-server{PREFIX}"]


def test_each_instance_tells_of_its_own_reports(filled: Engine) -> None:
    app = create_app(filled)
    for key, value in {
        "DATABASE_URL": url_of(filled),
        "CREDENTIALS": {"emea": digest("emea-token")},
        "URL_PREFIX": "/emea",
    }.items():
        app.config[f"POWERAUTH_TELEMETRY_EMEA_{key}"] = value
    emea = PowerAuthTelemetry(app, name="emea", providers=[StrangersDevices()])
    client = app.test_client()
    user = ("emea", "emea-token")

    assert "STRANGERS_DEVICES" not in names_in_catalogue(client)
    assert "STRANGERS_DEVICES" in names_in_catalogue(client, "/emea/reports", user)
    assert servers(client, "/emea/openapi.json", auth=user) == ["/emea"]
    assert client.get("/emea/reports", auth=USER).status_code == 401
    emea.close(app)


def test_blueprint_without_further_routes_has_none(filled: Engine) -> None:
    app = create_app(filled, URL_PREFIX=None)
    app.register_blueprint(create_blueprint("powerauth_telemetry"), url_prefix=PREFIX)
    client = app.test_client()

    assert ask(client, parameters={"application": "retail"}).status_code == 200
    assert client.get(CATALOGUE, auth=USER).get_json() == error(
        "ERROR_NOT_FOUND", "There is nothing at this path", localized=True
    )


def test_without_apispec_the_paths_are_unknown(
    filled: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apispec", None)
    client = create_app(filled).test_client()

    for path in (CATALOGUE, DOCUMENT):
        response = client.get(path, auth=USER)
        assert response.status_code == 404
        assert response.get_json() == error(
            "ERROR_NOT_FOUND", "There is nothing at this path", localized=True
        )
        assert client.get(path).status_code == 401
    assert ask(client, parameters={"application": "retail"}).status_code == 200


def test_apispec_is_loaded_by_nobody_who_imports_the_package() -> None:
    code = "import sys, flask_powerauth_telemetry; sys.exit('apispec' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Draft202012Validator:
    """A schema of the document, with what it refers to."""
    return Draft202012Validator({"components": document["components"], **schema})


def response_of(document: Mapping[str, Any], path: str, method: str, status: int) -> Any:
    response = document["paths"][path][method]["responses"][str(status)]
    if "$ref" not in response:
        return response
    return document["components"]["responses"][response["$ref"].rpartition("/")[2]]


def everything(engine: Engine) -> FlaskClient:
    """All our reports, and a stranger's."""
    providers = [StrangersDevices()]
    app = create_app(engine, REPORTS=list(FURTHER_REPORTS), arguments={"providers": providers})
    return app.test_client()


PARAMETERS = {"application": "retail", "days": 30, "status": 3}
"""What all reports take, each its own part; the contract of each is tested elsewhere."""


def test_real_answers_fit_the_document(database: Engine) -> None:
    fill(database)
    client = everything(database)
    document = client.get(DOCUMENT, auth=USER).get_json()
    body = document["paths"]["/report"]["post"]["requestBody"]["content"]["application/json"]
    good = response_of(document, "/report", "post", 200)["content"]["application/json"]
    asked = 0

    for name in names_in_catalogue(client):
        request = {"requestObject": {"name": name, "parameters": PARAMETERS}}
        answer = ask(client, name, PARAMETERS)
        if answer.status_code == 200:
            asked += 1
            resolved(document, body["schema"]).validate(request)
            resolved(document, good["schema"]).validate(answer.get_json())

    assert asked >= 4


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (400, {"data": b"{", "content_type": "application/json"}),
        (400, {"json": {"requestObject": {"name": "NO_SUCH_REPORT"}}}),
        (401, {"auth": None}),
        (404, {"path": f"{PREFIX}/nothing"}),
        (405, {"method": "PUT"}),
        (413, {"data": b" " * 70_000, "content_type": "application/json"}),
        (415, {"data": b"{}"}),
    ],
)
def test_real_errors_fit_the_document(
    client: FlaskClient, status: int, options: dict[str, Any]
) -> None:
    document = client.get(DOCUMENT, auth=USER).get_json()
    documented = response_of(document, "/report", "post", status)

    answer = client.open(**{"path": PATH, "method": "POST", "auth": USER, **options})

    assert answer.status_code == status
    schema = documented["content"]["application/json"]["schema"]
    resolved(document, schema).validate(answer.get_json())
    headers = document["components"]["headers"]
    for name in documented["headers"]:
        Draft202012Validator(headers[name]["schema"]).validate(answer.headers[name])


def test_document_refuses_other_data(filled: Engine) -> None:
    client = everything(filled)
    document = client.get(DOCUMENT, auth=USER).get_json()
    good = response_of(document, "/report", "post", 200)["content"]["application/json"]
    data = {"application": "retail", "days": 30, "users": 3}

    def fits(name: str, **changes: Any) -> bool:
        body = {"name": name, "reportData": {**data, **changes}}
        envelope = {"status": "OK", "responseObject": body}
        return bool(resolved(document, good["schema"]).is_valid(envelope))

    assert fits("CURRENT_MAU")
    assert not fits("CURRENT_MAU", users=-1)
    assert not fits("CURRENT_MAU", days="30")
    assert not fits("NO_SUCH_REPORT")


def test_catalogue_fits_the_document(filled: Engine) -> None:
    client = everything(filled)
    document = client.get(DOCUMENT, auth=USER).get_json()
    answer = client.get(CATALOGUE, auth=USER).get_json()

    schema = response_of(document, "/reports", "get", 200)["content"]["application/json"]["schema"]
    resolved(document, schema).validate(answer)
    for report in answer["responseObject"]["reports"]:
        Draft202012Validator.check_schema(report["parameters"])
        Draft202012Validator.check_schema(report["reportData"])


def test_every_error_is_in_the_document(client: FlaskClient) -> None:
    document = client.get(DOCUMENT, auth=USER).get_json()
    kinds = [TelemetryError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    ours = {
        (kind.status, kind.code)
        for kind in kinds
        if re.match(r"flask_powerauth_telemetry\.(?!dashboard)", kind.__module__)
    }

    assert {(status, code) for status, told in ERRORS.items() for code in told.codes} == ours
    documented = {told.name for told in ERRORS.values()}
    assert set(document["components"]["responses"]) == documented
    assert {int(status) for status in document["paths"]["/report"]["post"]["responses"]} == {
        200,
        *ERRORS,
    }


def test_document_is_ascii_json(client: FlaskClient) -> None:
    response = client.get(DOCUMENT, auth=USER)

    assert response.headers["Content-Type"] == "application/json"
    assert response.data.isascii()
    document = json.loads(response.data)
    assert document["openapi"] == "3.1.0"
    assert document["security"] == [{"basic": []}]
    assert document["components"]["securitySchemes"] == {
        "basic": {"type": "http", "scheme": "basic"}
    }
    assert {path: list(operations) for path, operations in document["paths"].items()} == {
        "/report": ["post", "options"],
        "/reports": ["get", "head", "options"],
        "/openapi.json": ["get", "head", "options"],
    }


def media(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every body that has examples, with the schema of each."""
    body = document["paths"]["/report"]["post"]["requestBody"]
    good = response_of(document, "/report", "post", 200)
    errors = document["components"]["responses"].values()
    return [told["content"]["application/json"] for told in (body, good, *errors)]


def test_examples_fit_the_document(filled: Engine) -> None:
    client = everything(filled)
    document = client.get(DOCUMENT, auth=USER).get_json()
    asked, given, *errors = media(document)

    for told in (asked, given, *errors):
        assert told["examples"]
        for example in told["examples"].values():
            resolved(document, told["schema"]).validate(example["value"])
    assert list(asked["examples"]) == list(given["examples"]) == names_in_catalogue(client)
    assert given["examples"]["CURRENT_MAU"]["value"]["responseObject"] == {
        "name": "CURRENT_MAU",
        "reportData": {"application": "retail-banking", "days": 30, "users": 1},
    }


def test_example_of_a_request_is_accepted(filled: Engine) -> None:
    client = create_app(
        filled,
        STRICT_APPLICATION=False,
        REPORTS=["USERS_ACROSS_APPLICATIONS", "USERS_BY_PAST_DAYS"],
        arguments={"providers": [StrangersDevices()]},
    ).test_client()
    asked, *_ = media(client.get(DOCUMENT, auth=USER).get_json())

    refused = {}
    for name, example in asked["examples"].items():
        answer = client.post(PATH, json=example["value"], auth=USER)
        if answer.status_code != 200:
            refused[name] = answer.get_json()["responseObject"]["message"]

    # Only because there is no such application in the test's database.
    known = {f"Unknown application: {name}-banking" for name in ("retail", "corporate")}
    assert set(refused.values()) <= known
    assert "CURRENT_MAU" not in refused


class Tree(Schema):
    value = fields.Integer(strict=True, required=True)
    parent: Any = fields.Nested(lambda: Tree(), allow_none=True)  # noqa: PLW0108 - not there yet
    children: Any = fields.List(fields.Nested(lambda: Tree()))  # noqa: PLW0108 - not there yet


class Timed(ReportProvider):
    name = "TIMED"
    definition = "What was sent."
    parameters_schema = Schema.from_dict(
        {
            "day": fields.Date(required=True),
            "time": fields.Time(required=True),
            "local": fields.DateTime(required=True),
            "naive": fields.NaiveDateTime(required=True),
            "aware": fields.AwareDateTime(required=True),
            "tree": fields.Nested(Tree, required=True),
            "trees": fields.List(fields.Nested(Tree), required=True),
        }
    )
    data_schema = parameters_schema

    def generate(self, context: ReportContext, **parameters: Any) -> Mapping[str, Any]:
        return parameters


def test_example_has_times_and_one_of_what_is_inside_itself(filled: Engine) -> None:
    client = create_app(filled, arguments={"providers": [Timed()]}).test_client()
    asked, given, *_ = media(client.get(DOCUMENT, auth=USER).get_json())
    example = asked["examples"]["TIMED"]["value"]
    tree = {"value": 1}

    answer = client.post(PATH, json=example, auth=USER)

    assert answer.status_code == 200, answer.get_json()
    parameters = example["requestObject"]["parameters"]
    assert (parameters["tree"], parameters["trees"]) == (tree, [tree])
    assert given["examples"]["TIMED"]["value"]["responseObject"]["reportData"].keys() >= {"tree"}


class Numbered(ReportProvider):
    name = "NUMBERED"
    definition = "An application by its number, where the parameter of this name is a text."
    parameters_schema = Schema.from_dict(
        {
            "year": fields.String(required=True),
            "most": fields.Integer(required=True, strict=True, validate=validate.Range(min=5)),
        }
    )
    data_schema = Schema.from_dict(
        {
            "application": fields.Integer(required=True, strict=True),
            "days": fields.String(required=True),
            "year": fields.Integer(required=True, strict=True),
        }
    )

    def generate(self, context: ReportContext, **_: Any) -> Mapping[str, Any]:
        return {"application": 1, "days": "30", "year": 2026}


def test_example_has_numbers_of_the_members_own_type_and_limits(filled: Engine) -> None:
    client = create_app(filled, arguments={"providers": [Numbered()]}).test_client()
    document = client.get(DOCUMENT, auth=USER).get_json()

    for told in media(document)[:2]:
        resolved(document, told["schema"]).validate(told["examples"]["NUMBERED"]["value"])


def test_every_schema_has_a_name_of_its_own(filled: Engine) -> None:
    document = everything(filled).get(DOCUMENT, auth=USER).get_json()
    schemas = document["components"]["schemas"]

    assert all(re.fullmatch("([A-Z][a-z0-9]+)+", name) for name in schemas)
    assert {"CurrentMauRequest", "CurrentMauParameters", "CurrentMauData"} < set(schemas)
    assert {"CurrentMauResponse", "Error", "SignaturesInPastDaysHour"} < set(schemas)
    assert schemas["CurrentMauRequest"]["properties"]["name"] == {
        "type": "string",
        "enum": ["CURRENT_MAU"],
    }
    assert schemas["SignaturesInPastDaysData"]["properties"]["busiestHour"] == {
        "anyOf": [{"$ref": "#/components/schemas/SignaturesInPastDaysHour"}, {"type": "null"}]
    }
    # An object that has members is nowhere but under its name.
    assert not list(unnamed_objects({"paths": document["paths"]}))
    for schema in schemas.values():
        assert not list(unnamed_objects(list(schema.get("properties", {}).values())))
    assert '"const"' not in json.dumps(document)


def unnamed_objects(part: Any) -> Iterator[Any]:
    if isinstance(part, dict) and "properties" in part:
        yield part
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for inner in parts:
        yield from unnamed_objects(inner)


class Request(Schema):
    """Would be called as the request is."""

    text = fields.String()


class Twin(ReportProvider):
    """Its names in the document are wanted by others too."""

    definition = "Twins."
    parameters_schema = Schema.from_dict({"inner": fields.Nested(Request)})
    data_schema = Schema.from_dict({"inner": fields.Nested(Request, required=True)})

    def __init__(self, name: str) -> None:
        self.name = name

    def generate(self, context: ReportContext, **parameters: Any) -> Mapping[str, Any]:
        return {"inner": {"text": "a"}}


def test_names_that_are_taken_get_numbers(filled: Engine) -> None:
    twins = [Twin(name) for name in ("TWIN_1_2", "TWIN_12", "TWIN12", "REPORT")]
    client = create_app(filled, arguments={"providers": twins}).test_client()

    document = client.get(DOCUMENT, auth=USER).get_json()

    mapping = document["components"]["schemas"]["ReportRequestObject"]["discriminator"]["mapping"]
    assert mapping == {
        name: f"#/components/schemas/{schema}"
        for name, schema in {
            "CURRENT_MAU": "CurrentMauRequest",
            "USERS_IN_PAST_DAYS": "UsersInPastDaysRequest",
            "TWIN_1_2": "Twin12Request",
            "TWIN_12": "Twin12Request2",
            "TWIN12": "Twin12Request3",
            "REPORT": "ReportRequest2",
        }.items()
    }
    names = [name for name in document["components"]["schemas"] if "Request" in name]
    assert len({name.lower() for name in names}) == len(names) == 2 + 6 + 2 * 4
    for name, told in mapping.items():
        schema = document["components"]["schemas"][told.rpartition("/")[2]]
        assert schema["properties"]["name"]["enum"] == [name]
    again = create_app(filled, arguments={"providers": twins}).test_client()
    assert again.get(DOCUMENT, auth=USER).get_json() == document


def test_operations_are_named_and_tagged(client: FlaskClient) -> None:
    document = client.get(DOCUMENT, auth=USER).get_json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]

    assert [operation["operationId"] for operation in operations] == [
        *("getReport", "optionsReport"),
        *("getReports", "headReports", "optionsReports"),
        *("getDocument", "headDocument", "optionsDocument"),
    ]
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in operations for tag in operation["tags"]} == tags
    assert all(operation["tags"] and operation["summary"] for operation in operations)
