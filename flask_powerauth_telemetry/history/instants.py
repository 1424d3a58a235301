"""The instants that passes count as of: by clocks that agree, of a database that is not behind.

A standby knows three things that show that it has replayed all its primary had written by an
instant: a transaction that ended later; a message that was sent later, and names no more than was
replayed; or a receiver that lives on for longer than it would without a message.
"""

import time
from datetime import datetime, timedelta

from sqlalchemy import Connection

from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.dialects.base import Replay
from flask_powerauth_telemetry.exceptions import Unavailable
from flask_powerauth_telemetry.service import Clock, read_clock

CLOCK_TOLERANCE = timedelta(seconds=30)
"""How far our clock and the database server's may be apart."""

WAIT_SECONDS = 65.0
"""How long a standby has to catch up: a primary that is idle tells so within a minute."""

_SECONDS_BETWEEN = 0.25
_KEPT_SECONDS = 60.0


class NotNow(Unavailable):
    """No pass over this database would give a right number now."""


class Instants:
    """The instants, aware, in UTC, for passes over a database that come one after the other."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        # A position up to which all is replayed that was written by an instant, and when found.
        self._caught: tuple[int, datetime, float] | None = None

    def next(self) -> datetime:
        """The instant for a pass that is made at once.

        It is now by the server's clock, which is next to the one that uses are written by. On a
        standby it is the newest one since this call that it has the data of. Raises ``NotNow``
        where the clocks are apart, or a standby stays behind for ``WAIT_SECONDS``.
        """
        start, began = read_clock(self._clock), time.monotonic()
        first: Replay | None = None
        while True:
            replay, behind = self._look()
            if replay is None:
                return read_clock(self._clock) + behind
            if first is None:
                first, start = replay, start + behind
            waited = time.monotonic() - began
            as_of = self._unchanged(replay) or _caught_up(replay, first, start, waited)
            if as_of is not None:
                as_of = min(as_of, read_clock(self._clock) + behind)
                self._caught = (replay.replayed, as_of, time.monotonic())
                return as_of
            if waited > WAIT_SECONDS:
                raise NotNow(_how_far_behind(replay, start))
            time.sleep(_SECONDS_BETWEEN)

    def _look(self) -> tuple[Replay | None, timedelta]:
        """How far a standby has come, and by how much our clock is behind the server's."""
        with self._database.connect() as connection:
            behind = seconds_behind_server(connection, self._clock) or 0.0
            if abs(behind) > CLOCK_TOLERANCE.total_seconds():
                word = "behind" if behind > 0 else "ahead of"
                raise NotNow(
                    f"this host's clock is {abs(behind):,.0f} s {word} the database server's:"
                    " set the wrong one right, by NTP for example"
                )
            replay = dialect_named(connection.dialect.name).replay(connection)
        return replay, timedelta(seconds=behind)

    def _unchanged(self, replay: Replay) -> datetime | None:
        """The instant of before, if nothing was received since; then its data are the same."""
        if self._caught is None or replay.receiver is None:
            return None
        position, as_of, found = self._caught
        is_same = position == replay.replayed == replay.received
        return as_of if is_same and time.monotonic() - found <= _KEPT_SECONDS else None


def seconds_behind_server(connection: Connection, clock: Clock) -> float | None:
    """How many seconds a clock of ours is behind that of the database server, at least.

    Negative if it is ahead, 0 if they may be equal; None where the server has none.
    """
    statement = dialect_named(connection.dialect.name).server_clock
    if statement is None:
        return None
    before = read_clock(clock).timestamp()
    theirs = float(connection.exec_driver_sql(statement).scalar_one())
    after = read_clock(clock).timestamp()
    return min(theirs - before, 0.0) or max(theirs - after, 0.0)


def _caught_up(replay: Replay, first: Replay, start: datetime, waited: float) -> datetime | None:
    """The newest instant from ``start`` on by which all that was written is replayed."""
    if replay.committed is not None and replay.committed >= start:
        return replay.committed
    if replay.told is not None and replay.sent is not None:
        has_all = replay.replayed >= replay.sent
        return replay.told if has_all and replay.told >= start else None
    lives_on = replay.receiver is not None and replay.receiver == first.receiver
    if lives_on and 0 < replay.silence < waited and replay.replayed >= replay.received:
        return start
    return None


def _how_far_behind(replay: Replay, start: datetime) -> str:
    left = max(replay.received - replay.replayed, 0)
    causes = [f"{left:,} bytes are received and not replayed"]
    if replay.committed is not None:
        seconds = (start - replay.committed).total_seconds()
        causes.append(f"the last transaction that was replayed ended {seconds:,.0f} s before")
    if replay.receiver is None:
        causes.append("nothing is received from the primary")
    if replay.paused:
        causes.append("the replay is paused")
    return (
        f"this standby has not replayed all up to {start:%H:%M:%S} UTC: {'; '.join(causes)}."
        " Let it catch up, or record from the primary"
    )
