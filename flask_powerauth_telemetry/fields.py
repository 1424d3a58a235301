"""Fields that reports share, and how their parameters are loaded."""

from collections.abc import Mapping
from contextvars import ContextVar
from copy import copy
from typing import Any, NamedTuple

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from flask_powerauth_telemetry.text import IN_NO_TEXT

MAXIMUM_DAYS = 365

_loaded: ContextVar[list[str] | None] = ContextVar("loaded_applications", default=None)


class Loaded(NamedTuple):
    """What a schema made of raw parameters: ``values``, or else the ``error`` that it raised.

    ``applications`` are all values that an ``ApplicationField`` gave, also before an error.
    """

    values: Any
    applications: tuple[str, ...]
    error: Exception | None = None


def by_key(known: "Mapping[str, fields.Field[Any]]") -> "Mapping[str, fields.Field[Any]]":
    """Fields of a schema by their names in JSON."""
    return {name if one.data_key is None else one.data_key: one for name, one in known.items()}


def load_parameters(schema: Schema, raw: Mapping[str, Any]) -> Loaded:
    """Load raw parameters; keys that the schema doesn't know are left out.

    Applications are collected in their field, also in lists and nested schemas, and whatever a
    ``post_load`` renames. Lists, sets and dictionaries are the caller's own, also those that a
    schema has as defaults.
    """
    names: list[str] = []
    token = _loaded.set(names)
    try:
        values = schema.load(_own(raw), unknown=EXCLUDE)  # hooks may change what they are given
    except Exception as error:
        return Loaded({}, tuple(names), error)
    finally:
        _loaded.reset(token)
    return Loaded(_own(values), tuple(names))


def _own(value: Any) -> Any:
    """A value whose lists, sets and dictionaries nobody else has."""
    if not isinstance(value, dict | list | set):
        return value
    own = copy(value)
    if isinstance(own, dict):
        own.update({key: _own(item) for key, item in own.items()})
    elif isinstance(own, list):
        own[:] = map(_own, own)
    return own


class ApplicationField(fields.String):
    """The name of a PowerAuth application, a string of 1 to 255 characters.

    Required unless ``load_default`` is given. The service checks the caller's scope on every
    value of such a field, also inside a list.
    """

    def __init__(self, **options: Any) -> None:
        options.setdefault("required", "load_default" not in options)
        length = validate.Length(1, 255, error="Must have {min} to {max} characters.")
        super().__init__(**options)
        self.validators = [length, *self.validators]  # beside those of an author

    def deserialize(self, value: Any, *arguments: Any, **options: Any) -> Any:
        """The name; it is also noted for the check of scopes."""
        name = super().deserialize(value, *arguments, **options)
        noted = _loaded.get()
        if noted is not None and isinstance(name, str):
            noted.append(name)
        return name

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> str:
        name: str = super()._deserialize(value, *arguments, **options)
        if not name.strip():
            raise ValidationError("Must not be blank.")
        if IN_NO_TEXT.search(name):
            raise ValidationError("Has a character that no application name can have.")
        return name


class DaysField(fields.Integer):
    """The length of a window in days of 24 hours, a whole number from 1 to ``maximum``.

    A JSON integer, or a string of one to three ASCII digits, as the template of PowerAuth's
    public documentation quotes every value. Required unless ``load_default`` is given.
    """

    def __init__(self, *, maximum: int = MAXIMUM_DAYS, **options: Any) -> None:
        options.setdefault("required", "load_default" not in options)
        self.maximum = maximum
        self._refusal = f"Must be a whole number from 1 to {maximum}."
        super().__init__(**options)
        span = validate.Range(1, maximum, error=self._refusal)
        self.validators = [span, *self.validators]  # beside those of an author

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> int:
        if isinstance(value, str) and 1 <= len(value) <= 3 and value.isascii() and value.isdigit():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise ValidationError(self._refusal)


class DataSchema(Schema):
    """Report data of ours: every member is there, in camelCase unless its field says otherwise."""

    def on_bind_field(self, field_name: str, field_obj: "fields.Field[Any]") -> None:
        """Require and name a member."""
        first, *others = field_name.split("_")
        field_obj.required = True
        field_obj.data_key = field_obj.data_key or first + "".join(map(str.capitalize, others))


class CountField(fields.Integer):
    """How many of something there are, in report data: a required JSON integer from 0."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=True, validate=validate.Range(0), **options)
