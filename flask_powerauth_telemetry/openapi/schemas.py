"""Schemas of marshmallow as the named JSON Schemas of a document, by apispec's plug-in."""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields, missing, validate

from flask_powerauth_telemetry.fields import ApplicationField, DaysField, by_key
from flask_powerauth_telemetry.schemas import encode

logger = logging.getLogger("flask_powerauth_telemetry.openapi")

AnyField: TypeAlias = "fields.Field[Any]"
Keywords = dict[str, Any]

_OURS: Mapping[type, Keywords] = {
    ApplicationField: {
        "description": "The name of an application.",
        "pattern": r"\S",
        "examples": ["retail-banking", "corporate-banking"],
    },
    DaysField: {"description": "A number of days of 24 hours.", "examples": [90]},
    # Texts of a form that JSON Schema has no name for, and subclasses that have one.
    fields.Date: {},
    fields.AwareDateTime: {},
    fields.DateTime: {"examples": ["2026-11-25T12:00:00"]},
    fields.Time: {"examples": ["12:00:00"]},
}
_MAPPING = {
    **OpenAPIConverter.field_mapping,
    # The format "date-time" demands an offset from UTC.
    fields.DateTime: ("string", None),
    fields.AwareDateTime: ("string", "date-time"),
    fields.TimeDelta: ("number", None),
}
_ANNOTATIONS = {"title": str, "description": str, "examples": list, "deprecated": bool}
_LIMITS = frozenset({"minimum", "maximum"})
_KEYWORDS = frozenset(
    {"$ref", "anyOf", "type", "format", "enum", "items", "additionalProperties", "default"}
    | {"pattern", "minLength", "maxLength", "minItems", "maxItems"}
    | _LIMITS
    | _ANNOTATIONS.keys()
)
_ISO = frozenset({None, "iso", "iso8601"})
# What JavaScript, by whose rules JSON Schema reads patterns, does not know or reads otherwise.
_PYTHON_ONLY = re.compile(r"\(\?(?![:=!])|\\[AZ]|[*+?}]\+|\{,")


class _Converter(OpenAPIConverter):
    """Translates what goes one way: parameters that are sent, or report data that are ``given``.

    Where a field says what can't be told, less is told: the document never fails for one.
    """

    given = False
    field_mapping = _MAPPING

    def schema2jsonschema(self, schema: Schema) -> Keywords:
        """The members of a schema, by their names in JSON."""
        found = by_key(schema.dump_fields if self.given else schema.load_fields)
        keywords: Keywords = {
            "type": "object",
            "properties": {key: self.field2property(field) for key, field in found.items()},
        }
        required = [key for key, field in found.items() if self._is_there(field, schema)]
        return keywords | ({"required": required} if required else {})

    def field2property(self, field: AnyField) -> Keywords:
        """A field; any JSON, where it is of a kind that no sense can be made of."""
        try:
            keywords = super().field2property(field)
        except Exception:  # a field is a stranger's code, and the document has others to tell of
            logger.debug("No JSON Schema can be made of the field %r", field.name, exc_info=True)
            return {}
        if not _is_iso(field):
            keywords.pop("format", None)
        keywords = {name: told for name, told in keywords.items() if _is_told(name, told)}
        return keywords if _is_json(keywords) else {}

    def field2type_and_format(self, field: AnyField, **_: Any) -> Keywords:
        """The type; numbers that are given as text are text."""
        if self._is_text(field):
            return {"type": "string"}
        return super().field2type_and_format(field)

    def field2default(self, field: AnyField, **_: Any) -> Keywords:
        """What stands for a parameter that is missing, where it could be sent as well."""
        if self.given or getattr(field, "as_string", False):
            return {}
        try:
            keywords = super().field2default(field)
            if keywords:
                field.deserialize(keywords["default"])
        except Exception:  # marshmallow asks no validator of a stranger's about it
            return {}
        return keywords if _is_json(keywords) else {}

    def field2choices(self, field: AnyField, **_: Any) -> Keywords:
        """The values that are allowed; those of a list's items are left open."""
        of_items = any(isinstance(rule, validate.ContainsOnly) for rule in field.validators)
        keywords = {} if of_items or self._is_text(field) else super().field2choices(field)
        return keywords if _is_json(keywords) else {}

    def field2pattern(self, field: AnyField, **_: Any) -> Keywords:
        """The first pattern that reads the same outside Python."""
        for rule in field.validators:
            regex = rule.regex if isinstance(rule, validate.Regexp) else None
            if regex and regex.flags == re.UNICODE and not _PYTHON_ONLY.search(str(regex.pattern)):
                return {"pattern": regex.pattern}
        return {}

    def metadata2properties(self, field: AnyField, **_: Any) -> Keywords:
        """What is known of our own fields, and what the author says of any."""
        ours = next((_OURS[kind] for kind in type(field).__mro__ if kind in _OURS), {})
        if not _is_iso(field):
            ours = {}
        told = field.metadata
        kinds = _ANNOTATIONS.items()
        return ours | {name: told[name] for name, kind in kinds if isinstance(told.get(name), kind)}

    def field2nullable(self, field: AnyField, ret: Keywords) -> Keywords:
        """Null beside a type; what is only given is checked by nothing, so it may be null too."""
        if not (field.allow_none or (self.given and field.dump_only)):
            return {}
        if "$ref" in ret:
            return {"anyOf": [{"$ref": ret.pop("$ref")}, {"type": "null"}]}
        kinds = ret.get("type", [])
        keywords: Keywords = {"type": [kinds, "null"]} if isinstance(kinds, str) else {}
        if "enum" in ret and None not in ret["enum"]:
            keywords["enum"] = [*ret["enum"], None]
        return keywords

    def _is_there(self, field: AnyField, schema: Schema) -> bool:
        """Whether the field is always there."""
        if self.given:
            # Report data are loaded again by their schema, which leaves out what is only dumped.
            return (field.required and not field.dump_only) or field.dump_default is not missing
        partial = schema.partial or ()
        return field.required and (partial is not True and field.name not in partial)

    def _is_text(self, field: AnyField) -> bool:
        return self.given and bool(getattr(field, "as_string", False))


class SchemaPlugin(MarshmallowPlugin):
    """Translates the schemas of reports, and gives every schema of a document a name of its own.

    Names are CamelCase, and differ by more than case: clients have files of these names.
    ``reserved`` are names that are given already.
    """

    Converter = _Converter
    converter: _Converter

    def __init__(self, reserved: Iterable[str]) -> None:
        super().__init__(self._name_of_nested)
        self._given = {name.lower() for name in reserved}
        self._owner = ""

    def name(self, *words: str) -> str:
        """A new name made of ``words``, with a number behind it if it is given already."""
        wanted = name = re.sub("[^A-Za-z0-9]", "", "".join(words))
        number = 1
        while name.lower() in self._given:
            number += 1
            name = f"{wanted}{number}"
        self._given.add(name.lower())
        return name

    def parameters(self, schema: Schema, owner: str = "") -> Keywords:
        """The JSON Schema of the parameters that a caller sends; unknown ones may be among them.

        Schemas inside it become components of the document, with names that begin with ``owner``.
        """
        return self._translated(schema, owner, given=False)

    def report_data(self, schema: Schema, owner: str = "") -> Keywords:
        """The JSON Schema of the report data that a caller gets; otherwise as ``parameters``."""
        return self._translated(schema, owner, given=True)

    def _translated(self, schema: Schema, owner: str, *, given: bool) -> Keywords:
        # One schema may be sent and given, which differ: so nothing added before is referred to.
        self._owner, self.converter.given, self.converter.refs = owner, given, {}
        keywords = self.converter.schema2jsonschema(schema)
        return {"type": "array", "items": keywords} if schema.many else keywords

    def _name_of_nested(self, schema: Any) -> str:
        kind = schema if isinstance(schema, type) else type(schema)
        return self.name(self._owner, kind.__name__.removesuffix("Schema") or "Object")


def _is_iso(field: AnyField) -> bool:
    times = fields.DateTime | fields.Date | fields.Time
    return not isinstance(field, times) or field.format in _ISO


def _is_told(name: str, value: object) -> bool:
    if name in _LIMITS:
        return isinstance(value, int | float)
    return name in _KEYWORDS and (value is not None or name == "default")


def _is_json(keywords: Keywords) -> bool:
    try:
        encode(keywords)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
