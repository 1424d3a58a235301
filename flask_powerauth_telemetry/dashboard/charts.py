"""Charts as shapes of SVG: lines and columns over evenly spaced places.

A plot stretches to the width of the page, and its labels don't: lines and columns are paths in a
box that is scaled, the labels stand outside of it at percentages. So texts have their size on a
phone, too.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

HEIGHT = 1000
"""The height of a plot's box; its width is ``2 * places``."""

_STEPS = (1, 2, 5, 10)
_FEWEST_LEVELS = 4
_COLUMN = 1.6  # of the 2 that a place is wide

Values = Sequence[float | None]


Mark = tuple[float, int | str]
"""A percentage of the plot's width or height, and the label there."""

Shape = tuple[str, str]
"""The class that a path is drawn by, and the path."""


@dataclass(frozen=True)
class Series:
    """Values by place; ``kind`` is the class they are drawn by: ``line…``, or else columns."""

    kind: str
    values: Values
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A chart; ``description`` is for those who can't see it.

    ``levels`` are marks of whole numbers, from the top; ``places`` those below, from the left.
    ``legend`` has the kind and the name of each series to be told apart. A ``blank`` one has no
    number but zeros.
    """

    description: str
    width: int
    shapes: Sequence[Shape]
    levels: Sequence[Mark]
    places: Sequence[Mark]
    legend: Sequence[tuple[str, str]]
    blank: bool


def plot(description: str, series: Sequence[Series], labels: Mapping[int, str]) -> Plot:
    """A chart of series, the last one in front; ``labels`` stand below the places they name."""
    values = [value for one in series for value in one.values]
    places = max(len(one.values) for one in series)
    step, top = _scale(values)
    return Plot(
        description=description,
        width=2 * places,
        shapes=[shape for one in series for shape in _shapes(one, top, alone=len(series) == 1)],
        levels=[(_rounded(100 - 100 * level / top), level) for level in range(0, top + 1, step)],
        places=[(_rounded(100 * (at + 0.5) / places), label) for at, label in labels.items()],
        legend=[(one.kind, one.name) for one in reversed(series) if one.name and any(one.values)],
        blank=not any(values),
    )


def _shapes(series: Series, top: int, *, alone: bool) -> Iterator[Shape]:
    """Its path, and the area below a line that is alone."""
    if not series.kind.startswith("line"):
        yield series.kind, _columns(series.values, top)
        return
    runs = list(_runs(series.values, top))
    if alone:
        yield "area", "".join(f"{run}V{HEIGHT}H{start}Z" for start, run in runs)
    yield series.kind, "".join(run for _, run in runs)


def _scale(values: Values) -> tuple[int, int]:
    """The step between levels, and the highest one: whole numbers that are easy to read."""
    maximum = math.ceil(max((value for value in values if value is not None), default=0))
    magnitude = 10 ** max(0, len(str(maximum // _FEWEST_LEVELS)) - 1)
    step = next(
        factor * magnitude
        for factor in _STEPS
        if factor * magnitude * (_FEWEST_LEVELS + 1) >= maximum
    )
    return step, max(step, math.ceil(maximum / step) * step)


def _runs(values: Values, top: int) -> Iterator[tuple[float, str]]:
    """The first x and the path of each run of known values."""
    known = ((place, value) for place, value in enumerate(values))
    for unknown, run in groupby(known, key=lambda point: point[1] is None):
        if unknown:
            continue
        points = [(2 * place + 1, _y(value or 0, top)) for place, value in run]
        if len(points) == 1:  # a dash is seen, and a dot is not
            ((x, y),) = points
            yield x - 0.5, f"M{x - 0.5} {y}h1"
        else:
            yield points[0][0], "M" + "L".join(f"{x} {y}" for x, y in points)


def _columns(values: Values, top: int) -> str:
    margin = (2 - _COLUMN) / 2
    return "".join(
        f"M{_rounded(2 * place + margin)} {HEIGHT}V{_y(value, top)}h{_COLUMN}V{HEIGHT}Z"
        for place, value in enumerate(values)
        if value
    )


def _y(value: float, top: int) -> int:
    return HEIGHT - round(HEIGHT * value / top)


def _rounded(value: float) -> float:
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded
