"""A pass against the reference's query by the shape of user ids, on one processor each.

The reference sorts them. So it costs least where they are stored in order, under the collation C.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from sqlalchemy import Engine

from benchmarks.application import application, database_of, run_pass
from benchmarks.measuring import CPU_SECONDS, Figure, figure, take_turns, timed
from benchmarks.passes import OURS, SERIAL, SERIAL_REFERENCE, query
from benchmarks.population import drop_indexes, fill, vacuum
from benchmarks.reference import reference_count
from benchmarks.run import Run
from benchmarks.servers import VERSIONS
from tests.support.powerauth import add_applications, create_schema

_SHAPES = {
    "random numbers": "CAST(hashint8extended(number % :users, 0) & 999999999999 AS text)",
    "ordered numbers": "lpad(CAST(number * :users / :rows AS text), 12, '0')",
    "UUIDs": "CAST(CAST(md5(CAST(number % :users AS text)) AS uuid) AS text)",
}
"""SQL of a user id, by the number of an activation in the order of enrolment."""
_COLLATIONS = ("C", "en_US.utf8")
_DAYS = (30, 365)
_ROWS_PER_USER = 1.3
_ROUNDS = 7
_USER_ID = 'ALTER TABLE pa_activation ALTER user_id TYPE VARCHAR(255) COLLATE "{}"'


def figures(run: Run) -> Iterator[Figure]:
    """The figures of every version, collation, shape and window."""
    for version in VERSIONS:
        engine = run.server(version).create_database()
        create_schema(engine, "2.2")
        add_applications(engine, ["retail"])
        with engine.begin() as connection:
            drop_indexes(connection)
        for collation in _COLLATIONS:
            if not _has(engine, collation):
                run.say(f"PostgreSQL {version} has no {collation}: this system lacks the locale")
                continue
            for shape, user_id in _SHAPES.items():
                run.say(f"{shape} under {collation} on PostgreSQL {version}")
                _fill(engine, run.rows, collation, user_id)
                prefix = f"PostgreSQL {version}, {collation}, {shape}"
                yield from _figures(run, version, engine, prefix)
        engine.dispose()


def _has(engine: Engine, collation: str) -> bool:
    with engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT collname FROM pg_collation").scalars().all()
    return collation in names


def _fill(engine: Engine, rows: int, collation: str, user_id: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE pa_activation")
        connection.exec_driver_sql(_USER_ID.format(collation))
        fill(connection, rows, int(rows / _ROWS_PER_USER), user_id)
    vacuum(engine)


def _figures(run: Run, version: int, engine: Engine, prefix: str) -> Iterator[Figure]:
    """By the least of several rounds, which others on the machine disturbed least."""
    server = run.server(version)
    with application(engine, cache_seconds=0) as app:
        database = database_of(app)
        for days in _DAYS:
            sides = {
                OURS: timed(partial(run_pass, database, days), server),
                SERIAL_REFERENCE: timed(
                    partial(query, engine, reference_count, days, SERIAL), server
                ),
            }
            for side in sides.values():
                side()  # once, unmeasured
            samples = take_turns(sides, _ROUNDS)
            ours, others = ([min(one[CPU_SECONDS] for one in side)] for side in samples.values())
            least = figure(
                f"{prefix}, {days} days: {OURS}", SERIAL_REFERENCE, CPU_SECONDS, ours, others
            )
            yield replace(least, pairs=_ROUNDS)
