"""Measuring two sides in turn, and the table of what came out."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.servers import Server

PAIRS = 9
"""How often each side is measured; the median of so many ratios is given."""

Sample = Mapping[str, float]
Samples = Mapping[str, Sequence[Sample]]

SECONDS = "time, ms"
CPU_SECONDS = "server's CPU, ms"


@dataclass(frozen=True)
class Figure:
    """A line of the table: one ratio, and the medians that it is a ratio of."""

    what: str
    against: str
    measure: str
    value: float
    other: float
    ratio: float
    pairs: int


def take_turns(sides: Mapping[str, Callable[[], Sample]], rounds: int = PAIRS) -> Samples:
    """Measure every side once in each round, beginning with another one each time."""
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            samples[name].append(sides[name]())
    return samples


def timed(action: Callable[[], object], server: Server | None = None) -> Callable[[], Sample]:
    """A side of a comparison: how many milliseconds an action takes, and the server's CPU."""

    def measure() -> Sample:
        cpu = server.cpu_seconds() if server else 0.0
        start = time.perf_counter()
        action()
        sample = {SECONDS: (time.perf_counter() - start) * 1000}
        if server:
            sample[CPU_SECONDS] = (server.cpu_seconds() - cpu) * 1000
        return sample

    return measure


def compare(
    samples: Samples, name: str, other: str, measures: Iterable[str], prefix: str = ""
) -> list[Figure]:
    """The figures of one side against another; ``prefix`` is what the line begins with."""
    return [
        figure(
            prefix + name,
            other,
            measure,
            [sample[measure] for sample in samples[name]],
            [sample[measure] for sample in samples[other]],
        )
        for measure in measures
    ]


def figure(
    what: str, against: str, measure: str, values: Sequence[float], others: Sequence[float]
) -> Figure:
    """The median of the ratios of neighbours; sides that are both nothing are alike."""
    ratios = [
        1.0 if value == other else value / max(other, 1e-9)
        for value, other in zip(values, others, strict=True)
    ]
    return Figure(
        what=what,
        against=against,
        measure=measure,
        value=statistics.median(values),
        other=statistics.median(others),
        ratio=statistics.median(ratios),
        pairs=len(ratios),
    )


def table(figures: Iterable[Figure]) -> str:
    """The figures as a table in Markdown."""
    heads = ("what", "against", "of", "ratio", "it", "the other", "pairs")
    rows = [heads, *(_cells(each) for each in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _cells(each: Figure) -> tuple[str, ...]:
    return (
        each.what,
        each.against,
        each.measure,
        _number(each.ratio),
        _number(each.value),
        _number(each.other),
        str(each.pairs),
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
