"""What the reports on the audit and the history cost, with the indexes that PowerAuth ships."""

from collections.abc import Iterator, Mapping

from flask import Flask
from sqlalchemy import Engine, TextClause, text

from benchmarks.application import application, report_data
from benchmarks.measuring import CPU_SECONDS, SECONDS, Figure, Samples, compare, take_turns, timed
from benchmarks.records import AUDIT, HISTORY, add_records
from benchmarks.reference import window
from benchmarks.run import Run
from benchmarks.servers import Server

_ROUNDS = 3
_DAYS = (30, 365)
_SERIAL = "SET LOCAL max_parallel_workers_per_gather = 0"
_SCAN = "count of the rows that it reads, serial plan"
# Conditions on columns that no index has, so that the rows themselves are read.
_REPORTS: Mapping[str, tuple[str, TextClause]] = {
    "NEW_USERS_IN_PAST_DAYS": (
        HISTORY,
        text(
            "SELECT count(*) FROM pa_activation_history"
            " WHERE timestamp_created <= :end AND activation_status = 3"
        ),
    ),
    "SIGNATURES_IN_PAST_DAYS": (
        AUDIT,
        text(
            "SELECT count(*) FROM pa_signature_audit"
            " WHERE timestamp_created BETWEEN :start AND :end AND valid IS NOT NULL"
        ),
    ),
}


def figures(run: Run) -> Iterator[Figure]:
    """The figures; a tenth of the rows, unless in full."""
    population = run.population(run.rows if run.full else run.rows // 10, purpose="records")
    run.say("writing the audit and the history")
    records = add_records(population)
    with application(population.engine, cache_seconds=0, REPORTS=list(_REPORTS)) as app:
        for report, (table, scan) in _REPORTS.items():
            size = records[table]
            for days in _DAYS:
                run.say(f"{report} on {days} days of {size.rows:,} rows")
                samples = _samples(run.server(), app, population.engine, report, scan, days)
                prefix = f"{size.rows:,} rows of {size.row_bytes:,} bytes, {days} days: "
                yield from compare(samples, report, _SCAN, (SECONDS, CPU_SECONDS), prefix)


def _samples(
    server: Server, app: Flask, engine: Engine, report: str, scan: TextClause, days: int
) -> Samples:
    sides = {
        report: timed(lambda: report_data(app, report, days), server),
        _SCAN: timed(lambda: _count(engine, scan, days), server),
    }
    for side in sides.values():
        side()  # once, unmeasured: connections are opened, what memory has room for is in it
    return take_turns(sides, _ROUNDS)


def _count(engine: Engine, scan: TextClause, days: int) -> int:
    given = window(days)
    with engine.connect() as connection:
        connection.exec_driver_sql(_SERIAL)
        wanted = {name: given[name] for name in scan.compile().params}
        return int(connection.execute(scan, wanted).scalar_one())
