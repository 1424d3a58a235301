"""What a report costs by the number of activations."""

from collections.abc import Iterator

from sqlalchemy import Engine

from benchmarks.application import application, ask
from benchmarks.measuring import CPU_SECONDS, SECONDS, Figure, Samples, compare, take_turns, timed
from benchmarks.reference import reference_count
from benchmarks.run import Run
from benchmarks.servers import Server

_REPORT = "cold report by the route"
_REFERENCE = "reference's query"
_DAYS = (30, 365)
_BIG = (10**7, 5 * 10**7)


def figures(run: Run) -> Iterator[Figure]:
    """The figures of every size from 10,000 rows on."""
    sizes = [size for size in (10**4, 10**5, 10**6) if size <= run.rows]
    for rows in (*sizes, *(_BIG if run.full else ())):
        engine = run.population(rows).engine
        for days in _DAYS:
            run.say(f"reports on {days} days of {rows:,} rows")
            samples = _samples(run.server(), engine, days)
            prefix = f"{rows:,} rows, {days} days: "
            yield from compare(samples, _REPORT, _REFERENCE, (SECONDS, CPU_SECONDS), prefix)


def _samples(server: Server, engine: Engine, days: int) -> Samples:
    with application(engine, cache_seconds=0) as app, engine.connect() as connection:
        sides = {
            _REPORT: timed(lambda: ask(app, days), server),
            _REFERENCE: timed(lambda: reference_count(connection, days), server),
        }
        for side in sides.values():
            side()  # once, unmeasured: connections are opened and the file is in memory
        return take_turns(sides)
