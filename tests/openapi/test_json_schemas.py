"""Schemas of marshmallow as JSON Schema: each kind of field, and what validators demand."""

import datetime as dt
import enum
import json
import re
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from flask_powerauth_telemetry import ApplicationField, DaysField
from flask_powerauth_telemetry.openapi.json_schemas import (
    data_json_schema,
    parameters_json_schema,
)
from flask_powerauth_telemetry.schemas import encode


class Platform(enum.Enum):
    IOS = 1
    ANDROID = 2


class Moved(enum.Enum):
    HERE = dt.date(2026, 1, 1)


class Point(Schema):
    x = fields.Integer(required=True)
    y = fields.Integer(data_key="ypsilon")


class Open(Schema):
    class Meta:
        unknown = EXCLUDE

    x = fields.Integer()


class Knot(Schema):
    name = fields.String()
    children = fields.List(fields.Nested("Knot"))


class Percentage(fields.Float):
    """A kind of an author's own, that derives from a known one."""


class Anything(fields.Field):  # type: ignore[type-arg]
    """A kind of an author's own, that derives from none."""


class Broken(fields.Enum):  # type: ignore[type-arg]
    """A kind that can't be looked into."""

    def _serialize(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError


def refuse_small(value: int) -> None:
    """A validator of an author's own."""
    if value < 10:
        raise ValidationError("Too small.")


TEXT = {"type": "string"}
NUMBER = {"type": "number"}
WHOLE = {"type": "integer"}
POINT = {
    "type": "object",
    "properties": {"x": WHOLE, "ypsilon": WHOLE},
    "required": ["x"],
}
NAME = {"type": "string", "pattern": r"\S", "minLength": 1, "maxLength": 255}
NAMED = {"description": "The name of an application."} | NAME
DAYS = {"description": "A number of days of 24 hours.", "minimum": 1, "maximum": 365}
DAYS_SENT = DAYS | {"type": ["integer", "string"], "pattern": "^[0-9]{1,3}$"}

# What loads to something that is no JSON, or to nothing at all, so that no answer has it.
NEVER_GIVEN: list[tuple[Any, dict[str, Any]]] = [
    (fields.Decimal(), NUMBER),
    (fields.Decimal(validate=validate.Range(Decimal("0.5"))), NUMBER | {"minimum": 0.5}),
    (fields.Enum(Moved, by_value=True), {}),
    (Broken(Platform), {}),
    (fields.Nested("no such schema"), {}),
]
BOTH_WAYS: list[tuple[Any, dict[str, Any]]] = [
    *NEVER_GIVEN,
    (fields.String(), TEXT),
    (fields.Integer(), WHOLE),
    (fields.Float(), NUMBER),
    (fields.Boolean(), {"type": "boolean"}),
    (fields.UUID(), {"type": "string", "format": "uuid"}),
    (fields.Email(), {"type": "string", "format": "email"}),
    (fields.Url(), {"type": "string", "format": "uri"}),
    (fields.Url(relative=True), {"type": "string", "format": "uri-reference"}),
    (fields.IP(), TEXT),
    (fields.IPv4(), {"type": "string", "format": "ipv4"}),
    (fields.IPv6Interface(), TEXT),
    (fields.Date(), {"type": "string", "format": "date"}),
    (fields.Date(format="%d.%m.%Y"), TEXT),
    (fields.Time(), TEXT),
    (fields.AwareDateTime(), {"type": "string", "format": "date-time"}),
    (fields.AwareDateTime(format="rfc"), TEXT),
    (fields.NaiveDateTime(), TEXT),
    (fields.DateTime(format="timestamp"), NUMBER),
    (fields.DateTime(format="%Y"), TEXT),
    (fields.TimeDelta(), NUMBER),
    (fields.Enum(Platform), {"type": "string", "enum": ["IOS", "ANDROID"]}),
    (fields.Enum(Platform, by_value=True), {"enum": [1, 2]}),
    (
        fields.Enum(Moved, by_value=fields.Date),
        {"type": "string", "enum": ["2026-01-01"]},
    ),
    (fields.List(fields.Integer()), {"type": "array", "items": WHOLE}),
    (
        fields.Tuple((fields.Integer(), fields.String())),
        {"type": "array", "prefixItems": [WHOLE, TEXT], "minItems": 2, "maxItems": 2},
    ),
    (fields.Dict(), {"type": "object"}),
    (
        fields.Dict(fields.String(), fields.Integer()),
        {"type": "object", "additionalProperties": WHOLE},
    ),
    (
        fields.Dict(fields.String(validate=validate.Length(2)), fields.Integer()),
        {
            "type": "object",
            "propertyNames": {"type": "string", "minLength": 2},
            "additionalProperties": WHOLE,
        },
    ),
    (fields.Dict(fields.Integer(), fields.Raw()), {"type": "object", "additionalProperties": {}}),
    (fields.Nested(Open), {"type": "object", "properties": {"x": WHOLE}}),
    (
        fields.Nested(Open, many=True),
        {"type": "array", "items": {"type": "object", "properties": {"x": WHOLE}}},
    ),
    (fields.Pluck(Point, "x"), WHOLE),
    (fields.Pluck(Point, "x", many=True), {"type": "array", "items": WHOLE}),
    (fields.Raw(), {}),
    (fields.Function(lambda _: 1, lambda _: 1), {}),
    (Percentage(), NUMBER),
    (Anything(), {}),
    (fields.String(allow_none=True), {"type": ["string", "null"]}),
    (
        fields.Enum(Platform, allow_none=True),
        {"type": ["string", "null"], "enum": ["IOS", "ANDROID", None]},
    ),
    (
        fields.Enum(Platform, by_value=True, allow_none=True),
        {"anyOf": [{"enum": [1, 2]}, {"type": "null"}]},
    ),
    (fields.Raw(allow_none=True), {}),
    (fields.String(validate=validate.Length(1, 5)), TEXT | {"minLength": 1, "maxLength": 5}),
    (fields.String(validate=validate.Length(equal=5)), TEXT | {"minLength": 5, "maxLength": 5}),
    (
        fields.List(fields.Raw(), validate=validate.Length(max=5)),
        {"type": "array", "items": {}, "maxItems": 5},
    ),
    (fields.Dict(validate=validate.Length(1)), {"type": "object", "minProperties": 1}),
    (fields.Integer(validate=validate.Range(1, 5)), WHOLE | {"minimum": 1, "maximum": 5}),
    (
        fields.Float(validate=validate.Range(0, 1, min_inclusive=False, max_inclusive=False)),
        NUMBER | {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
    ),
    (fields.Float(validate=validate.Range(max=float("inf"))), NUMBER),
    (
        fields.Date(validate=validate.Range(dt.date(2026, 1, 1))),
        {"type": "string", "format": "date"},
    ),
    (fields.String(validate=validate.OneOf(["a", "b"])), TEXT | {"enum": ["a", "b"]}),
    (fields.String(validate=validate.OneOf({"b", "a"})), TEXT | {"enum": ["a", "b"]}),
    (
        fields.Date(validate=validate.OneOf([dt.date(2026, 1, 1)])),
        {"type": "string", "format": "date"},
    ),
    (
        fields.List(fields.String(), validate=validate.ContainsOnly(["a"])),
        {"type": "array", "items": TEXT | {"enum": ["a"]}},
    ),
    (fields.Integer(validate=validate.Equal(7)), WHOLE | {"const": 7}),
    (fields.String(validate=validate.Regexp("^[a-z]+$")), TEXT | {"pattern": "^[a-z]+$"}),
    (fields.String(validate=validate.Regexp("a|b")), TEXT | {"pattern": "^(?:a|b)"}),
    (fields.String(validate=validate.Regexp("^a|b")), TEXT | {"pattern": "^(?:^a|b)"}),
    (fields.String(validate=validate.Regexp("a", re.IGNORECASE)), TEXT),
    (fields.String(validate=validate.Regexp("(?P<name>a)")), TEXT),
    (fields.String(validate=validate.Regexp(r"\Aa\Z")), TEXT),
    (
        fields.Integer(validate=validate.And(validate.Range(1), validate.Range(max=9))),
        WHOLE | {"minimum": 1, "maximum": 9},
    ),
    (fields.Integer(validate=refuse_small), WHOLE),
    (
        fields.String(metadata={"description": "Which.", "examples": ["a"], "internal": object()}),
        TEXT | {"description": "Which.", "examples": ["a"]},
    ),
    (fields.String(metadata={"description": 7, "deprecated": True}), TEXT | {"deprecated": True}),
]

EITHER_WAY: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    (ApplicationField(), NAMED, NAMED),
    (DaysField(), DAYS_SENT, DAYS | WHOLE),
    (DaysField(maximum=30), DAYS_SENT | {"maximum": 30}, DAYS | WHOLE | {"maximum": 30}),
    (DaysField(load_default=30), DAYS_SENT | {"default": 30}, DAYS | WHOLE),
    (fields.Integer(as_string=True), {"type": ["integer", "string"]}, TEXT),
    (fields.Decimal(as_string=True), {"type": ["number", "string"]}, TEXT),
    (fields.DateTime(), {"type": "string", "format": "date-time"}, TEXT),
    (fields.Nested(Point), POINT | {"additionalProperties": False}, POINT),
    (fields.Nested(Point, unknown=EXCLUDE), POINT, POINT),
    (
        fields.Date(load_default=dt.date(2026, 1, 1)),
        {"type": "string", "format": "date", "default": "2026-01-01"},
        {"type": "string", "format": "date"},
    ),
    (
        fields.String(load_default=None),
        {"type": ["string", "null"], "default": None},
        {"type": ["string", "null"]},
    ),
    (ApplicationField(load_default="retail"), NAMED | {"default": "retail"}, NAMED),
    (fields.Constant(7), {"const": 7, "default": 7}, {"const": 7}),
    (fields.Integer(load_default=lambda: 7), WHOLE, WHOLE),
    (fields.Integer(load_default="no number"), WHOLE, WHOLE),
]
CASES = [*EITHER_WAY, *((field, expected, expected) for field, expected in BOTH_WAYS)]


def schema_of(field: Any) -> Schema:
    return Schema.from_dict({"value": field})()


@pytest.mark.parametrize(("field", "sent", "given"), CASES)
def test_field_is_translated(field: Any, sent: dict[str, Any], given: dict[str, Any]) -> None:
    schema = schema_of(field)

    parameters, data = parameters_json_schema(schema), data_json_schema(schema)

    assert parameters["properties"]["value"] == sent
    assert data["properties"]["value"] == given
    for document in (parameters, data):
        Draft202012Validator.check_schema(document)
        assert json.loads(encode(document)) == document


def test_names_and_presence_are_those_of_the_way() -> None:
    class Both(Schema):
        sent = fields.Integer(required=True, load_only=True)
        given = fields.Integer(required=True, dump_only=True)
        named = fields.Integer(required=True, data_key="Named")
        filled = fields.Integer(load_default=1, dump_default=2)
        free = fields.Integer()

    assert parameters_json_schema(Both()) == {
        "type": "object",
        "properties": {
            "sent": WHOLE,
            "Named": WHOLE,
            "filled": WHOLE | {"default": 1},
            "free": WHOLE,
        },
        "required": ["sent", "Named"],
    }
    # What is only dumped is not checked by the service, so it may be anything of its type, or null.
    assert data_json_schema(Both()) == {
        "type": "object",
        "properties": {
            "given": {"type": ["integer", "null"]},
            "Named": WHOLE,
            "filled": WHOLE,
            "free": WHOLE,
        },
        "required": ["Named", "filled"],
    }


@pytest.mark.parametrize(
    ("partial", "required"), [(True, None), (("x",), ["z"]), (None, ["x", "z"])]
)
def test_partial_schema_requires_less(partial: Any, required: list[str] | None) -> None:
    schema = Schema.from_dict(
        {"x": fields.Integer(required=True), "z": fields.Integer(required=True)}
    )

    assert parameters_json_schema(schema(partial=partial)).get("required") == required


def test_schema_inside_itself_ends() -> None:
    inner = {"type": "array", "items": {"type": "object"}}

    for translated in (parameters_json_schema(Knot()), data_json_schema(Knot())):
        assert translated == {"type": "object", "properties": {"name": TEXT, "children": inner}}


def test_schema_of_many_is_an_array() -> None:
    point = {"type": "object", "properties": {"x": WHOLE}}

    assert data_json_schema(Open(many=True)) == {"type": "array", "items": point}


JSON_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 7, 30, 365, 366, 0.5, 1e300, "", " ", "a", "b", "ab", "abc"),
    *("abcdef", "1", "30", "366", "IOS", "2026-01-01", "2026-01-01T00:00:00Z", "retail"),
    *("2026-01-01T00:00:00+02:00", "00000000-0000-4000-8000-000000000000", "me@bank.example"),
    *("http://bank.example/", "127.0.0.1", "::1", [], [1], [1, "a"], ["a"], ["a"] * 6, {}),
    *({"x": 1}, {"ypsilon": 1}, {"x": 1, "ypsilon": 2}, {"x": 1, "z": 3}, {"ab": 1}, {"a": 1}),
    *([{"x": 1}], [{"x": 1}, {"z": 1}], "abcde", "2026", "25.11.2026", "12:30:00"),
    *("2026-01-01T12:00:00", "Wed, 25 Nov 2026 12:00:00 +0000"),
]
FORMATS = Draft202012Validator.FORMAT_CHECKER
EXACT = [
    fields.String(),
    fields.String(allow_none=True),
    fields.Integer(),
    fields.Float(),
    fields.Boolean(),
    fields.UUID(),
    fields.IPv4(),
    fields.IPv6(),
    ApplicationField(),
    fields.Enum(Platform),
    fields.Enum(Platform, by_value=True),
    fields.Enum(Platform, allow_none=True),
    fields.List(fields.Integer()),
    fields.List(fields.String(), validate=validate.ContainsOnly(["a"])),
    fields.List(fields.Raw(allow_none=True), validate=validate.Length(max=5)),
    fields.Tuple((fields.Integer(), fields.String())),
    fields.Dict(fields.String(), fields.Integer()),
    fields.Dict(fields.String(validate=validate.Length(2)), fields.Integer()),
    fields.Dict(validate=validate.Length(1)),
    fields.Nested(Point),
    fields.Nested(Open),
    fields.Nested(Point, many=True),
    fields.Pluck(Point, "x", many=True),
    fields.Raw(allow_none=True),
    fields.String(validate=validate.Length(1, 5)),
    fields.Integer(validate=validate.Range(1, 30, max_inclusive=False)),
    fields.Float(validate=validate.Range(0, 1, min_inclusive=False)),
    fields.String(validate=validate.OneOf(["a", "b"])),
    fields.String(validate=validate.Regexp("^[a-z]+$")),
    fields.String(validate=validate.Regexp("a|b")),
    fields.Integer(validate=validate.Equal(7)),
    fields.Integer(validate=validate.And(validate.Range(1), validate.Range(max=9))),
]
"""Fields whose schema lets nothing pass that they refuse; it can't tell all of the others."""


@pytest.mark.parametrize("field", EXACT)
def test_what_fits_the_schema_is_accepted(field: Any) -> None:
    schema = schema_of(field)
    validator = Draft202012Validator(parameters_json_schema(schema), format_checker=FORMATS)
    fitting = [value for value in JSON_VALUES if validator.is_valid({"value": value})]

    assert fitting
    for value in fitting:
        schema.load({"value": value})


def given_of(schema: Schema) -> list[Any]:
    """What a service gives of each value: loaded, dumped, and loaded again by the schema."""
    given = []
    for value in JSON_VALUES:
        try:
            dumped = schema.dump(schema.load({"value": value}))
            schema.load(dumped)
            given.append(json.loads(encode(dumped)))
        except (ValidationError, TypeError, ValueError, NameError, AttributeError, ArithmeticError):
            continue
    return given


@pytest.mark.parametrize("field", [field for field, _, __ in CASES])
def test_what_is_given_fits_the_schema(field: Any) -> None:
    schema = schema_of(field)
    validator = Draft202012Validator(data_json_schema(schema), format_checker=FORMATS)
    given = given_of(schema)

    assert bool(given) == (field not in [never for never, _ in NEVER_GIVEN])
    for answer in given:
        validator.validate(answer)
