"""The JSON Schema of what callers send and get, out of the schemas of marshmallow.

By JSON Schema 2020-12. Where a schema of marshmallow says what can't be told, such as a method
that validates, less is told: a report never fails for it.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import RAISE, Schema, missing

from flask_powerauth_telemetry.openapi.constraints import (
    Keywords,
    constraints,
    is_json,
    types_of,
)
from flask_powerauth_telemetry.openapi.kinds import AnyField, keywords_of

logger = logging.getLogger("flask_powerauth_telemetry.openapi")

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ANNOTATIONS: Mapping[str, type] = {
    "title": str,
    "description": str,
    "examples": list,
    "deprecated": bool,
}


def parameters_json_schema(schema: Schema) -> Keywords:
    """The JSON Schema of the parameters that a caller sends; unknown ones may be among them."""
    return _Sent().object(schema)


def data_json_schema(schema: Schema) -> Keywords:
    """The JSON Schema of the report data that a caller gets."""
    return _Given().object(schema)


class _Way(ABC):
    """Translates schemas; ``outer`` are the classes of those around the one in hand."""

    def __init__(self, outer: Sequence[type[Schema]] = ()) -> None:
        self._outer = outer

    @abstractmethod
    def choose(self, *, sent: Keywords, given: Keywords) -> Keywords:
        """See ``kinds.Way``."""

    @abstractmethod
    def nested(self, schema: Schema, unknown: str | None) -> Keywords:
        """See ``kinds.Way``."""

    @abstractmethod
    def fields_of(self, schema: Schema) -> Mapping[str, AnyField]:
        """The fields that go this way."""

    @abstractmethod
    def is_required(self, field: AnyField, schema: Schema) -> bool:
        """Whether the field is always there."""

    def may_be_null(self, field: AnyField) -> bool:
        """Whether null may stand in the field's place."""
        return bool(field.allow_none)

    def details(self, _: AnyField) -> Keywords:
        """What else holds for a field."""
        return {}

    def object(self, schema: Schema) -> Keywords:
        """A schema; one that is inside itself is any object, there."""
        keywords: Keywords = {"type": "object"}
        if type(schema) not in self._outer:
            inner = type(self)([*self._outer, type(schema)])
            keywords |= inner.members(schema)
        return {"type": "array", "items": keywords} if schema.many else keywords

    def members(self, schema: Schema) -> Keywords:
        """The fields of a schema, by their names in JSON."""
        found = {
            name if field.data_key is None else field.data_key: field
            for name, field in self.fields_of(schema).items()
        }
        keywords: Keywords = {"properties": {key: self.field(found[key]) for key in found}}
        required = [key for key, field in found.items() if self.is_required(field, schema)]
        return keywords | ({"required": required} if required else {})

    def field(self, field: AnyField) -> Keywords:
        """A field; any JSON, where it is of a kind that no sense can be made of."""
        try:
            keywords = self._described(field)
        except Exception:  # a field is a stranger's code, and the catalogue has others to tell of
            logger.debug("No JSON Schema can be made of the field %r", field.name, exc_info=True)
            return {}
        return keywords if is_json(keywords) else {}

    def _described(self, field: AnyField) -> Keywords:
        keywords = keywords_of(field, self)
        for validator in field.validators:
            keywords = keywords | constraints(validator, keywords)
        if self.may_be_null(field):
            keywords = _or_null(keywords)
        return keywords | self.details(field) | _annotations(field)


class _Sent(_Way):
    """What a caller sends."""

    def choose(self, *, sent: Keywords, given: Keywords) -> Keywords:
        return sent

    def nested(self, schema: Schema, unknown: str | None) -> Keywords:
        keywords = self.object(schema)
        if (unknown or schema.unknown) == RAISE and "properties" in keywords:
            return keywords | {"additionalProperties": False}
        return keywords

    def fields_of(self, schema: Schema) -> Mapping[str, AnyField]:
        return schema.load_fields

    def is_required(self, field: AnyField, schema: Schema) -> bool:
        partial = schema.partial
        left_out = partial if isinstance(partial, bool | None) else field.name in partial
        return field.required and not left_out

    def details(self, field: AnyField) -> Keywords:
        """The value that stands for a missing one."""
        default = field.load_default
        if default is missing or callable(default):
            return {}
        try:
            value = None if default is None else field._serialize(default, "", None)
        except Exception:  # what is loaded need not be what the field could dump
            return {}
        return {"default": value} if is_json(value) else {}


class _Given(_Way):
    """What a caller gets."""

    def choose(self, *, sent: Keywords, given: Keywords) -> Keywords:
        return given

    def nested(self, schema: Schema, _: str | None) -> Keywords:
        return self.object(schema)

    def fields_of(self, schema: Schema) -> Mapping[str, AnyField]:
        return schema.dump_fields

    def is_required(self, field: AnyField, _: Schema) -> bool:
        # Report data are loaded again by their schema, which leaves out what is only dumped.
        return (field.required and not field.dump_only) or field.dump_default is not missing

    def may_be_null(self, field: AnyField) -> bool:
        return bool(field.allow_none or field.dump_only)


def _or_null(keywords: Keywords) -> Keywords:
    if not keywords:
        return keywords
    if not types_of(keywords) or "const" in keywords:
        return {"anyOf": [keywords, {"type": "null"}]}
    keywords = keywords | {"type": [*types_of(keywords), "null"]}
    return keywords | ({"enum": [*keywords["enum"], None]} if "enum" in keywords else {})


def _annotations(field: AnyField) -> Keywords:
    """What the author says of a field, in its metadata."""
    told: Mapping[str, Any] = field.metadata
    return {
        name: told[name] for name, kind in _ANNOTATIONS.items() if isinstance(told.get(name), kind)
    }
