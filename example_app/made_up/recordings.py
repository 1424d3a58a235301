"""The example's history: what a daily ``flask telemetry snapshot`` would have recorded by now.

The made-up people have no past, so the numbers of today are made smaller, day by day.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from example_app.made_up.database import DAY, database_url
from example_app.made_up.population import APPLICATIONS
from example_app.made_up.tables import activation
from flask_powerauth_telemetry import Application
from flask_powerauth_telemetry.history.recording import Recording
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.history.tables import NeverRecorded
from flask_powerauth_telemetry.reports.activity import ActivityProfile

DAYS = 400

_INSTANCE = "powerauth_telemetry"
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
_SEED = 400
_WIDEST = 365
_DAYS_TO_DOUBLE = 800
_NOISE = 0.006
_DAYS_FORGOTTEN = frozenset({45, 46})

Curves = dict[int, tuple[int, ...]]
"""Active users by the id of their application: in the past day, in the past two days, and so on."""


def ensure_history(path: Path, database: Path, now: datetime) -> None:
    """Make the history at ``path`` unless it is there, and of ``now`` (aware) or the day before.

    It is made out of what the example's database holds. It gets its name when it is complete.
    Raises ``OSError`` when it can't be written.
    """
    if _is_of(path, now):
        return
    with TemporaryDirectory(prefix="unfinished-", dir=path.parent) as folder:
        unfinished = Path(folder, path.name)
        build_history(
            unfinished, read_curves(database, now.astimezone(UTC).replace(tzinfo=None)), now
        )
        if not _is_of(path, now):  # another process may have been faster
            unfinished.replace(path)


def _is_of(path: Path, now: datetime) -> bool:
    """Whether there is a file that is not ours to make anew, or that has a recording of this day.

    A recording of the example's is of midnight, and is of this day until the next one.
    """
    if not path.exists():
        return False
    engine = create_engine(database_url(path))
    newest = None
    try:
        with suppress(SQLAlchemyError, NeverRecorded), engine.connect() as connection:
            newest = HistoryStore(_INSTANCE).newest_of_any(connection, _END_OF_TIME)
    finally:
        engine.dispose()
    return newest is None or abs(now - newest.profile.as_of) <= DAY


def build_history(path: Path, curves: Curves, now: datetime) -> None:
    """Write the history as of ``now`` (aware, in UTC)."""
    engine = create_engine(database_url(path))
    store = HistoryStore(_INSTANCE)
    try:
        store.create(engine)
        with engine.begin() as connection:
            for recording in recordings(curves, now):
                store.add(connection, recording)
    finally:
        engine.dispose()


def read_curves(database: Path, now: datetime) -> Curves:
    """The curves of the example's database as of ``now`` (naive, in UTC)."""
    engine = create_engine(database_url(database))
    newest_uses = (
        select(activation.c.application_id, func.max(activation.c.timestamp_last_used))
        .where(activation.c.timestamp_last_used.between(now - _WIDEST * DAY, now))
        .group_by(activation.c.application_id, activation.c.user_id)
    )
    counts = {row["id"]: [0] * _WIDEST for row in APPLICATIONS}
    try:
        with engine.connect() as connection:
            for application_id, last_used in connection.execute(newest_uses):
                counts[application_id][min((now - last_used) // DAY, _WIDEST - 1)] += 1
    finally:
        engine.dispose()
    return {application_id: tuple(accumulate(users)) for application_id, users in counts.items()}


def recordings(curves: Curves, now: datetime) -> Iterator[Recording]:
    """A recording of each application at each midnight of UTC, the oldest first."""
    random = Random(_SEED)  # noqa: S311 - nothing here is a secret
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for ago in sorted(set(range(DAYS)) - _DAYS_FORGOTTEN, reverse=True):
        for row in APPLICATIONS:
            factor = (1 - ago / _DAYS_TO_DOUBLE) * random.gauss(1, _NOISE)
            users = tuple(round(number * factor) for number in curves[row["id"]])
            as_of = midnight - ago * DAY
            yield Recording(
                application=Application(**row),
                slot=as_of,
                profile=ActivityProfile(as_of=as_of, users=users),
                milliseconds=0,
                recorded_by="example",
            )
