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
_NEAR_AN_EDGE = 8

Values = Sequence[int | None]


@dataclass(frozen=True)
class Mark:
    """A label at a percentage of the plot's width or height, anchored as SVG's texts are."""

    percent: float
    label: int | str
    anchor: str = "middle"


@dataclass(frozen=True)
class Shape:
    """A path, and the class that it is drawn by."""

    kind: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A chart; ``description`` is for those who can't see it.

    ``levels`` are marks of whole numbers, from the top; ``places`` those below, from the left.
    """

    description: str
    width: int
    shapes: Sequence[Shape]
    levels: Sequence[Mark]
    places: Sequence[Mark]


def line_plot(description: str, values: Values, labels: Mapping[int, str]) -> Plot:
    """A line through the values that are known; ``labels`` stand below the places they name."""
    step, top = _scale(values)
    runs = list(_runs(values, top))
    areas = (f"{run}V{HEIGHT}H{start}Z" for start, run in runs)
    shapes = [Shape("area", "".join(areas)), Shape("line", "".join(run for _, run in runs))]
    return _plot(description, len(values), shapes, (step, top), labels)


def lines_plot(
    description: str, lines: Mapping[str, Sequence[int]], labels: Mapping[int, str]
) -> Plot:
    """A line of each kind through as many values, those of earlier kinds before later ones."""
    step, top = _scale([value for values in lines.values() for value in values])
    shapes = [Shape(kind, path) for kind, values in lines.items() for _, path in _runs(values, top)]
    places = max(len(values) for values in lines.values())
    return _plot(description, places, shapes[::-1], (step, top), labels)


def column_plot(description: str, series: Mapping[str, Values], labels: Mapping[int, str]) -> Plot:
    """Columns for the values of each kind, those of later kinds before those of earlier ones."""
    step, top = _scale([value for values in series.values() for value in values])
    shapes = [Shape(kind, _columns(values, top)) for kind, values in series.items()]
    places = max(len(values) for values in series.values())
    return _plot(description, places, shapes, (step, top), labels)


def _plot(
    description: str,
    places: int,
    shapes: Sequence[Shape],
    scale: tuple[int, int],
    labels: Mapping[int, str],
) -> Plot:
    step, top = scale
    return Plot(
        description=description,
        width=2 * places,
        shapes=shapes,
        levels=[
            Mark(_rounded(100 - 100 * level / top), level) for level in range(0, top + 1, step)
        ],
        places=[_place(place, places, label) for place, label in labels.items()],
    )


def _place(place: int, places: int, label: str) -> Mark:
    percent = _rounded(100 * (place + 0.5) / places)
    if percent < _NEAR_AN_EDGE:
        return Mark(percent, label, "start")
    return Mark(percent, label, "end" if percent > 100 - _NEAR_AN_EDGE else "middle")


def _scale(values: Values) -> tuple[int, int]:
    """The step between levels, and the highest one: whole numbers that are easy to read."""
    maximum = max((value for value in values if value is not None), default=0)
    magnitude = 10 ** max(0, len(str(maximum // _FEWEST_LEVELS)) - 1)
    step = next(
        factor * magnitude
        for factor in _STEPS
        if factor * magnitude * (_FEWEST_LEVELS + 1) >= maximum
    )
    return step, max(step, math.ceil(maximum / step) * step)


def _runs(values: Values, top: int) -> Iterator[tuple[int, str]]:
    """The first x and the path of each run of known values."""
    known = ((place, value) for place, value in enumerate(values))
    for unknown, run in groupby(known, key=lambda point: point[1] is None):
        if unknown:
            continue
        points = [(2 * place + 1, _y(value or 0, top)) for place, value in run]
        path = "L".join(f"{x} {y}" for x, y in points)
        # A line of no length shows a dot, for a value that stands alone.
        yield points[0][0], f"M{path}h0"


def _columns(values: Values, top: int) -> str:
    margin = (2 - _COLUMN) / 2
    return "".join(
        f"M{_rounded(2 * place + margin)} {HEIGHT}V{_y(value, top)}h{_COLUMN}V{HEIGHT}Z"
        for place, value in enumerate(values)
        if value
    )


def _y(value: int, top: int) -> int:
    return HEIGHT - round(HEIGHT * value / top)


def _rounded(value: float) -> float:
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded
