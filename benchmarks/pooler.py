"""What PgBouncer in transaction mode costs a report that is not kept; Debian's package."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from flask import Flask
from sqlalchemy import create_engine

from benchmarks.application import application, ask
from benchmarks.measuring import CPU_SECONDS, SECONDS, Figure, compare, take_turns, timed
from benchmarks.run import Run
from tests.support.needs import PGBOUNCER
from tests.support.pooler import pooled_url

_ROWS = 10_000
_DAYS = 30
_REPORTS = 20
_POOLED = f"{_REPORTS} reports, {_ROWS:,} rows, by PgBouncer"
_DIRECT = "without it"


def figures(run: Run) -> Iterator[Figure]:
    """The figures, each report a pass of its own; none where there is no PgBouncer."""
    if not Path(PGBOUNCER).exists():
        run.say(f"no {PGBOUNCER}: what a pooler costs is NOT measured")
        return
    server, engine = run.server(), run.population(_ROWS).engine
    run.say("reports by PgBouncer")
    with (
        pooled_url(engine) as url,
        application(create_engine(url), cache_seconds=0) as by_pooler,
        application(engine, cache_seconds=0) as direct,
    ):
        sides = {
            name: timed(partial(_ask_all, app), server)
            for name, app in ((_POOLED, by_pooler), (_DIRECT, direct))
        }
        for side in sides.values():
            side()
        samples = take_turns(sides)
    yield from compare(samples, _POOLED, _DIRECT, [SECONDS, CPU_SECONDS])


def _ask_all(app: Flask) -> None:
    for _ in range(_REPORTS):
        ask(app, _DAYS)
