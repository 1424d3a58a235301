"""Parameter fields that reports share."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from marshmallow import ValidationError, fields, validate

MAXIMUM_DAYS = 365
_MAXIMUM_APPLICATION_LENGTH = 255

_loaded: ContextVar[list[str] | None] = ContextVar("loaded_applications", default=None)


@contextmanager
def loaded_applications() -> Iterator[list[str]]:
    """Collect every value that an ``ApplicationField`` gives in this ``with`` block.

    Collecting in the field sees lists, nested schemas, defaults and values that a ``post_load``
    renames, so no schema can take an application past the check of scopes.
    """
    names: list[str] = []
    token = _loaded.set(names)
    try:
        yield names
    finally:
        _loaded.reset(token)


class ApplicationField(fields.String):
    """The name of a PowerAuth application, a string of 1 to 255 characters.

    Required unless ``load_default`` is given. The service checks the caller's scope on every
    value of such a field, also inside a list.
    """

    def __init__(self, **options: Any) -> None:
        options.setdefault("required", "load_default" not in options)
        length = validate.Length(
            1, _MAXIMUM_APPLICATION_LENGTH, error="Must have {min} to {max} characters."
        )
        super().__init__(validate=length, **options)

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
        if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
            raise ValidationError("Has a character that no application name can have.")
        return name


class DaysField(fields.Integer):
    """The length of a window in days of 24 hours, a whole number from 1 to ``maximum``.

    A JSON integer, or a string of one to three ASCII digits, as the template of PowerAuth's
    public documentation quotes every value. Required unless ``load_default`` is given.
    """

    def __init__(self, *, maximum: int = MAXIMUM_DAYS, **options: Any) -> None:
        options.setdefault("required", "load_default" not in options)
        self._refusal = f"Must be a whole number from 1 to {maximum}."
        super().__init__(
            strict=True, validate=validate.Range(1, maximum, error=self._refusal), **options
        )

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> int:
        if isinstance(value, str) and 1 <= len(value) <= 3 and value.isascii() and value.isdigit():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise ValidationError(self._refusal)
