"""What the verifications of a month cost, and what logins beside them notice."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

from flask import Flask
from sqlalchemy import ClauseElement, Engine

from benchmarks import burdens
from benchmarks.application import HEADERS, PATH, application, database_of
from benchmarks.logins import RATE, STEADY, log_in, steady_values
from benchmarks.measuring import Figure, Sample, compare, figure, take_turns
from benchmarks.population import APPLICATION, Population, vacuum
from benchmarks.records import AUDIT, add_records
from benchmarks.run import Run
from flask_powerauth_telemetry.providers import ReportContext
from flask_powerauth_telemetry.reports.audit_by_day import DAYS_AT_ONCE, in_days
from flask_powerauth_telemetry.reports.clock_hours import wall_slots
from flask_powerauth_telemetry.reports.verifications import signatures_statement

REPORT = "SIGNATURES_IN_MONTH"
_ALONE = "alone"
_LIMIT = 20  # seconds; the default
_DAY = timedelta(days=1)


def figures(run: Run) -> Iterator[Figure]:
    """The figures of last month; a tenth of the rows, unless in full."""
    population = run.population(run.rows if run.full else run.rows // 10, purpose="month")
    end = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = (end - _DAY).replace(day=1)
    run.say("writing the audit of a month")
    audit = add_records(population, end.replace(tzinfo=None), (end - start).days)[AUDIT]
    size = f"{audit.rows:,} rows of {audit.row_bytes:,} bytes in a month"
    with application(population.engine, 0, REPORTS=[REPORT], STATEMENT_TIMEOUT=0) as app:
        for line in _plan(app, start):
            run.say(line)
    seconds, tries = _month(population.engine, start)
    what = f"{size}: {REPORT}, answered at try {tries}"
    yield figure(what, "the default time limit", "s", [seconds], [_LIMIT])
    run.say("logins beside it")
    length = 10 if run.full else 4
    samples = take_turns(
        {
            _ALONE: lambda: _logins(population, length, None),
            REPORT: lambda: _logins(population, length, start),
        }
    )
    yield from compare(samples, REPORT, _ALONE, STEADY, f"logins, {RATE:,} a second, {size}, ")


def _plan(app: Flask, start: datetime) -> Iterator[str]:
    """What the statement of some days does, by EXPLAIN."""
    with ReportContext(database_of(app), datetime.now(UTC)) as context:
        days = [start + number * _DAY for number in range(DAYS_AT_ONCE + 1)]
        edges = [context.database_time(day) for day in reversed(days)]
        slots = wall_slots(days[0], days[-1], context.database_time)
        kinds = ("signature_type", "signature_algorithm")
        application_id = context.application(APPLICATION).id
        statement = signatures_statement(
            context.tables, application_id, edges, slots, kinds, in_days
        )
        compiled = cast(ClauseElement, statement).compile(context.connection.engine)
        explain = f"EXPLAIN (ANALYZE, BUFFERS) {compiled}"
        for (line,) in context.connection.exec_driver_sql(explain, compiled.params):
            yield line


def _month(
    engine: Engine, start: datetime, stop: threading.Event | None = None
) -> tuple[float, int]:
    """The seconds and the number of tries until a new process has answered, or has to stop."""
    with application(engine, 0, REPORTS=[REPORT], STATEMENT_TIMEOUT=_LIMIT) as app:
        begun = time.monotonic()
        tries = 1
        while _ask(app, start) == 503 and not (stop and stop.is_set()):
            tries += 1
        return time.monotonic() - begun, tries


def _ask(app: Flask, start: datetime) -> int:
    parameters = {"application": APPLICATION, "month": f"{start:%Y-%m}"}
    body = {"requestObject": {"name": REPORT, "parameters": parameters}}
    status = app.test_client().post(PATH, json=body, headers=HEADERS).status_code
    if status not in (200, 503):
        raise RuntimeError(f"answered {status}")
    return status


def _logins(population: Population, seconds: int, start: datetime | None) -> Sample:
    """The logins alone, or beside the report of a month over and over."""
    engine = population.engine
    if start is None:
        vacuum(engine)
        return steady_values(log_in(population, seconds, RATE))
    with burdens.repeated(engine, [lambda stop: _month(engine, start, stop)]):
        return steady_values(log_in(population, seconds, RATE))
