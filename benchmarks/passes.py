"""A pass against the reference's query and against the bare scan: time, CPU, blocks, files."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from flask import Flask
from sqlalchemy import Connection, Engine

from benchmarks.application import application, ask, database_of, run_pass
from benchmarks.counting import counted
from benchmarks.measuring import CPU_SECONDS, SECONDS, Figure, compare, take_turns, timed
from benchmarks.reference import reference_count, scan_count
from benchmarks.run import Run
from benchmarks.servers import VERSIONS

DAYS = (30, 90, 365)

REPORT = "cold report by the route"
OURS = "pass, guarded connection"
REFERENCE = "reference's query"
SERIAL_REFERENCE = "reference's query, serial plan"
SCAN = "filtered scan, serial plan"

SERIAL = "SET LOCAL max_parallel_workers_per_gather = 0"
_COMPARED = (
    (REPORT, REFERENCE, (SECONDS, CPU_SECONDS)),
    (OURS, REFERENCE, (SECONDS, CPU_SECONDS)),
    (OURS, SERIAL_REFERENCE, (SECONDS, CPU_SECONDS)),
    (OURS, SCAN, (SECONDS, CPU_SECONDS)),
)

Actions = Mapping[str, Callable[[], object]]


def figures(run: Run) -> Iterator[Figure]:
    """The figures of every version and window."""
    for version in VERSIONS:
        engine = run.population(postgresql=version).engine
        for days in DAYS:
            run.say(f"passes of {days} days on PostgreSQL {version}")
            prefix = f"PostgreSQL {version}, {days} days: "
            with application(engine, cache_seconds=0) as app:
                actions = _actions(app, engine, days)
                yield from _figures(run, version, actions, prefix)
                pair = {name: actions[name] for name in (OURS, REFERENCE)}
                yield from counted(engine, pair, partial(_close, app, engine), prefix)


def _figures(run: Run, version: int, actions: Actions, prefix: str) -> Iterator[Figure]:
    for action in actions.values():
        action()  # once, unmeasured: connections are opened and the file is in memory
    server = run.server(version)
    sides = {name: timed(action, server) for name, action in actions.items()}
    samples = take_turns(sides)
    for name, other, measures in _COMPARED:
        yield from compare(samples, name, other, measures, prefix)


def _actions(app: Flask, engine: Engine, days: int) -> Actions:
    database = database_of(app)
    return {
        REPORT: lambda: ask(app, days),
        OURS: lambda: run_pass(database, days),
        REFERENCE: lambda: query(engine, reference_count, days),
        SERIAL_REFERENCE: lambda: query(engine, reference_count, days, SERIAL),
        SCAN: lambda: query(engine, scan_count, days, SERIAL),
    }


def _close(app: Flask, engine: Engine) -> None:
    database_of(app).close()
    engine.dispose()


def query(
    engine: Engine, count: Callable[[Connection, int], int], days: int, setting: str | None = None
) -> int:
    """What a query counts, on a connection without a guard, after one setting."""
    with engine.connect() as connection:
        if setting:
            connection.exec_driver_sql(setting)
        return count(connection, days)
