"""What kinds of values have in common: a field of marshmallow that carries its cure.

A field takes what stands in the configuration and returns what the package works with, or raises
``Refused``. Values of secrets never stand in a message.
"""

import ast
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from types import UnionType
from typing import Any

from marshmallow import ValidationError, fields

from flask_powerauth_telemetry.text import IN_NO_TEXT, shortened

SHOWN_LENGTH = 12
"""How much of a principal's name is shown: where name and token are swapped, it is a token."""

_VARIABLE = re.compile(r"\$\{\w+\}|\$\(\w+\)")
_IS_MEANT_AS_JSON = re.compile(r"\s*(\{|\[|(True|False|None)\s*$)")
_AS_JSON = (
    "Write JSON: double quotes around every string, true, false, null, no comma before a closing"
    " bracket"
)


class Refused(ValidationError):
    """A value that can't be used: why, and what to do.

    ``meant`` is what to write in its place, or else ``example`` shows how such a value looks. The
    ``cure`` is told after it.
    """

    def __init__(
        self, cause: str, cure: str = "", *, meant: Any = None, example: Any = None
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.instead = example if meant is None else meant
        self.verb = "Set" if meant is not None else "Set, for example,"
        self._cure = cure

    @property
    def cure(self) -> str:
        """What to do, where Python configures."""
        if isinstance(self.instead, bool | None):
            return self.cure_by(str(self.instead))
        return self.cure_by(json.dumps(self.instead, ensure_ascii=False))

    def cure_by(self, written: str) -> str:
        """What to do, with what to set as it is ``written`` where one configures."""
        setting = f"{self.verb} {written}" if self.instead is not None else ""
        return ". ".join(part for part in (setting, self._cure) if part)


class Value(fields.Raw):
    """A kind of value: of which ``types``, and what it ``must`` be, with an ``example``.

    ``words`` name its type and its unit in the documents. ``file`` says what the file holds that
    the key's ``_FILE`` names; where it is empty, there is no such key. What is ``secret`` is
    never shown. The ``cure`` is told to whoever wrote something else. Where it is ``closing``,
    None does not stand for the default, which is open.
    """

    types: type | UnionType
    words: tuple[str, str]
    must: str
    example: Any = None
    cure = ""
    file = ""
    secret = False
    closing = False

    def parse(self, text: str) -> Any:
        """What a file holds: JSON, unless a subclass differs."""
        if not text.strip():
            raise Refused("the file is empty", self.cure, example=self.example)
        try:
            return json.loads(text, object_pairs_hook=_each_once)
        except (ValueError, RecursionError) as error:
            raise self._not_json("the file does not hold JSON", text, error) from None

    def make_error(self, key: str, **_: Any) -> Refused:
        """The refusal of another kind of value; marshmallow raises it for None."""
        return Refused(self.must, self.cure, example=self.example)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if isinstance(value, str):
            self._refuse_slips(value)
        if not self._is_right(value):
            meant = None if self.secret else self._meant(value)
            meant = meant if self._is_right(meant) else None
            raise Refused(self.must, self.cure, meant=meant, example=self.example)
        return self._read(value)

    def _refuse_slips(self, text: str) -> None:
        """Raise ``Refused`` for text of any kind that says something else than was meant."""
        if text.startswith("\ufeff"):
            raise Refused("begins with a byte order mark", "Save the file that sets it without BOM")
        if IN_NO_TEXT.search(text):
            raise Refused("has a character that is no text", "Write it in UTF-8")
        if not text and not self._is_right(text):
            raise Refused("is empty", self.cure or "Or unset it", example=self.example)
        if _IS_MEANT_AS_JSON.match(text) and not self._is_right(text):
            self._refuse_json(text)
        elif isinstance(text, self.types) and text.strip():
            refuse_unclean(text)

    def _refuse_json(self, text: str) -> None:
        try:
            held = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._not_json("is text that is not JSON", text, error) from None
        if self._is_right(held):
            cure = "Read it by json.loads, or all by app.config.from_prefixed_env()"
            raise Refused("is text that holds JSON", cure)

    def _not_json(self, cause: str, text: str, error: Exception) -> Refused:
        where = ""
        if isinstance(error, json.JSONDecodeError):  # else too long a number, or too deep
            where = f": {error.msg} at character {error.pos + 1}"
        meant = None if self.secret else _python_literal(text)
        if self._is_right(meant):
            return Refused(cause + where, meant=meant)
        return Refused(cause + where, _AS_JSON, example=self.example)

    def _is_right(self, value: Any) -> bool:
        stray_bool = isinstance(value, bool) and self.types is not bool
        return not stray_bool and isinstance(value, self.types) and self._fits(value)

    def _meant(self, value: Any) -> Any:
        """What was probably meant by another kind of value; it is used if it is right."""
        return None

    def _fits(self, value: Any) -> bool:
        return True

    def _read(self, value: Any) -> Any:
        return value


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON; raises ``Refused`` for a name that is there twice: one would be lost."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            cause = f"names {shortened(name, SHOWN_LENGTH)!r} twice"
            raise Refused(cause, "Name each once; what belongs to one name is a list")
        found[name] = value
    return found


def refuse_unclean(text: str) -> None:
    """Raise ``Refused`` for what a shell, an editor or a file of variables left in text."""
    if text != text.strip() or len(text.splitlines()) > 1:
        cure = "Take it away. A file with Windows line ends: save it with LF"
        raise Refused("has a line end in it, or white space around it", cure)
    if text == "None":
        raise Refused("is the word None", "Write null where it is read as JSON, or unset it")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"`":
        raise Refused("has quotes around it", "Take them away: here they are a part of the value")
    if variable := _VARIABLE.search(text):
        cause = f"has {variable[0]} in it, which nothing has replaced"
        raise Refused(cause, "Write what it stands for")


def _python_literal(text: str) -> Any:
    """What text in Python's spelling stands for, None if it is something else."""
    try:
        value = ast.literal_eval(text.strip())
        json.dumps(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return value


def setting(kind: Value, default: Any) -> Any:
    """A field of a dataclass, read by ``kind``; its default stands as one would configure it."""
    kind.load_default = default
    if isinstance(kind.example, int | float) and default:
        kind.example = default  # of another key it would be a value that hurts
    read = partial(kind.deserialize, default) if default is not None else lambda: None
    return dataclasses.field(default_factory=read, metadata={"kind": kind}, repr=not kind.secret)


def kinds_of(configuration: type) -> Mapping[str, Value]:
    """How the settings of such a dataclass are read, by the names of their fields."""
    every = dataclasses.fields(configuration)
    return {one.name: one.metadata["kind"] for one in every if one.metadata}
