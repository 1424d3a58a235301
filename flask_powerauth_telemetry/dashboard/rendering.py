"""Pages out of templates, by an environment of our own: a host's settings change nothing here."""

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from flask_powerauth_telemetry.dashboard import formats
from flask_powerauth_telemetry.dashboard.contents import Bar, Share

_environment = Environment(
    loader=PackageLoader("flask_powerauth_telemetry.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """The HTML of a template; all values are escaped in it."""
    return _environment.get_template(template).render(**values)


def _cell(value: float | str | Share | None) -> Markup:
    """A cell's text; a line may be broken after each underscore of a name."""
    if isinstance(value, str):
        return Markup("_<wbr>").join(value.split("_"))
    if isinstance(value, Share):
        return escape(formats.percentage(value.part, value.whole))
    return escape(formats.number(value))


def _offsets(parts: Iterable[float]) -> list[tuple[float, float]]:
    """The start and the width of each part of a bar."""
    found, start = [], 0.0
    for width in parts:
        found.append((round(start, 2), round(width, 2)))
        start += width
    return found


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, int | float | Share)


def _is_bar(value: object) -> bool:
    return isinstance(value, Bar)


_environment.globals["utc"] = UTC
_environment.filters.update(
    number=formats.number, cell=_cell, offsets=_offsets, instant=formats.instant
)
_environment.tests.update(bar=_is_bar, numeric=_is_number, utc=formats.is_utc)
