"""What validators of marshmallow demand, as keywords of JSON Schema."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Set
from decimal import Decimal
from typing import Any

from marshmallow import validate

from flask_powerauth_telemetry.schemas import encode

Keywords = dict[str, Any]

_LENGTHS = {"string": "Length", "array": "Items", "object": "Properties"}
# What JavaScript, by whose rules JSON Schema reads patterns, does not know or reads otherwise.
_PYTHON_ONLY = re.compile(r"\(\?(?![:=!])|\\[AZ]|[*+?}]\+|\{,")


def constraints(validator: object, keywords: Keywords) -> Keywords:
    """What a validator adds to the ``keywords`` of its field; nothing for an unknown validator."""
    for kind in type(validator).__mro__:
        if kind in _CONSTRAINTS:
            return _CONSTRAINTS[kind](validator, keywords)
    return {}


def types_of(keywords: Keywords) -> list[str]:
    """The JSON types that are allowed; none where every type is."""
    kinds = keywords.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def is_json(value: object) -> bool:
    """Whether JSON can carry a value just as it is."""
    try:
        encode({"value": value})
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _every(validator: validate.And, keywords: Keywords) -> Keywords:
    added: Keywords = {}
    for part in validator.validators:
        added |= constraints(part, keywords)
    return added


def _length(validator: validate.Length, keywords: Keywords) -> Keywords:
    at_least, at_most = validator.min, validator.max
    if validator.equal is not None:
        at_least = at_most = validator.equal
    limits = {"min": at_least, "max": at_most}
    return {
        end + _LENGTHS[kind]: limit
        for kind in types_of(keywords)
        if kind in _LENGTHS
        for end, limit in limits.items()
        if limit is not None
    }


def _range(validator: validate.Range, keywords: Keywords) -> Keywords:
    if not {"integer", "number"} & set(types_of(keywords)):
        return {}
    ends = {
        "minimum" if validator.min_inclusive else "exclusiveMinimum": validator.min,
        "maximum" if validator.max_inclusive else "exclusiveMaximum": validator.max,
    }
    return {name: _number(end) for name, end in ends.items() if _is_finite(end)}


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and math.isfinite(value)


def _number(value: Any) -> int | float:
    return float(value) if isinstance(value, Decimal) else value


def _one_of(validator: validate.OneOf, _: Keywords) -> Keywords:
    choices = _choices(validator.choices)
    return {"enum": choices} if is_json(choices) else {}


def _only(validator: validate.ContainsOnly, keywords: Keywords) -> Keywords:
    choices = _choices(validator.choices)
    if "items" not in keywords or not is_json(choices):
        return {}
    return {"items": keywords["items"] | {"enum": choices}}


def _choices(choices: Iterable[Any]) -> list[Any]:
    # The order of a set differs between processes.
    return sorted(choices, key=str) if isinstance(choices, Set) else list(choices)


def _equal(validator: validate.Equal, _: Keywords) -> Keywords:
    return {"const": validator.comparable} if is_json(validator.comparable) else {}


def _pattern(validator: validate.Regexp, keywords: Keywords) -> Keywords:
    pattern = validator.regex.pattern
    if not isinstance(pattern, str) or validator.regex.flags != re.UNICODE:
        return {}
    if "string" not in types_of(keywords) or _PYTHON_ONLY.search(pattern):
        return {}
    # Python matches from the start; in JSON Schema a pattern may match anywhere.
    anchored = pattern.startswith("^") and "|" not in pattern
    return {"pattern": pattern if anchored else f"^(?:{pattern})"}


_CONSTRAINTS: Mapping[type, Callable[[Any, Keywords], Keywords]] = {
    validate.And: _every,
    validate.Length: _length,
    validate.Range: _range,
    validate.ContainsOnly: _only,
    validate.OneOf: _one_of,
    validate.Equal: _equal,
    validate.Regexp: _pattern,
}
