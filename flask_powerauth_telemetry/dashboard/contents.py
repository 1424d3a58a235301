"""What a figure is made of: numbers, a chart, a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask_powerauth_telemetry.dashboard.charts import Plot


@dataclass(frozen=True)
class Number:
    """A number that stands out, and what it is the number of; ``note`` is a text beside it."""

    label: str
    value: float | None
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar in a table's cell: the percentages of the cell's width that its parts take."""

    parts: Sequence[float]


def bar(whole: int, *parts: int) -> Bar:
    """The bar of parts of a whole, empty for a whole of nothing."""
    return Bar([100 * part / whole if whole else 0.0 for part in parts])


@dataclass(frozen=True)
class Share:
    """A part of a whole, to be shown as a percentage."""

    part: int
    whole: int


Cell = int | float | str | Share | Bar | None


@dataclass(frozen=True)
class Table:
    """The numbers of a chart; the first cell of each row is its heading.

    Beside a plot there is a row for each of its places; ``backwards`` tells that the first row is
    that of the last place. ``unfolded`` tells that it is seen at once, and not only when it is
    asked for.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    backwards: bool = False
    unfolded: bool = False


@dataclass(frozen=True, kw_only=True)
class Content:
    """All of it; ``notes`` are sentences that a reader has to know."""

    numbers: Sequence[Number] = ()
    plot: Plot | None = None
    table: Table | None = None
    legend: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
