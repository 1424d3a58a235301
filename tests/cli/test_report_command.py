"""``flask telemetry reports``, ``report`` and ``openapi``."""

import csv
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Blueprint, Flask
from flask.testing import FlaskCliRunner
from marshmallow import Schema, fields
from sqlalchemy import Engine

from flask_powerauth_telemetry import (
    ApplicationField,
    DaysField,
    PowerAuthTelemetry,
    ReportContext,
    ReportProvider,
    TelemetryError,
    Unavailable,
)
from flask_powerauth_telemetry.cli.instance import waiting_shown
from flask_powerauth_telemetry.exceptions import ProviderFault
from flask_powerauth_telemetry.monitoring.signals import report_generated
from flask_powerauth_telemetry.reports.active_users import UsersInPastDays
from flask_powerauth_telemetry.tabular import as_csv, as_table
from tests.support import powerauth
from tests.support.commands import SEPARATELY, command
from tests.support.held import eventually
from tests.support.service import CREDENTIALS, NOW, PATH, USER, create_app, url_of
from tests.support.stranger import StrangersDevices

PREFIX = PATH.removesuffix("/report")


class EchoParameters(Schema):
    application = ApplicationField(load_default=None)
    applications = fields.List(ApplicationField())
    days = DaysField(load_default=None)
    flag = fields.Boolean()
    share = fields.Float()
    day = fields.Date()
    numbers = fields.List(fields.Integer(strict=True))
    mapping = fields.Dict()
    anything = fields.Raw(allow_none=True)
    name = fields.String(allow_none=True)


class Echo(ReportProvider):
    """Gives back what it was asked with, and fails on demand."""

    name = "ECHO"
    definition = "What was sent."
    parameters_schema: type[Schema] = EchoParameters
    data_schema = EchoParameters
    keep_seconds = 0

    def generate(self, context: ReportContext, **parameters: Any) -> Mapping[str, Any]:
        if parameters.get("name") == "refused":
            raise TelemetryError("This name is refused")
        if parameters.get("name") == "unavailable":
            raise Unavailable("the database is away")
        if parameters.get("name") == "broken":
            raise ZeroDivisionError("a fault of the provider")
        return {key: value for key, value in parameters.items() if value is not None}


@pytest.fixture
def app(sqlite: Engine) -> Flask:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail", "=1+1", "30"])
    used = powerauth.wall_clock(NOW - timedelta(days=2), UTC)
    powerauth.add_activations(
        sqlite,
        [powerauth.Activation(f"a{n}", 1 + n % 2, f"u{n}", used) for n in range(6)],
    )
    return create_app(sqlite, REPORTS=["USERS_BY_PAST_DAYS"], arguments={"providers": [Echo()]})


@pytest.fixture
def without_apispec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apispec", None)


def run(app: Flask, *arguments: str) -> Result:
    return FlaskCliRunner(app, **SEPARATELY).invoke(args=["telemetry", *arguments])


def printed(app: Flask, *arguments: str) -> Any:
    """What a command prints as JSON; nothing else is printed."""
    result = run(app, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def echoed(app: Flask, *pairs: str) -> Any:
    arguments = [part for pair in pairs for part in ("-p", pair)]
    return printed(app, "report", "ECHO", *arguments)


class Defaults(Echo):
    """Parameters of every kind: needed, with a default, to be left out."""

    name = "DEFAULTS"
    definition = "What stands for what is missing."
    parameters_schema = Schema.from_dict(
        {
            "application": ApplicationField(),
            "days": DaysField(load_default=30),
            "first": fields.Date(data_key="from", load_default=date(2026, 11, 25)),
            "made": fields.Integer(load_default=lambda: 7),
            "none": fields.Integer(load_default=None),
        }
    )


def test_reports_are_listed_with_definitions_and_parameters(sqlite: Engine) -> None:
    result = run(create_app(sqlite, arguments={"providers": [Defaults()]}), "reports")

    assert result.exit_code == 0
    assert [line.partition(" ")[0] for line in result.stdout.splitlines()[::2]] == [
        "CURRENT_MAU",
        "USERS_IN_PAST_DAYS",
        "DEFAULTS",
    ]
    assert result.stdout.splitlines()[3:] == [
        "                    Parameters: application, days",
        "DEFAULTS            What stands for what is missing.",
        "                    Parameters: application, days=30, from=2026-11-25, [made], [none]",
    ]


def test_reports_as_json(sqlite: Engine, without_apispec: None) -> None:
    app = create_app(sqlite, arguments={"providers": [Defaults()]})

    assert printed(app, "reports", "--json")[1:] == [
        {
            "name": "USERS_IN_PAST_DAYS",
            "definition": UsersInPastDays.definition,
            "parameters": [
                {"name": "application", "required": True},
                {"name": "days", "required": True},
            ],
        },
        {
            "name": "DEFAULTS",
            "definition": "What stands for what is missing.",
            "parameters": [
                {"name": "application", "required": True},
                {"name": "days", "required": False, "default": 30},
                {"name": "from", "required": False, "default": "2026-11-25"},
                {"name": "made", "required": False},
                {"name": "none", "required": False},
            ],
        },
    ]


def test_report_in_a_pipe_is_json(app: Flask) -> None:
    expected = {"application": "retail", "days": 30, "users": 3}

    assert printed(app, "report", "CURRENT_MAU", "-p", "application=retail") == expected
    assert printed(app, "report", "current_mau", "-p", "application=retail") == expected


def test_report_is_the_one_that_callers_get(app: Flask) -> None:
    body = {"name": "USERS_BY_PAST_DAYS", "parameters": {"application": "retail"}}
    answer = app.test_client().post(PATH, json={"requestObject": body}, auth=USER).get_json()

    data = printed(app, "report", "USERS_BY_PAST_DAYS", "-p", "application=retail")

    assert data == answer["responseObject"]["reportData"]
    assert data["users"][:3] == [0, 3, 3]


def test_operator_sees_every_application(sqlite: Engine, app: Flask) -> None:
    scoped = create_app(sqlite, SCOPES={"*": []})

    assert printed(scoped, "report", "CURRENT_MAU", "-p", "application=retail")["users"] == 3


def test_report_as_csv(app: Flask) -> None:
    one = run(app, "report", "CURRENT_MAU", "-p", "application==1+1", "--csv")
    many = run(app, "report", "USERS_BY_PAST_DAYS", "-p", "application=retail", "--csv")

    assert one.stdout == '"application","days","users"\n"\'=1+1",30,3\n'
    lines = many.stdout.splitlines()
    assert len(lines) == 366
    assert lines[:3] == ['"application","users.position","users"', '"retail",1,0', '"retail",2,3']


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (["application=30"], {"application": "30"}),
        (['application="retail"'], {"application": '"retail"'}),
        (["application=a=b"], {"application": "a=b"}),
        (["application=a:=b"], {"application": "a:=b"}),
        (['application:="a"'], {"application": "a"}),
        (["days=30"], {"days": 30}),
        (["days:=30"], {"days": 30}),
        (["applications=a", "applications=30"], {"applications": ["a", "30"]}),
        (["applications=a"], {"applications": ["a"]}),
        (["applications=[a]"], {"applications": ["[a]"]}),
        (['applications:=["a", "b"]'], {"applications": ["a", "b"]}),
        (['applications:="a"', "applications=b"], {"applications": ["a", "b"]}),
        (["numbers:=1", "numbers:=2"], {"numbers": [1, 2]}),
        (["numbers:=[1, 2]"], {"numbers": [1, 2]}),
        (["numbers:=[]"], {"numbers": []}),
        (["flag=true"], {"flag": True}),
        (["flag:=false"], {"flag": False}),
        (["share=0.5"], {"share": 0.5}),
        (["share:=1"], {"share": 1.0}),
        (["day=2026-11-25"], {"day": "2026-11-25"}),
        (['mapping:={"a": [1]}'], {"mapping": {"a": [1]}}),
        (["anything=1"], {"anything": "1"}),
        (["anything:=1"], {"anything": 1}),
        (["anything=a", "anything=b"], {"anything": ["a", "b"]}),
        (["anything=NaN"], {"anything": "NaN"}),
        (["name:=null"], {}),
        (["name=null"], {"name": "null"}),
        (["name="], {"name": ""}),
    ],
)
def test_value_is_text_or_json(app: Flask, pairs: list[str], expected: dict[str, Any]) -> None:
    assert echoed(app, *pairs) == expected


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["NOTHING"], 2, "Unknown report: NOTHING (there are: CURRENT_MAU,"),
        (["CURRENT_MAU"], 2, "application: Missing data for required field."),
        (["users_by_month"], 2, "; add USERS_BY_MONTH to POWERAUTH_TELEMETRY_REPORTS)"),
        (["CURRENT_MAU", "-p", "application=no"], 2, "no. List those that are there by: flask"),
        (["CURRENT_MAU", "-p", "application"], 2, "'application' is no NAME=TEXT and no"),
        (["CURRENT_MAU", "-p", "days=7"], 2, "has no parameter 'days' (it has: application)"),
        (["ECHO", "-p", "day:=NaN"], 2, "the value of 'day' is not JSON: write -p "),
        (["ECHO", "-p", "day:=2026-11-25"], 2, "the value of 'day' is not JSON"),
        (["ECHO", "-p", "day:=" + "[" * 100_000], 2, "is not JSON"),
        (["ECHO", "-p", ":=1"], 2, "has no parameter '' (it has: application, applications,"),
        (["ECHO", "-p", "numbers=1"], 2, "numbers.0: Not a valid integer."),
        (["ECHO", "-p", "days=0"], 2, "days: Must be a whole number from 1 to 365."),
        (["ECHO", "-p", "days=30.0"], 2, "days: Must be a whole number from 1 to 365."),
        (["ECHO", "-p", "days=1", "-p", "days=2"], 2, "days: Must be a whole number"),
        (["ECHO", "-p", "name=refused"], 2, "This name is refused"),
        (["ECHO", "-p", "name=unavailable"], 1, "the database is away"),
        (["ECHO", "-p", "name=broken"], 2, "this is a bug"),
        (["ECHO", "--instance", "emea"], 2, "this application has no instance 'emea'"),
    ],
)
def test_what_is_not_given_is_told_with_its_exit_code(
    app: Flask, arguments: list[str], code: int, message: str
) -> None:
    result = run(app, "report", *arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert ("Traceback" in result.stderr) == (message == "this is a bug")


def test_report_without_its_database(tmp_path: Path) -> None:
    app = create_app(DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/nothing")

    result = run(app, "report", "CURRENT_MAU", "-p", "application=retail")

    assert (result.exit_code, result.stdout) == (1, "")


def test_run_of_the_operator_is_not_told(app: Flask) -> None:
    told = []

    def remember(_: Flask, **facts: Any) -> None:
        told.append(facts)

    with report_generated.connected_to(remember, app):
        printed(app, "report", "ECHO")

    assert told == []


def test_instance_is_picked_by_its_name(sqlite: Engine, app: Flask) -> None:
    for key, value in {
        "DATABASE_URL": url_of(sqlite),
        "CREDENTIALS": CREDENTIALS,
        "URL_PREFIX": "/emea",
    }.items():
        app.config[f"POWERAUTH_TELEMETRY_EMEA_{key}"] = value
    PowerAuthTelemetry(app, name="emea", providers=[StrangersDevices()], clock=lambda: NOW)

    assert "STRANGERS_DEVICES" not in run(app, "reports").stdout
    assert "STRANGERS_DEVICES" in run(app, "reports", "--instance", "emea").stdout
    document = printed(app, "openapi", "--instance", "emea")
    assert "StrangersDevicesRequest" in document["components"]["schemas"]
    assert document["servers"] == [{"url": "/emea"}]
    asked = ("STRANGERS_DEVICES", "-p", "application=retail", "-p", "status:=3")
    assert printed(app, "report", *asked, "--instance", "emea") == {"devices": 3}


def test_document_is_the_one_of_the_route(app: Flask) -> None:
    answer = app.test_client().get(f"{PREFIX}/openapi.json", auth=USER).get_json()

    assert printed(app, "openapi") == answer


def test_document_names_the_given_server(app: Flask) -> None:
    url = "https://bank.example/rest/v3/telemetry"

    assert printed(app, "openapi", "--server", url)["servers"] == [{"url": url}]


@pytest.mark.parametrize(
    ("prefix", "server"), [("/admin", "/admin/telemetry"), (None, "/telemetry")]
)
def test_document_finds_where_the_host_mounts_the_routes(
    sqlite: Engine, prefix: str | None, server: str
) -> None:
    app = Flask(__name__)
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url_of(sqlite)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = CREDENTIALS
    app.config["POWERAUTH_TELEMETRY_URL_PREFIX"] = None
    telemetry = PowerAuthTelemetry(app)
    assert printed(app, "openapi")["servers"] == [{"url": "/"}]
    parent = Blueprint("parent", __name__, url_prefix=prefix)
    parent.register_blueprint(telemetry.blueprint, url_prefix="/telemetry")
    app.register_blueprint(parent)

    assert printed(app, "openapi")["servers"] == [{"url": server}]


def test_document_without_apispec(app: Flask, without_apispec: None) -> None:
    result = run(app, "openapi")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: the package apispec is not installed: pip install apispec\n"


TERMINAL = """
import os, pty, sys

read = lambda end: os.read(end, 4096)
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], read)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_report_on_a_terminal_is_a_table(sqlite: Engine, app: Flask, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from flask import Flask\n"
        "from flask_powerauth_telemetry import PowerAuthTelemetry\n"
        "app = Flask(__name__)\n"
        "app.config.from_prefixed_env()\n"
        "PowerAuthTelemetry(app)\n"
    )
    environment = os.environ | {
        "FLASK_POWERAUTH_TELEMETRY_DATABASE_URL": url_of(sqlite),
        "FLASK_POWERAUTH_TELEMETRY_CREDENTIALS": json.dumps(CREDENTIALS),
    }
    command = [sys.executable, "-m", "flask", "telemetry", "report", "CURRENT_MAU"]

    result = subprocess.run(
        [sys.executable, "-c", TERMINAL, *command, "-p", "application=retail"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    title, header, row = result.stdout.splitlines()
    assert title.startswith("CURRENT_MAU as of 2")
    assert title.endswith(" UTC")
    assert header == "application  days  users"
    assert row == "retail         30      3"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_long_work_shows_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    with waiting_shown("CURRENT_MAU", every=0.001):
        eventually(lambda: "CURRENT_MAU: 0 s" in terminal.getvalue())
    text = terminal.getvalue()

    assert text.endswith("\r\x1b[K")
    assert "waiting" not in {thread.name for thread in threading.enumerate()}
    assert terminal.getvalue() == text


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_quick_work_shows_nothing(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    monkeypatch.setattr(sys, "stderr", stream)

    with waiting_shown("CURRENT_MAU", every=60):
        pass

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ({"a": 1, "b": "x"}, [["a", "b"], ["1", "x"]]),
        ({"a": None, "b": True}, [["a", "b"], ["", "true"]]),
        ({"a": {"b": 1, "c": {"d": 2}}}, [["a.b", "a.c.d"], ["1", "2"]]),
        (
            {"of": "x", "n": [5, 6]},
            [["of", "n.position", "n"], ["x", "1", "5"], ["x", "2", "6"]],
        ),
        (
            {"n": [5, 6], "of": "x"},
            [["of", "n.position", "n"], ["x", "1", "5"], ["x", "2", "6"]],
        ),
        (
            {"of": "x", "m": [{"d": "1.", "n": 1}, {"d": "2.", "n": 2, "more": 3}]},
            [
                ["of", "m.position", "m.d", "m.n", "m.more"],
                ["x", "1", "1.", "1", ""],
                ["x", "2", "2.", "2", "3"],
            ],
        ),
        (
            {"a": [1], "b": [2]},
            [["a.position", "a", "b.position", "b"], ["1", "1", "", ""], ["", "", "1", "2"]],
        ),
        (
            {"in": {"of": "x", "n": [7]}},
            [["in.of", "in.n.position", "in.n"], ["x", "1", "7"]],
        ),
        (
            {"m": [{"d": 1, "n": [8, 9]}]},
            [
                ["m.position", "m.d", "m.n.position", "m.n"],
                ["1", "1", "1", "8"],
                ["1", "1", "2", "9"],
            ],
        ),
        (
            {"n": [[5], [], [6, 7]]},
            [
                ["n.position", "n.element.position", "n.element"],
                ["1", "1", "5"],
                ["3", "1", "6"],
                ["3", "2", "7"],
            ],
        ),
        (
            {"in": {"deep": {"n": [7, 8]}}, "of": "x"},
            [
                ["of", "in.deep.n.position", "in.deep.n"],
                ["x", "1", "7"],
                ["x", "2", "8"],
            ],
        ),
        ({"of": "x", "n": []}, [["of"], ["x"]]),
        ({"a": "line\nbreak"}, [["a"], ["line\nbreak"]]),
        ({"a": 'quote " and ; and ,'}, [["a"], ['quote " and ; and ,']]),
        ({"=a": -1, "b": "-1"}, [["'=a", "b"], ["-1", "'-1"]]),
    ],
)
def test_data_become_rows_of_csv(data: dict[str, Any], rows: list[list[str]]) -> None:
    assert list(csv.reader(io.StringIO(as_csv(data)))) == rows


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"a.b": 1, "a": {"b": 2}}, "a.b"),
        ({"n": [{"position": 7}]}, "n.position"),
        ({"n": [[1]], "n.element": 2}, "n.element"),
        ({"": {"a": 1}, "a": 2}, "a"),
    ],
)
def test_value_that_would_be_lost_in_csv_is_refused(data: dict[str, Any], path: str) -> None:
    with pytest.raises(ProviderFault, match=f"two values are at {path}: take JSON"):
        as_csv(data)


def test_value_that_would_be_lost_in_csv_is_exit_code_2(sqlite: Engine) -> None:
    class Twice(ReportProvider):
        name = "TWICE"
        parameters_schema = Schema
        data_schema = Schema.from_dict({"n": fields.Raw(required=True)})

        def generate(self, context: ReportContext) -> Mapping[str, Any]:
            return {"n": {"a.b": 1, "a": {"b": 2}}}

    app = create_app(sqlite, arguments={"providers": [Twice()]})

    refused = command(app, "report", "TWICE", "--csv")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == "Error: two values are at n.a.b: take JSON\n"
    given = command(app, "report", "TWICE", "--json")
    assert json.loads(given.stdout) == {"n": {"a.b": 1, "a": {"b": 2}}}


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@A1", "\t=1", " =1", "\r=1", "\n", "\uff1d1", "\uff0b1", "\u3000=1"],
)
def test_formula_is_no_formula_in_csv(text: str) -> None:
    (name,), (value,) = csv.reader(io.StringIO(as_csv({text: text}), newline=""))

    assert name == value == f"'{text}"


def test_texts_in_csv_are_quoted() -> None:
    assert as_csv({"a": "x;=1+1", "b": 1}) == '"a","b"\n"x;=1+1",1\n'


def test_what_is_not_known_is_blank_in_a_table() -> None:
    assert as_table({"of": None, "m": [{"n": 1}, {"n": None}]}) == [
        "of  m.position  m.n",
        "             1    1",
        "             2",
    ]


def test_table_is_aligned_and_obeys_no_name() -> None:
    lines = as_table({"of": "a\x1b[2Jb", "m": [{"n": 1, "t": "x"}, {"n": 1000, "t": "long"}]})

    assert lines == [
        "of         m.position   m.n  m.t",
        "a\\x1b[2Jb           1     1  x",
        "a\\x1b[2Jb           2  1000  long",
    ]
