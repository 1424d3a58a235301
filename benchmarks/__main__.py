"""The command: ``python -m benchmarks``."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import click

from benchmarks import (
    attack,
    kept,
    logins,
    memory,
    months,
    pacing,
    passes,
    pooler,
    queries,
    recording,
    reports,
    shapes,
    sizes,
    waiting,
)
from benchmarks.measuring import Figure, table
from benchmarks.run import Run

_FIGURES: Mapping[str, Callable[[Run], Iterator[Figure]]] = {
    "passes": passes.figures,
    "shapes": shapes.figures,
    "sizes": sizes.figures,
    "kept": kept.figures,
    "queries": queries.figures,
    "attack": attack.figures,
    "waiting": waiting.figures,
    "pooler": pooler.figures,
    "memory": memory.figures,
    "reports": reports.figures,
    "month": months.figures,
    "logins": logins.figures,
    "pacing": pacing.figures,
    "recording": recording.figures,
}


@click.command
@click.option("--full", is_flag=True, help="Also up to 50 million rows and two-minute loads.")
@click.option("--only", multiple=True, type=click.Choice(list(_FIGURES)), help="Repeatable.")
@click.option("--rows", default=1_000_000, show_default=True, help="Activations.")
def benchmarks(full: bool, only: Sequence[str], rows: int) -> None:
    """Measure, and print one table of ratios."""
    start = time.monotonic()

    def say(what: str) -> None:
        click.echo(f"{time.monotonic() - start:6.0f} s  {what}", err=True)

    # What is refused on purpose is no news.
    logging.getLogger("flask_powerauth_telemetry").setLevel(logging.CRITICAL)
    figures: list[Figure] = []
    with Run(rows, full, say) as run:
        try:
            for name in only or _FIGURES:
                figures.extend(_FIGURES[name](run))
        finally:  # what was measured is not lost when a later part fails, or is stopped
            for line in run.facts():
                click.echo(f"- {line}")
            click.echo(f"\n{table(figures)}")


if __name__ == "__main__":
    benchmarks()
