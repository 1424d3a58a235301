"""What shards cost and save: a report on one server, and on two shards of the same machine."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from sqlalchemy import Engine, text

from benchmarks.application import application, ask
from benchmarks.measuring import SECONDS, Figure, compare, take_turns, timed
from benchmarks.population import ROWS_PER_USER
from benchmarks.run import Run
from tests.shards.cluster import SHARDS, UNSHARDED, Cluster, cluster

_DAYS = (30, 365)
_ROUNDS = 5
_ONE = "one server"
_PUSHED = "shards that group by user"
_PULLED = "shards that send all rows"
_PULLING = {"connect_args": {"options": "-c enable_partitionwise_aggregate=off"}}

# A table as narrow as those of the shards, for which the difference is not one of the rows' size.
_NARROW = (
    "DROP TABLE pa_activation",
    "CREATE TABLE pa_activation (activation_id VARCHAR(37) NOT NULL,"
    " application_id INTEGER NOT NULL, user_id VARCHAR(255) NOT NULL,"
    " activation_status INTEGER NOT NULL, platform VARCHAR(255),"
    " timestamp_created TIMESTAMP(6) NOT NULL, timestamp_last_used TIMESTAMP(6) NOT NULL)",
    "GRANT SELECT ON pa_application, pa_activation TO telemetry_reader",
)
_FILL = """
INSERT INTO pa_activation (activation_id, application_id, user_id, activation_status, platform,
    timestamp_created, timestamp_last_used)
SELECT CAST(CAST(md5(CAST(number AS text)) AS uuid) AS text), 1,
    'user-' || lpad(CAST(mod(number * 7919, :users) AS text), 9, '0'), 3, 'ios',
    used - interval '10 days', used
FROM (
    SELECT number, localtimestamp - random() * interval '400 days' AS used
    FROM generate_series(1, CAST(:rows AS bigint)) AS number
) AS numbered
"""


def figures(run: Run) -> Iterator[Figure]:
    """Reports by the route; the coordinator and the shards share this machine's processors."""
    with cluster() as sharded, ExitStack() as stack:
        run.say(f"writing {run.rows:,} activations to one server and to {SHARDS} shards")
        _fill(sharded, run.rows)
        one = sharded.coordinator.engine(UNSHARDED, sharded.reader.url.username or "")
        sides: Mapping[str, tuple[Engine, dict[str, Any]]] = {
            _ONE: (one, {}),
            _PUSHED: (sharded.reader, {}),
            _PULLED: (sharded.reader, {"ENGINE_OPTIONS": _PULLING}),
        }
        apps = {
            name: stack.enter_context(application(engine, cache_seconds=0, **keys))
            for name, (engine, keys) in sides.items()
        }
        for days in _DAYS:
            run.say(f"reports on {days} days from shards")
            actions = {name: timed(partial(ask, app, days)) for name, app in apps.items()}
            for action in actions.values():
                action()  # once, unmeasured: connections are opened
            samples = take_turns(actions, _ROUNDS)
            for side in (_PUSHED, _PULLED):
                yield from compare(
                    samples, side, _ONE, (SECONDS,), f"{run.rows:,} rows, {days} days: "
                )


def _fill(sharded: Cluster, rows: int) -> None:
    # The proxy of the tests of faults would be part of the way to the last shard.
    sharded.reach_directly()
    sharded.coordinator.execute(*_NARROW, database=UNSHARDED)
    values = {"rows": rows, "users": max(1, int(rows / ROWS_PER_USER))}
    for engine in (sharded.unsharded, sharded.owner):
        with engine.begin() as connection:
            connection.execute(text(_FILL), values)
    sharded.vacuum()
