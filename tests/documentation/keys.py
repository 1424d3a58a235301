"""The list of keys in docs/configuration.md: ``python -m tests.documentation.keys`` prints it."""

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

GROUPS = {
    "database_url": "Databases",
    "url_prefix": "Routes and callers",
    "statement_timeout": "Limits",
    "source": "Recordings",
    "load_entry_points": "Reports",
}
"""The heading above each group of keys, by its first one."""


def lines() -> Iterator[str]:
    """The list's lines."""
    meanings = dict(_meanings())
    for field, kind in KINDS.items():
        if field in GROUPS:
            yield from ("", f"### {GROUPS[field]}", "")
        key = key_prefix(DEFAULT_NAME) + field.upper()
        what = ", ".join(word for word in kind.words if word)
        default = kind.load_default
        of = f"{what}; default {_written(default)}" if default is not None else what
        yield f"- `{key}` ({of}): {meanings[field]}"
        if kind.file:
            yield f"- `{key}{FILE_SUFFIX}` (path): {kind.file}"


def _meanings() -> Iterator[tuple[str, str]]:
    """The fields of the configuration, and what is said below each."""
    (definition,) = ast.parse(inspect.getsource(TelemetryConfig)).body
    assert isinstance(definition, ast.ClassDef)
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=said)):
                yield name, " ".join(str(said).split())


def _written(default: object) -> str:
    return f"`{json.dumps(default) if isinstance(default, str) else default}`"


if __name__ == "__main__":
    print("\n".join(lines()))  # noqa: T201 # a command
