"""What a figure is: a report, what is asked of it, and the numbers, chart and table it becomes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import date, datetime, tzinfo
from itertools import accumulate
from typing import Any

from flask_powerauth_telemetry.dashboard.charts import Plot


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a page is about: applications, a window of ``days``, and ``today`` in ``zone``."""

    applications: Sequence[str]
    days: int
    today: date
    zone: tzinfo

    @property
    def application(self) -> str:
        """The only application."""
        (name,) = self.applications
        return name

    def shown(self, text: str) -> str:
        """An instant in ISO 8601 as clocks in the zone show it, by the minute."""
        return f"{datetime.fromisoformat(text).astimezone(self.zone):%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Number:
    """A number that stands out, and what it is the number of; ``note`` is a text beside it."""

    label: str
    value: float | None
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar in a table's cell: where each part begins and its width, as percentages."""

    parts: Sequence[tuple[float, float]]


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
    asked for. ``legend`` has the class and the name of each part of its bars.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    backwards: bool = False
    unfolded: bool = False
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class Content:
    """All that a figure shows.

    ``notes`` are sentences that a reader has to know, and ``empty`` is the one that stands in the
    place of a plot or a table without a number.
    """

    numbers: Sequence[Number] = ()
    plot: Plot | None = None
    table: Table | None = None
    notes: Sequence[str] = ()
    empty: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn or listed, so that ``empty`` has to say why."""
        return self.plot.blank if self.plot else bool(self.table and not self.table.rows)


Parameters = Mapping[str, Any]
Data = Mapping[str, Any]
"""Report data as they are sent to callers."""


@dataclass(frozen=True)
class Figure:
    """A figure: the report that it shows, what it asks of it, and how it shows the answers.

    It is made by ``@partial(Figure, key=…)`` of the function that shows it, which is given what the
    page asks, and report data for each time that the report was asked for. ``key`` is its name in
    addresses. ``ask`` gives the report's parameters, where they are others than the application,
    and the window of one ``by_days``. ``unless`` names a report that shows the same and more.
    ``by_days`` tells that the page's window governs it. ``cost`` is a sentence on what it scans
    that other figures scan as well; with one it is only shown on request.
    """

    show: Callable[..., Content]
    _: KW_ONLY
    key: str
    title: str
    report: str
    ask: Callable[[Asked], Iterable[Parameters]] | None = None
    unless: str | None = None
    by_days: bool = False
    cost: str = ""

    def parameters(self, asked: Asked) -> Iterable[Parameters]:
        """The raw parameters of the report, once for each time that it is asked for."""
        if self.ask is not None:
            return self.ask(asked)
        days = {"days": asked.days} if self.by_days else {}
        return [{"application": asked.application, **days}]


def in_days(days: int) -> str:
    """How a window is called."""
    return "Past 24 hours" if days == 1 else f"Past {days} days"


def people(average: float | None) -> int | None:
    """A number of people that is an average, as a whole number."""
    return None if average is None else round(average)


def bar(whole: int, *parts: int) -> Bar:
    """The bar of parts of a whole, empty for a whole of nothing."""
    widths = [100 * part / whole if whole else 0.0 for part in parts]
    starts = accumulate(widths, initial=0.0)
    return Bar(
        [(round(start, 2), round(width, 2)) for start, width in zip(starts, widths, strict=False)]
    )


def table_of_shares(
    caption: str, columns: tuple[str, str, str], whole: int, parts: Iterable[tuple[str, int]]
) -> Table:
    """A row for each part of a whole by name, with its share and a bar."""
    rows = [(name, part, Share(part, whole), bar(whole, part)) for name, part in parts]
    return Table(caption, (*columns, ""), rows, unfolded=True)
