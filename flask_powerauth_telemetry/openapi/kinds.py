"""What each kind of marshmallow's fields is in JSON, as keywords of JSON Schema."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from marshmallow import Schema, fields

from flask_powerauth_telemetry.fields import ApplicationField, DaysField
from flask_powerauth_telemetry.openapi.constraints import Keywords, is_json, types_of

AnyField: TypeAlias = "fields.Field[Any]"

_ISO = frozenset({None, "iso", "iso8601"})
_TIMESTAMPS = frozenset({"timestamp", "timestamp_ms"})


class Way(Protocol):
    """The way that values go: to a provider, as parameters, or to a caller, as report data."""

    def choose(self, *, sent: Keywords, given: Keywords) -> Keywords:
        """What holds for this way: ``sent`` by a caller, or ``given`` to one."""

    def field(self, field: AnyField) -> Keywords:
        """A field, with all that holds for it."""

    def nested(self, schema: Schema, unknown: str | None) -> Keywords:
        """A schema inside another; ``unknown`` is what becomes of unknown keys, if it is told."""


def keywords_of(field: AnyField, way: Way) -> Keywords:
    """The JSON that a field stands for; an own kind of field is what it derives from.

    Nothing for a kind that is not known: any JSON may be there.
    """
    for kind in type(field).__mro__:
        if kind in _PLAIN:
            return _PLAIN[kind]
        if kind in _TRANSLATED:
            return _TRANSLATED[kind](field, way)
    return {}


def _number(field: Any, way: Way) -> Keywords:
    kind = "integer" if isinstance(field, fields.Integer) else "number"
    if field.as_string:
        return way.choose(sent={"type": [kind, "string"]}, given={"type": "string"})
    return {"type": kind}


def _days(_: DaysField, way: Way) -> Keywords:
    described: Keywords = {"description": "A number of days of 24 hours."}
    return described | way.choose(
        sent={"type": ["integer", "string"], "pattern": "^[0-9]{1,3}$"}, given={"type": "integer"}
    )


def _url(field: fields.Url, _: Way) -> Keywords:
    return {"type": "string", "format": "uri-reference" if field.relative else "uri"}


def _date(field: fields.Date, _: Way) -> Keywords:
    return {"type": "string", "format": "date"} if field.format in _ISO else {"type": "string"}


def _instant(field: fields.DateTime, way: Way) -> Keywords:
    if field.format in _TIMESTAMPS:
        return {"type": "number"}
    text: Keywords = {"type": "string"}
    # The format "date-time" demands an offset from UTC.
    with_offset = text | ({"format": "date-time"} if field.format in _ISO else {})
    if isinstance(field, fields.NaiveDateTime):
        return text
    if isinstance(field, fields.AwareDateTime):
        return with_offset
    return way.choose(sent=with_offset, given=text)


def _enum(field: Any, _: Way) -> Keywords:
    choices = [field._serialize(member, "", None) for member in field.enum]
    if not is_json(choices):
        return {}
    texts = all(isinstance(choice, str) for choice in choices)
    return {"type": "string", "enum": choices} if texts else {"enum": choices}


def _constant(field: Any, _: Way) -> Keywords:
    return {"const": field.constant}


def _list(field: Any, way: Way) -> Keywords:
    return {"type": "array", "items": way.field(field.inner)}


def _tuple(field: fields.Tuple, way: Way) -> Keywords:
    length = len(field.tuple_fields)
    places = [way.field(place) for place in field.tuple_fields]
    return {"type": "array", "prefixItems": places, "minItems": length, "maxItems": length}


def _mapping(field: Any, way: Way) -> Keywords:
    keywords: Keywords = {"type": "object"}
    # Names are always text in JSON, whatever loads them.
    names = way.field(field.key_field) if field.key_field else {}
    if types_of(names) == ["string"] and len(names) > 1:
        keywords["propertyNames"] = names
    if field.value_field:
        keywords["additionalProperties"] = way.field(field.value_field)
    return keywords


def _nested(field: fields.Nested, way: Way) -> Keywords:
    nested = way.nested(field.schema, field.unknown)
    # A schema made with many=True is an array already.
    return {"type": "array", "items": nested} if field.many and not field.schema.many else nested


def _pluck(field: fields.Pluck, way: Way) -> Keywords:
    plucked = way.field(field.schema.fields[field.field_name])
    return {"type": "array", "items": plucked} if field.many else plucked


_PLAIN: Mapping[type, Keywords] = {
    fields.String: {"type": "string"},
    ApplicationField: {
        "description": "The name of an application.",
        "type": "string",
        "pattern": r"\S",
    },
    fields.UUID: {"type": "string", "format": "uuid"},
    fields.Email: {"type": "string", "format": "email"},
    fields.IP: {"type": "string"},
    fields.IPv4: {"type": "string", "format": "ipv4"},
    fields.IPv6: {"type": "string", "format": "ipv6"},
    fields.IPInterface: {"type": "string"},
    # The format "time" demands an offset from UTC, which a Time need not have.
    fields.Time: {"type": "string"},
    fields.TimeDelta: {"type": "number"},
    fields.Boolean: {"type": "boolean"},
}
_TRANSLATED: Mapping[type, Callable[[Any, Way], Keywords]] = {
    fields.Number: _number,
    DaysField: _days,
    fields.Url: _url,
    fields.Date: _date,
    fields.DateTime: _instant,
    fields.Enum: _enum,
    fields.Constant: _constant,
    fields.List: _list,
    fields.Tuple: _tuple,
    fields.Mapping: _mapping,
    fields.Nested: _nested,
    fields.Pluck: _pluck,
}
