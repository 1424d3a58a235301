"""A question that was asked before: answered by what was made of it, and by nothing else."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from marshmallow import Schema, fields, post_load
from sqlalchemy import Engine

from flask_powerauth_telemetry import ApplicationField, Computation, ReportContext, ReportProvider
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.exceptions import InvalidRequest
from flask_powerauth_telemetry.schemas import load_request
from tests.support import powerauth
from tests.support.service import NOW, ask, create_app

QUESTION = {"application": "retail", "days": 30}


def asked(engine: Engine, *parameters: object, **keys: Any) -> list[tuple[int, Any]]:
    """The status and the number of each answer, from one application."""
    client = create_app(engine, **keys).test_client()
    answers = [ask(client, "USERS_IN_PAST_DAYS", given) for given in parameters]
    return [
        (answer.status_code, answer.get_json()["responseObject"].get("reportData", {}).get("users"))
        for answer in answers
    ]


def use(engine: Engine, user: str, days_ago: float) -> None:
    time = (NOW - timedelta(days=days_ago)).replace(tzinfo=None)
    powerauth.add_activations(engine, [powerauth.Activation(user, 1, user, time)])


@pytest.mark.parametrize(
    ("body", "causes"),
    [
        ("[]", "Must be a JSON object."),
        ("null", "Must be a JSON object."),
        ('"CURRENT_MAU"', "Must be a JSON object."),
        ("{}", "requestObject: Missing data for required field."),
        ('{"requestObject": null}', "requestObject: Field may not be null."),
        ('{"requestObject": []}', "requestObject: Must be a JSON object."),
        ('{"requestObject": "CURRENT_MAU"}', "requestObject: Must be a JSON object."),
        ('{"requestObject": {}}', "requestObject.name: Missing data for required field."),
        ('{"requestObject": {"name": null}}', "requestObject.name: Field may not be null."),
        ('{"requestObject": {"name": 7}}', "requestObject.name: Not a valid string."),
        ('{"requestObject": {"name": " \\t"}}', "requestObject.name: Must not be blank."),
        (
            '{"requestObject": {"name": "A", "parameters": [], "more": 1}, "more": 1}',
            "requestObject.parameters: Not a valid mapping type.",
        ),
        (
            '{"requestObject": {"name": "", "parameters": "B"}}',
            "requestObject.name: Must not be blank.;"
            " requestObject.parameters: Not a valid mapping type.",
        ),
    ],
)
def test_all_that_is_wrong_with_an_envelope_is_told(body: str, causes: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        load_request(body.encode())

    assert refused.value.message == f"Invalid request: {causes}"


def test_many_brackets_side_by_side_are_no_depth() -> None:
    many = {"list": [[]] * 200, "text": "[" * 200, "object": [{"a": {}}] * 200}

    asked = load_request(json.dumps({"requestObject": {"name": "A", "parameters": many}}).encode())

    assert asked.parameters == many


@pytest.fixture
def retail(sqlite: Engine) -> Engine:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail", "corporate"])
    for days_ago in (0.5, 10, 100):
        use(sqlite, f"user-{days_ago}", days_ago)
    return sqlite


def test_parameters_that_look_alike_are_different_questions(retail: Engine) -> None:
    days = [30, "30", True, 30.0, "030", 1, "1", 30, True, 30.0, [30], None, "True"]
    one = [asked(retail, {"application": "retail", "days": value})[0] for value in days]
    together = asked(retail, *({"application": "retail", "days": value} for value in days))
    assert together == one
    assert together[:4] == [(200, 2), (200, 2), (400, None), (400, None)]


def test_scope_is_checked_though_others_asked_the_same(retail: Engine) -> None:
    credentials = {name: digest(name) for name in ("billing", "other")}
    app = create_app(retail, CREDENTIALS=credentials, SCOPES={"billing": ["retail"], "other": []})
    client = app.test_client()
    statuses = [
        ask(client, "USERS_IN_PAST_DAYS", QUESTION, user=(name, name)).status_code
        for name in ("billing", "other", "billing", "other")
    ]
    assert statuses == [200, 400, 200, 400]


class Moving:
    now = datetime(2026, 11, 25, 23, 59, tzinfo=UTC)


class Today(ReportProvider):
    """Its schema has a default that moves, so it is not pure."""

    name = "TODAY"
    definition = "The day of the parameters."
    parameters_schema = Schema.from_dict(
        {"day": fields.String(load_default=lambda: f"{Moving.now:%Y-%m-%d}")}
    )
    data_schema = Schema.from_dict({"day": fields.String(required=True)})

    def computations(self, day: str) -> Sequence[Computation]:
        return [Computation(("today", day), lambda _: day)]

    def report_data(self, result: str, day: str) -> Mapping[str, Any]:
        return {"day": result}


def test_default_that_moves_is_not_remembered(
    retail: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = create_app(retail, arguments={"providers": [Today()]}).test_client()
    days = []
    for now in (Moving.now, datetime(2026, 11, 26, 0, 1, tzinfo=UTC)):
        monkeypatch.setattr(Moving, "now", now)
        days.append(ask(client, "TODAY", {}).get_json()["responseObject"]["reportData"]["day"])
    assert days == ["2026-11-25", "2026-11-26"]


class Spoiling(ReportProvider):
    """Counts the keys that it is given, and changes what it is given."""

    name = "SPOILING"
    definition = "A number of keys."
    parameters_schema = Schema.from_dict(
        {
            "keys": fields.List(fields.String(), load_default=["a"]),
            "more": fields.Dict(load_default={"of": [{"keys": ["a"]}]}),
        }
    )
    data_schema = Schema.from_dict({"keys": fields.Integer(required=True)})

    def generate(
        self, context: ReportContext, keys: list[str], more: dict[str, Any]
    ) -> Mapping[str, Any]:
        keys.append("b")
        more["of"][0]["keys"].append("b")
        return {"keys": len(keys) + len(more["of"][0]["keys"])}


class SpoilingPure(Spoiling):
    pure = True


class ReadOnce(Schema):
    keys = fields.List(fields.String(), load_default=["a"])

    @post_load
    def read_later(self, values: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"keys": map(str, values["keys"])}


class Once(ReportProvider):
    """Its parameters can be read once only."""

    name = "SPOILING"
    definition = "A number of keys."
    parameters_schema = ReadOnce
    data_schema = Spoiling.data_schema
    pure = True

    def generate(self, context: ReportContext, keys: Any) -> Mapping[str, Any]:
        return {"keys": 3 + sum(1 for _ in keys)}


@pytest.mark.parametrize("provider", [Spoiling(), SpoilingPure(), Once()])
@pytest.mark.parametrize("asked", [{}, {"keys": ["c"]}])
def test_what_a_provider_does_to_its_parameters_reaches_nobody_else(
    retail: Engine, provider: ReportProvider, asked: Mapping[str, Any]
) -> None:
    client = create_app(retail, arguments={"providers": [provider]}, CACHE_SECONDS=0).test_client()
    for _ in range(3):
        answer = ask(client, "SPOILING", asked).get_json()
        assert answer["responseObject"]["reportData"] == {"keys": 4}


def test_data_are_those_of_the_newest_result(retail: Engine) -> None:
    seconds = [datetime(2026, 11, 25, 12, 0, second, tzinfo=UTC) for second in (0, 30)]
    clock = {"now": seconds[0]}
    client = create_app(retail, clock=lambda: clock["now"], CACHE_SECONDS=10).test_client()
    first = ask(client, "USERS_IN_PAST_DAYS", QUESTION).get_json()
    use(retail, "somebody new", 1)
    clock["now"] = seconds[1]
    second = ask(client, "USERS_IN_PAST_DAYS", QUESTION).get_json()
    numbers = [given["responseObject"]["reportData"]["users"] for given in (first, second)]
    assert numbers == [2, 3]


@pytest.mark.parametrize("name", ["CURRENT_MAU", "USERS_IN_PAST_DAYS"])
def test_parameters_of_a_documented_report_are_loaded_once(
    retail: Engine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    loaded: list[object] = []
    load = ApplicationField.deserialize

    def counted(field: ApplicationField, value: object, *others: Any, **more: Any) -> object:
        loaded.append(value)
        return load(field, value, *others, **more)

    monkeypatch.setattr(ApplicationField, "deserialize", counted)
    client = create_app(retail).test_client()
    answers = [ask(client, name, QUESTION) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert loaded == ["retail"]


def test_many_different_questions_are_not_all_remembered(retail: Engine) -> None:
    app = create_app(retail)
    client = app.test_client()
    service = app.extensions["powerauth_telemetry"]["powerauth_telemetry"].service
    remembered = []
    for number in range(300):
        parameters = {"application": "retail", "days": 1 + number % 365, "more": number}
        assert ask(client, "USERS_IN_PAST_DAYS", parameters).status_code == 200
        remembered.append(len(service._questions))
    assert max(remembered) == 128


class Roundabout(ReportProvider):
    """Takes the application as a plain string, past the check of scopes."""

    name = "ROUNDABOUT"
    definition = "The id of an application."
    parameters_schema = Schema.from_dict({"app": fields.String(required=True)})
    data_schema = Schema.from_dict({"id": fields.Integer(required=True)})
    tables = ("pa_application",)

    def generate(self, context: ReportContext, app: str) -> Mapping[str, Any]:
        return {"id": context.application(app.strip()).id}


@pytest.mark.parametrize("name", ["retail", "corporate", " retail", "nowhere"])
def test_no_application_is_looked_up_that_no_field_gave(
    retail: Engine, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(retail, arguments={"providers": [Roundabout()]}, SCOPES={"*": ["retail"]})
    response = ask(app.test_client(), "ROUNDABOUT", {"app": name})
    assert response.status_code == 500
    assert "ApplicationField" in caplog.text
    assert "ApplicationField" not in response.get_data(as_text=True)


@pytest.mark.parametrize(
    "parameters",
    [
        {"application": "x" * 60_000},
        {"application": ["x"] * 10_000, "days": "y" * 20_000},
        {"application": {"x" * 30_000: 1}},
    ],
)
@pytest.mark.parametrize("name", ["CURRENT_MAU", "USERS_ACROSS_APPLICATIONS", "N" * 60_000])
def test_answers_to_what_is_wrong_are_short(retail: Engine, name: str, parameters: Any) -> None:
    app = create_app(retail, REPORTS=["USERS_ACROSS_APPLICATIONS"], MAX_CONTENT_LENGTH=10**6)
    for given in (parameters, {"applications": [["x"]] * 20_000}):
        response = ask(app.test_client(), name, given)
        assert response.status_code == 400
        assert len(response.data) < 15_000
