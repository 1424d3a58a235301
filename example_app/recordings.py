"""The example's history: what a daily ``flask telemetry snapshot`` would have recorded by now.

The made-up people have no past, so the numbers of today are made smaller, day by day.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine

from example_app.database import database_url
from example_app.population import APPLICATIONS
from flask_powerauth_telemetry.config.keys import DEFAULT_NAME
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.history.recording import Recording
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import (
    DEFINITION_VERSION,
    WIDTHS,
    ActivityProfile,
    read_profile,
)

DAYS = 400

_SEED = 400
_DAY = timedelta(days=1)
_DAYS_TO_DOUBLE = 800
_NOISE = 0.006
_DAYS_FORGOTTEN = frozenset({45, 46})


def ensure_history(path: Path, database: Database) -> None:
    """Make the history at ``path`` unless it is there, out of what the example's database holds.

    It gets its name when it is complete. Raises ``OSError`` when it can't be written.
    """
    if path.exists():
        return
    with TemporaryDirectory(prefix="unfinished-", dir=path.parent) as folder:
        unfinished = Path(folder, path.name)
        build_history(unfinished, database, datetime.now(UTC))
        if not path.exists():  # another process may have been faster
            unfinished.replace(path)


def build_history(path: Path, database: Database, now: datetime) -> None:
    """Write the history as of ``now`` (aware, in UTC)."""
    engine = create_engine(database_url(path))
    store = HistoryStore(DEFAULT_NAME)
    try:
        store.create(engine)
        with engine.begin() as connection:
            for recording in recordings(database, now):
                store.add(connection, recording)
    finally:
        engine.dispose()


def recordings(database: Database, now: datetime) -> Iterator[Recording]:
    """A recording of each application at each midnight of UTC, the oldest first."""
    random = Random(_SEED)  # noqa: S311 - nothing here is a secret
    applications = [Application(**row) for row in APPLICATIONS]
    with ReportContext(database, now) as context:
        profiles = {one: read_profile(context, one, WIDTHS[-1]) for one in applications}
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for ago in sorted(set(range(DAYS)) - _DAYS_FORGOTTEN, reverse=True):
        for application, profile in profiles.items():
            factor = (1 - ago / _DAYS_TO_DOUBLE) * random.gauss(1, _NOISE)
            users = tuple(round(number * factor) for number in profile.users)
            as_of = midnight - ago * _DAY
            yield Recording(
                application=application,
                slot=as_of,
                profile=ActivityProfile(as_of=as_of, users=users),
                definition=DEFINITION_VERSION,
                milliseconds=0,
                recorded_by="example",
            )
