"""JSON Schemas of the document: what is given fits them, and they say what the API accepts."""

import datetime as dt
import enum
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from flask_powerauth_telemetry import ApplicationField, DaysField, ReportContext, ReportProvider
from flask_powerauth_telemetry.history.mau_history import DaysAndWindowSchema
from flask_powerauth_telemetry.openapi.document import openapi_document
from flask_powerauth_telemetry.openapi.routes import DIALECT, list_reports
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.reports.across_applications import ApplicationsAndDaysSchema
from flask_powerauth_telemetry.reports.active_users import ApplicationAndDaysSchema
from flask_powerauth_telemetry.reports.calendar import MonthSchema
from flask_powerauth_telemetry.schemas import encode

FORMATS = Draft202012Validator.FORMAT_CHECKER
Case = tuple[Any, Any]
DAYS_SENT = {
    "description": "A number of days of 24 hours.",
    "type": "integer",
    "minimum": 1,
    "maximum": 365,
    "examples": [90],
}


class Platform(enum.Enum):
    IOS = 1
    ANDROID = 2


class Moved(enum.Enum):
    HERE = object()


class Point(Schema):
    x = fields.Integer(required=True)
    y = fields.Integer(data_key="ypsilon", allow_none=True)


class Knot(Schema):
    name = fields.String()
    children: Any = fields.List(fields.Nested(lambda: Knot()))  # noqa: PLW0108 - not there yet


class Anything(fields.Field):  # type: ignore[type-arg]
    """A kind of an author's own, that derives from none."""


class Broken(fields.Integer):
    """A kind that can't be looked into."""

    @property
    def allow_none(self) -> bool:
        raise ZeroDivisionError

    @allow_none.setter
    def allow_none(self, _: bool) -> None:
        """Set by marshmallow."""


class Echo(ReportProvider):
    name = "ECHO"

    def __init__(self, parameters: Schema, data: Schema) -> None:
        self.parameters_schema = parameters
        self.data_schema = data

    def generate(self, context: ReportContext, **parameters: Any) -> Mapping[str, Any]:
        return parameters


def described(schema: Schema) -> tuple[Any, Any]:
    """Validators of the parameters and of the report data of a report with this schema."""
    (listed,) = list_reports(registry_of(schema))
    for part in (listed["parameters"], listed["reportData"]):
        Draft202012Validator.check_schema(part)
    sent, given = (
        Draft202012Validator(listed[part], format_checker=FORMATS)
        for part in ("parameters", "reportData")
    )
    return sent, given


def documented(schema: Schema) -> Any:
    """The validator of the report data in the document, all of whose schemas are good ones."""
    document = openapi_document(registry_of(schema), "/")
    assert json.loads(encode(document)) == document
    for component in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(component)
    data = {"$ref": "#/components/schemas/EchoData", "components": document["components"]}
    return Draft202012Validator(data, format_checker=FORMATS)


def registry_of(schema: Schema) -> ReportRegistry:
    registry = ReportRegistry()
    registry.register(Echo(schema, schema))
    return registry


def one(field: Any) -> Schema:
    return Schema.from_dict({"value": field})()


def sent(field: Any) -> Any:
    """The JSON Schema of a field among parameters."""
    validator, _ = described(one(field))
    (schema,) = validator.schema["properties"].values()
    return schema


def field_of(kind: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[..., Any]:
    return lambda **more: kind(*arguments, **options, **more)


NUMBERS = st.integers(-9, 400)
TEXTS = st.text("ab1. -", max_size=4)
DAYS = st.dates(dt.date(2000, 1, 1), dt.date(2100, 1, 1))
NAIVE = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1))
AWARE = NAIVE.map(lambda instant: instant.replace(tzinfo=dt.UTC))
POINTS = st.fixed_dictionaries({"x": NUMBERS}, optional={"y": st.none() | NUMBERS})
KNOTS = st.recursive(
    st.just({"name": "end"}),
    lambda inner: st.fixed_dictionaries({"children": st.lists(inner, max_size=2)}),
    max_leaves=4,
)
PAIR = (fields.Integer(), fields.String())
A = st.just("a")
KINDS: dict[str, tuple[Callable[..., Any], st.SearchStrategy[Any]]] = {
    "text": (fields.String, TEXTS),
    "length": (
        field_of(fields.String, validate=validate.Length(1, 3)),
        st.text(A, min_size=1, max_size=3),
    ),
    "choice": (field_of(fields.String, validate=validate.OneOf({"a", "b"})), A),
    "pattern": (field_of(fields.String, validate=validate.Regexp("a|b")), A),
    "any case": (field_of(fields.String, validate=validate.Regexp("A", re.IGNORECASE)), A),
    "pattern of Python": (field_of(fields.String, validate=validate.Regexp(r"(?P<n>a)\Z")), A),
    "patterns": (field_of(fields.String, validate=[validate.Regexp("a"), validate.Regexp(".")]), A),
    "integer": (fields.Integer, NUMBERS),
    "integer as text": (
        field_of(fields.Integer, as_string=True, validate=validate.Range(-9)),
        NUMBERS,
    ),
    "below": (
        field_of(fields.Integer, validate=validate.Range(max=401, max_inclusive=False)),
        NUMBERS,
    ),
    "no limit": (field_of(fields.Float, validate=validate.Range(max=float("inf"))), NUMBERS),
    "equal": (field_of(fields.Integer, validate=validate.Equal(7)), st.just(7)),
    "both": (field_of(fields.Integer, validate=validate.And(validate.Range(-9))), NUMBERS),
    "own validator": (field_of(fields.Integer, validate=lambda value: value > -10), NUMBERS),
    "days": (DaysField, st.integers(1, 365)),
    "application": (ApplicationField, st.text("ab", min_size=1)),
    "float": (fields.Float, st.floats(-9, 9)),
    "decimal": (
        field_of(fields.Decimal, as_string=True, validate=validate.Range(Decimal("-9.5"))),
        NUMBERS,
    ),
    "boolean": (fields.Boolean, st.booleans()),
    "uuid": (fields.UUID, st.uuids()),
    "ip": (fields.IP, st.ip_addresses()),
    "ipv4": (fields.IPv4, st.ip_addresses(v=4)),
    "interface": (fields.IPv6Interface, st.just(ipaddress.ip_interface("::1/64"))),
    "email": (fields.Email, st.just("me@bank.example")),
    "url": (field_of(fields.Url, relative=True), st.just("/there")),
    "date": (fields.Date, DAYS),
    "date as text": (field_of(fields.Date, format="%d.%m.%Y"), DAYS),
    "late date": (field_of(fields.Date, validate=validate.Range(dt.date(2000, 1, 1))), DAYS),
    "one date": (
        field_of(fields.Date, validate=validate.OneOf([dt.date(2026, 1, 1)])),
        st.just(dt.date(2026, 1, 1)),
    ),
    "time": (fields.Time, st.times()),
    "instant": (fields.DateTime, NAIVE | AWARE),
    "naive instant": (fields.NaiveDateTime, NAIVE),
    "aware instant": (fields.AwareDateTime, AWARE),
    "instant as text": (field_of(fields.AwareDateTime, format="rfc"), AWARE),
    "timestamp": (field_of(fields.DateTime, format="timestamp"), AWARE),
    "span": (fields.TimeDelta, st.timedeltas(dt.timedelta(0), dt.timedelta(9))),
    "enum": (field_of(fields.Enum, Platform), st.sampled_from(Platform)),
    "enum by value": (field_of(fields.Enum, Platform, by_value=True), st.sampled_from(Platform)),
    "list": (field_of(fields.List, fields.Integer()), st.lists(NUMBERS)),
    "only": (
        field_of(fields.List, fields.String(), validate=validate.ContainsOnly("ab")),
        st.lists(A),
    ),
    "short list": (
        field_of(fields.List, fields.Raw(), validate=validate.Length(max=2)),
        st.lists(NUMBERS, max_size=2),
    ),
    "tuple": (field_of(fields.Tuple, PAIR), st.tuples(NUMBERS, TEXTS)),
    "mapping": (
        field_of(fields.Dict, fields.String(), fields.Integer()),
        st.dictionaries(TEXTS, NUMBERS),
    ),
    "full mapping": (field_of(fields.Dict, validate=validate.Length(2)), st.just({"a": 1, "b": 2})),
    "nested": (field_of(fields.Nested, Point), POINTS),
    "part": (field_of(fields.Nested, Point(only=["x"])), POINTS),
    "nested many": (field_of(fields.Nested, Point, many=True), st.lists(POINTS)),
    "plucked": (field_of(fields.Pluck, Point, "x", many=True), st.lists(POINTS)),
    "plucked null": (
        field_of(fields.Pluck, Point, "y"),
        st.fixed_dictionaries({"y": NUMBERS}),
    ),
    "inside itself": (field_of(fields.Nested, Knot), KNOTS),
    "anything": (fields.Raw, NUMBERS | st.lists(TEXTS)),
    "function": (field_of(fields.Function, lambda _: 1), st.none()),
    "constant": (field_of(fields.Constant, 7), st.just(7)),
    "unknown kind": (Anything, NUMBERS),
}
"""Kinds of fields, each with what a provider may give for it."""
OPTIONS: list[dict[str, Any]] = [
    {},
    {"required": True},
    {"required": True, "allow_none": True},
    {"allow_none": True, "dump_default": None},
    {"metadata": {"description": "What.", "internal": object(), "type": 7, "required": True}},
    {"metadata": {"description": 7, "examples": [object()]}},
]


@st.composite
def values_of(draw: st.DrawFn, name: str) -> Case:
    """A field of a kind, and what a provider gives for it: alone, in a list or as values."""
    kind, values = KINDS[name]
    options = draw(st.sampled_from(OPTIONS))
    field = kind(**options)
    alone = values | st.none() if options.get("allow_none") else values
    form = draw(st.sampled_from(["alone", "list", "mapping"]))
    if form == "alone" or name == "function":
        return field, draw(alone)
    if form == "list":
        return fields.List(field), draw(st.lists(alone, max_size=3))
    return fields.Dict(values=field), draw(st.dictionaries(TEXTS, alone, max_size=3))


@st.composite
def cases(draw: st.DrawFn, depth: int = 2) -> Case:
    """A random schema, and what a provider gives for it."""
    schema: dict[str, Any] = {}
    data = {}
    for number in range(draw(st.integers(1, 3))):
        nested = depth and draw(st.booleans())
        if nested:
            inner, value = draw(cases(depth - 1))
            field = fields.Nested(inner, unknown=EXCLUDE)
        else:
            field, value = draw(values_of(draw(st.sampled_from(list(KINDS)))))
        schema[f"f{number}"] = field
        if field.required or draw(st.booleans()):
            data[f"f{number}"] = value
    return Schema.from_dict(schema), data


def given_by(schema: Schema, data: Any) -> Any:
    """What a caller gets of data: they are dumped, and loaded again as the service does."""
    dumped = json.loads(encode(schema.dump(data)))
    schema.load(dumped, unknown=EXCLUDE)
    return dumped


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=10)
@given(data=st.data())
def test_what_is_given_fits_the_schema(name: str, data: st.DataObject) -> None:
    field, value = data.draw(values_of(name))
    schema = one(field)
    _, validator = described(schema)

    validator.validate(given_by(schema, {"value": value}))


@settings(max_examples=50)
@given(cases())
def test_what_is_given_fits_the_document(case: Case) -> None:
    schema, data = case

    documented(schema()).validate(given_by(schema(), data))


JSON_VALUES: list[Any] = [
    *(None, True, 0, 1, 30, 365, 366, -1, 0.5, "", " ", "30", "retail", "a" * 255, "a" * 256),
    *([], {}, ["a"], ["a", "b"], ["a", " "], ["a"] * 10, ["a"] * 11, "2026-11-25", "2026-11-31"),
]
TOLERATED: dict[str, list[Any]] = {"days": ["30"]}
"""What is accepted though the document does not tell of it."""
BEYOND: dict[str, list[Any]] = {
    "month": [value for value in JSON_VALUES if isinstance(value, str)],
    "applications": [["a"] * 10],
}
"""What a schema can't refuse."""
OURS = [ApplicationAndDaysSchema, ApplicationsAndDaysSchema, MonthSchema, DaysAndWindowSchema]


@pytest.mark.parametrize(
    ("schema", "name"), [(schema, name) for schema in OURS for name in schema().load_fields]
)
def test_our_parameters_are_accepted_as_documented(schema: type[Schema], name: str) -> None:
    field = schema().load_fields[name]
    validator = Draft202012Validator(sent(field), format_checker=FORMATS)
    accepted, fitting = [], []

    for value in JSON_VALUES:
        with suppress(ValidationError):
            field.deserialize(value)
            accepted.append(value)
        if validator.is_valid(value):
            fitting.append(value)

    assert fitting
    told = [value for value in accepted if value not in TOLERATED.get(name, [])]
    assert told == [value for value in fitting if value not in BEYOND.get(name, [])]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (fields.Integer(load_default=7), {"type": "integer", "default": 7}),
        (fields.Integer(load_default=None), {"type": ["integer", "null"], "default": None}),
        (fields.Integer(load_default=lambda: 7), {"type": "integer"}),
        (fields.Decimal(load_default=Decimal("1.5"), as_string=True), {"type": "number"}),
        (fields.Float(load_default=float("nan"), allow_nan=True), {"type": "number"}),
        (fields.Integer(load_default="none"), {"type": "integer"}),
        (
            fields.Integer(load_default=-1, validate=validate.Range(0)),
            {"type": "integer", "minimum": 0},
        ),
        (DaysField(maximum=30), DAYS_SENT | {"maximum": 30}),
        (DaysField(load_default=30), DAYS_SENT | {"default": 30}),
        (
            fields.Date(load_default=dt.date(2026, 1, 1)),
            {"type": "string", "format": "date", "default": "2026-01-01"},
        ),
        (
            fields.Enum(Platform, allow_none=True),
            {"type": ["string", "null"], "enum": ["IOS", "ANDROID", None]},
        ),
        (fields.Enum(Platform, by_value=True), {"enum": [1, 2]}),
        (
            fields.Float(validate=validate.Range(0.5, 2)),
            {"type": "number", "minimum": 0.5, "maximum": 2},
        ),
        (
            fields.List(fields.String(), validate=validate.Length(1, 3)),
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        ),
        (
            fields.String(metadata={"title": "T", "description": "D", "examples": ["a"]}),
            {"type": "string", "title": "T", "description": "D", "examples": ["a"]},
        ),
        (fields.String(metadata={"deprecated": True}), {"type": "string", "deprecated": True}),
        (
            fields.Nested(Point, allow_none=True),
            {"anyOf": [{"$ref": "#/$defs/Point"}, {"type": "null"}]},
        ),
        (
            fields.Nested(Point, many=True),
            {"type": "array", "items": {"$ref": "#/$defs/Point"}},
        ),
        (fields.Raw(allow_none=True), {}),
    ],
)
def test_field_is_told(field: Any, expected: dict[str, Any]) -> None:
    assert sent(field) == expected


@pytest.mark.parametrize(
    "field",
    [
        Broken(),
        fields.Nested("no such schema"),
        fields.Enum(Moved, by_value=True),
        fields.String(metadata={"examples": [object()]}),
    ],
)
def test_field_that_says_nothing_is_left_open(field: Any) -> None:
    schema = Schema.from_dict({"value": field, "beside": fields.Integer(required=True)})()

    for validator in described(schema):
        assert validator.schema["properties"] == {"value": {}, "beside": {"type": "integer"}}
        assert validator.schema["required"] == ["beside"]


def test_names_and_presence_are_those_of_the_way() -> None:
    class Both(Schema):
        sent = fields.Integer(required=True, load_only=True)
        given = fields.Integer(required=True, dump_only=True)
        named = fields.Integer(required=True, data_key="Named")
        filled = fields.Integer(load_default=1, dump_default=2)
        free = fields.Integer()

    parameters, data = (validator.schema for validator in described(Both()))

    whole = {"type": "integer"}
    assert parameters == {
        "$schema": DIALECT,
        "type": "object",
        "properties": {
            "sent": whole,
            "Named": whole,
            "filled": whole | {"default": 1},
            "free": whole,
        },
        "required": ["sent", "Named"],
    }
    # What is only dumped is not checked by the service: it may be null, or missing.
    assert data == {
        "$schema": DIALECT,
        "type": "object",
        "properties": {
            "given": {"type": ["integer", "null"]},
            "Named": whole,
            "filled": whole,
            "free": whole,
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
    parameters, _ = described(schema(partial=partial))

    assert parameters.schema.get("required") == required


def test_schema_of_many_is_an_array() -> None:
    _, data = described(Point(many=True))

    assert data.schema["type"] == "array"
    assert data.is_valid([{"x": 1}])
    assert not data.is_valid([{"y": 1}])
