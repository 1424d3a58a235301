"""Examples, made of JSON Schemas: as good as types and names can tell."""

from collections.abc import Mapping
from typing import Any

from flask_powerauth_telemetry.openapi.schemas import Keywords

_LIKE = {"application": "retail-banking", "days": 30}
_PLAIN: Mapping[type, Keywords] = {str: {"type": "string"}, int: {"type": "integer"}}
_TEXTS = {
    None: "text",
    "date": "2026-11-25",
    "date-time": "2026-11-25T12:00:00+00:00",
    "uuid": "6f3a1e0c-5d1f-4e0b-9a53-0d3f8c8f2b11",
}


class _NoExample(Exception):
    """The schema tells too little."""


def example_of(schema: Keywords, schemas: Mapping[str, Keywords], like: Any = None) -> Any:
    """A value that fits a schema, None where the schema tells too little.

    ``schemas`` are those that it may refer to. A member that may be any text or any whole number
    is what the member of the same name in ``like`` is, if that is an object.
    """
    known = _LIKE | like if isinstance(like, dict) else _LIKE
    try:
        return _value(schema, schemas, known)
    except _NoExample:
        return None


def _value(schema: Keywords, schemas: Mapping[str, Keywords], like: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in schemas:  # it is inside itself
            raise _NoExample
        schema, schemas = schemas[name], {one: schemas[one] for one in schemas if one != name}
    if "anyOf" in schema:
        return _value(schema["anyOf"][0], schemas, like)
    if choices := schema.get("examples") or schema.get("enum"):
        return choices[0]
    kinds = schema.get("type", "")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind == "array":
        items = schema.get("items", {})
        count = max(1, schema.get("minItems", 0))
        several: list[Any] = items.get("examples", [])
        return several[:count] if count <= len(several) else [_value(items, schemas, like)] * count
    return _members(schema, schemas, like) if kind == "object" else _simple(kind, schema)


def _members(
    schema: Keywords, schemas: Mapping[str, Keywords], like: Mapping[str, Any]
) -> dict[str, Any]:
    members = {}
    for name, member in schema.get("properties", {}).items():
        try:
            known = member == _PLAIN.get(type(like.get(name)))
            members[name] = like[name] if known else _value(member, schemas, like)
        except _NoExample:
            if name in schema.get("required", ()):
                raise
    return members


def _simple(kind: str, schema: Keywords) -> Any:
    if kind in ("integer", "number"):
        least = max(1, schema.get("minimum", 1))
        return min(least, schema.get("maximum", least))
    if kind == "boolean":
        return True
    text = _TEXTS.get(schema.get("format"), "") if kind == "string" else ""
    shortest, longest = max(1, schema.get("minLength", 1)), schema.get("maxLength", len(text))
    if not shortest <= len(text) <= longest or "pattern" in schema:
        raise _NoExample
    return text
