"""A paced pass, tried out: slices of users along the index on user_id, with pauses between.

A user is in one slice only, so slices add up. Unlike one statement they see several instants: a
user who logs in meanwhile must not drop out, so there is no upper end to the window.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from benchmarks.application import application, database_of, run_pass
from benchmarks.counting import counted
from benchmarks.measuring import CPU_SECONDS, SECONDS, Figure, compare, take_turns, timed
from benchmarks.population import APPLICATION
from benchmarks.reference import window
from benchmarks.run import Run
from flask_powerauth_telemetry.database.connection import Database

SLICE_SECONDS = 0.5
_FIRST_ROWS = 5_000
_PLAIN = "plain pass"
_PACED = "paced pass, pauses left out"
_WIDTH = 365
_BIG = 10**7

_BOUNDARY = text(
    "SELECT user_id FROM pa_activation WHERE user_id > :low ORDER BY user_id OFFSET :rows LIMIT 1"
)
_SLICE = text(
    "SELECT bucket, count(*) FROM ("
    " SELECT date_part('day', :end - max(timestamp_last_used)) AS bucket FROM pa_activation"
    " WHERE application_id = (SELECT id FROM pa_application WHERE name = :name)"
    " AND user_id > :low AND user_id <= :high AND timestamp_last_used >= :start"
    " GROUP BY user_id) AS newest_uses GROUP BY bucket"
)
_LAST = text("SELECT max(user_id) FROM pa_activation")


@dataclass
class Pace:
    """How many rows the next slice has, so that it takes ``SLICE_SECONDS``."""

    rows: int = _FIRST_ROWS

    def adapt(self, seconds: float) -> None:
        """Correct the rows by what the last slice took, at most fourfold."""
        factor = min(max(SLICE_SECONDS / seconds, 0.25), 4.0)
        self.rows = max(1, int(self.rows * factor))


def paced_pass(
    database: Database, width: int, stop: threading.Event, *, pauses: bool = True
) -> int:
    """The users of the past ``width`` days, slice by slice; fewer when stopped."""
    bounds = window(width)
    buckets: Counter[int] = Counter()
    pace, low, last = Pace(), "", None
    while low != last and not stop.is_set():
        start = time.monotonic()
        with database.connect() as connection:
            last = last or str(connection.execute(_LAST).scalar_one())
            high = _boundary(connection, low, pace.rows) or last
            buckets.update(_slice(connection, low, high, bounds))
        low = high
        seconds = time.monotonic() - start
        pace.adapt(seconds)
        if pauses:
            stop.wait(seconds)
    return sum(buckets.values())


def figures(run: Run) -> Iterator[Figure]:
    """What pacing costs in total; what it saves stands with the logins."""
    rows = _BIG if run.full else run.rows
    engine = run.population(rows).engine
    run.say(f"a paced pass over {rows:,} rows")
    never = threading.Event()
    with application(engine, cache_seconds=0) as app:
        database = database_of(app)
        actions: dict[str, Callable[[], int]] = {
            _PACED: lambda: paced_pass(database, _WIDTH, never, pauses=False),
            _PLAIN: lambda: run_pass(database, _WIDTH),
        }
        _check_alike(*(action() for action in actions.values()))
        sides = {name: timed(action, run.server()) for name, action in actions.items()}
        prefix = f"{rows:,} rows, {_WIDTH} days: "
        yield from compare(take_turns(sides), _PACED, _PLAIN, (SECONDS, CPU_SECONDS), prefix)
        yield from counted(engine, actions, database.close, prefix)


def _check_alike(paced_users: int, users: int) -> None:
    # The two see different instants, so a few users may have left the window.
    if abs(users - paced_users) > users / 1000 + 1:
        raise RuntimeError(f"a pass counts {users} users of {APPLICATION}, paced {paced_users}")


def _boundary(connection: Connection, low: str, rows: int) -> str | None:
    user = connection.execute(_BOUNDARY, {"low": low, "rows": rows}).scalar()
    return None if user is None else str(user)


def _slice(
    connection: Connection, low: str, high: str, bounds: dict[str, datetime]
) -> dict[int, int]:
    parameters = {"low": low, "high": high, "name": APPLICATION, **bounds}
    return {int(bucket): users for bucket, users in connection.execute(_SLICE, parameters)}
