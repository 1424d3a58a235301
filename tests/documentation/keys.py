"""The table of keys in docs/configuration.md: ``python -m tests.documentation.keys`` prints it."""

import ast
import inspect
import json
from collections.abc import Iterator
from itertools import pairwise

from flask_powerauth_telemetry.config.keys import (
    DEFAULT_NAME,
    FILE_SUFFIX,
    KINDS,
    TelemetryConfig,
    key_prefix,
)


def lines() -> Iterator[str]:
    """The table's lines."""
    yield from ("| Key | Type | Default | Meaning |", "|---|---|---|---|")
    meanings = dict(_meanings())
    for field, kind in KINDS.items():
        key = key_prefix(DEFAULT_NAME) + field.upper()
        word, unit = kind.words
        type_ = f"{word} ({unit})" if unit else word
        yield _row(f"`{key}`", type_, _written(kind.load_default), meanings[field])
        if kind.file:
            yield _row(f"`{key}{FILE_SUFFIX}`", "path", _written(None), kind.file)


def _meanings() -> Iterator[tuple[str, str]]:
    """The fields of the configuration, and what is said below each."""
    (definition,) = ast.parse(inspect.getsource(TelemetryConfig)).body
    assert isinstance(definition, ast.ClassDef)
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=said)):
                yield name, " ".join(str(said).split())


def _written(default: object) -> str:
    if default is None:
        return "none"
    return f"`{json.dumps(default) if isinstance(default, str) else default}`"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print("\n".join(lines()))  # noqa: T201 # a command
