"""Parameters of a report as they are given on the command line."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import click

from flask_powerauth_telemetry.openapi.constraints import types_of
from flask_powerauth_telemetry.openapi.json_schemas import parameters_json_schema
from flask_powerauth_telemetry.registry import RegisteredReport

_NO_JSON = object()


def parameters_of(report: RegisteredReport, pairs: Iterable[str]) -> Mapping[str, Any]:
    """The parameters in texts such as ``days=30``, to be validated by the report.

    A value is read as JSON where it is JSON of a kind that the report's schema asks for, and as
    text otherwise. One that is given several times is a list. Raises ``click.BadParameter`` for a
    text without ``=``, and for a parameter that the report does not know: on the command line
    that is a slip.
    """
    known: Mapping[str, Any] = parameters_json_schema(report.parameters_schema)["properties"]
    given: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is no NAME=VALUE", param_hint="-p")
        if name not in known:
            names = ", ".join(known) or "none"
            cause = f"{report.name} has no parameter {name!r} (it has: {names})"
            raise click.BadParameter(cause, param_hint="-p")
        given.setdefault(name, []).append(value)
    return {name: _value(values, known[name]) for name, values in given.items()}


def _value(texts: list[str], schema: Mapping[str, Any]) -> Any:
    kinds = types_of(dict(schema))
    if len(texts) == 1 and ("array" not in kinds or isinstance(_json(texts[0]), list)):
        return _read(texts[0], kinds)
    items = types_of(schema.get("items", {}))
    return [_read(text, items) for text in texts]


def _read(text: str, kinds: Iterable[str]) -> Any:
    value = _json(text)
    if value is _NO_JSON:
        return text
    return value if not kinds or set(_kinds_of(value)) & set(kinds) else text


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _NO_JSON


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _kinds_of(value: Any) -> tuple[str, ...]:
    """The names that JSON Schema has for the type of a value."""
    if isinstance(value, bool):
        return ("boolean",)
    if isinstance(value, int):
        return ("integer", "number")
    return (_KINDS[type(value)],)


_KINDS: Mapping[type, str] = {
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}
