"""What strangers sent, made safe to show: in messages, log records and on terminals."""

import re
from collections.abc import Iterator

IN_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""NUL, and surrogates: bytes of another encoding among them, which no driver can send."""


def shortened(text: str, length: int = 255) -> str:
    """The text, its end cut off where it is longer than ``length`` characters."""
    return text if len(text) <= length else text[:length] + "…"


def printable(text: str) -> str:
    """The text with every character escaped that is not printable, line breaks among them."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def one_line(text: str) -> str:
    """A message of several lines on one, ``printable``."""
    return printable(" ".join(text.split()))


def describe(errors: object) -> str:
    """Marshmallow's nested error messages in one line: ``days: Not a number; application: …``."""
    return "; ".join(
        f"{path}: {text}" if path else text for path, text in _flattened(errors, path="")
    )


def _flattened(errors: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(errors, dict):
        for key, value in errors.items():
            own = "" if key == "_schema" else str(key)
            yield from _flattened(value, ".".join(part for part in (path, own) if part))
    elif isinstance(errors, list):
        for item in errors:
            yield from _flattened(item, path)
    else:
        yield path, str(errors)
