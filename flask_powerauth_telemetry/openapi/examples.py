"""Examples, made of JSON Schemas: as good as types and names can tell."""

from collections.abc import Callable, Mapping
from typing import Any

from flask_powerauth_telemetry.openapi.schemas import Keywords

_LIKE = {"application": "retail-banking", "days": 30}
_PLAIN: tuple[Keywords, ...] = ({"type": "string"}, {"type": "integer"})
_TEXTS: Mapping[str | None, str] = {
    None: "text",
    "date": "2026-11-25",
    "date-time": "2026-11-25T12:00:00+00:00",
    "uuid": "6f3a1e0c-5d1f-4e0b-9a53-0d3f8c8f2b11",
}


def example_of(schema: Keywords, schemas: Mapping[str, Keywords], like: Any = None) -> Any:
    """A value that fits a schema, None where the schema tells too little.

    ``schemas`` are those that it may refer to. A member that may be any text or any whole number
    is what the member of the same name in ``like`` is, if that is an object.
    """
    known = _LIKE | like if isinstance(like, dict) else _LIKE
    try:
        return _Examples(schemas, known).of(schema)
    except _NoExample:
        return None


class _NoExample(Exception):
    """The schema tells too little."""


class _Examples:
    def __init__(
        self, schemas: Mapping[str, Keywords], like: Mapping[str, Any], outer: tuple[str, ...] = ()
    ) -> None:
        self._schemas = schemas
        self._like = like
        self._outer = outer
        self._makers: Mapping[str, Callable[[Keywords], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": _text,
            "integer": _number,
            "number": _number,
            "boolean": lambda _: True,
        }

    def of(self, schema: Keywords) -> Any:
        if "$ref" in schema:
            return self._of_named(schema["$ref"].rpartition("/")[2])
        if "anyOf" in schema:
            return self.of(schema["anyOf"][0])
        if choices := schema.get("examples") or schema.get("enum"):
            return choices[0]
        kinds = schema.get("type", "")
        kind = kinds if isinstance(kinds, str) else kinds[0]
        if kind not in self._makers:
            raise _NoExample
        return self._makers[kind](schema)

    def _of_named(self, name: str) -> Any:
        if name in self._outer:  # a schema inside itself
            raise _NoExample
        inner = _Examples(self._schemas, self._like, (*self._outer, name))
        return inner.of(self._schemas[name])

    def _object(self, schema: Keywords) -> dict[str, Any]:
        members = {}
        for name, member in schema.get("properties", {}).items():
            try:
                known = member in _PLAIN and name in self._like
                members[name] = self._like[name] if known else self.of(member)
            except _NoExample:
                if name in schema.get("required", ()):
                    raise
        return members

    def _array(self, schema: Keywords) -> list[Any]:
        fewest = schema.get("minItems", 0)
        items = schema.get("items", {})
        several: list[Any] = items.get("examples", [])
        if several and fewest <= len(several):
            return several[: max(1, fewest)]
        try:
            return [self.of(items)] * max(1, fewest)
        except _NoExample:
            if fewest:
                raise
            return []


def _text(schema: Keywords) -> str:
    text = _TEXTS.get(schema.get("format"))
    fits = text and schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
    if text is None or not fits or "pattern" in schema:
        raise _NoExample
    return text


def _number(schema: Keywords) -> int | float:
    number: int | float = min(max(1, schema.get("minimum", 1)), schema.get("maximum", 1))
    return number
