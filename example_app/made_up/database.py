"""The example's own database: a file of SQLite with PowerAuth's tables and a population."""

import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import chain, count, islice
from pathlib import Path
from shutil import get_terminal_size
from tempfile import TemporaryDirectory

from sqlalchemy import URL, Connection, Engine, create_engine, func, insert, select
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from example_app.made_up import tables
from example_app.made_up.population import (
    ACTIVATIONS,
    APPLICATIONS,
    activations,
    changes,
    verifications,
)

logger = logging.getLogger("example_app")

DAY = timedelta(days=1)
"""What is older is made anew: the people use their applications every day."""

_ROWS_AT_ONCE = 1000


def database_url(path: Path) -> URL:
    """The URL of a file of SQLite."""
    return URL.create("sqlite", database=str(path))


def ensure_database(path: Path, now: datetime | None = None) -> None:
    """Make the database at ``path`` unless it is there, and of ``now`` (aware) or the day before.

    Its times are in UTC. The log says when an old one was made anew. It gets its name when it is
    complete, so a start that is interrupted leaves none. Raises
    ``OSError`` when the folder can't be made or written.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
    if _is_of(path, now):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="unfinished-", dir=path.parent) as folder:
        unfinished = Path(folder, path.name)
        build_database(unfinished, now)
        if not _is_of(path, now):  # another process may have been faster
            if path.exists():
                logger.warning("The made-up database was older than a day: made anew, up to now")
            unfinished.replace(path)


def _is_of(path: Path, now: datetime) -> bool:
    """Whether there is a file that is not ours to make anew, or that has a use of this day."""
    if not path.exists():
        return False
    engine = create_engine(database_url(path))
    newest = None
    try:
        with suppress(SQLAlchemyError), engine.connect() as connection:
            newest = connection.scalar(select(func.max(tables.activation.c.timestamp_last_used)))
    finally:
        engine.dispose()
    return newest is None or abs(now - newest) <= DAY


def build_database(path: Path, now: datetime) -> None:
    """Write the database as of ``now`` (naive, in UTC), with progress on a terminal's stderr."""
    engine = create_engine(database_url(path))
    try:
        fill(engine, now)
    finally:
        engine.dispose()


def fill(engine: Engine, now: datetime) -> None:
    """Make PowerAuth's tables and the population as of ``now`` (naive, in UTC), in one piece."""
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
        _add_rows(connection, now)


def _add_rows(connection: Connection, now: datetime) -> None:
    width, height = get_terminal_size()  # tqdm shows nothing on a terminal that tells no size
    progress = tqdm(
        activations(now),
        "Making the example's database",
        ACTIVATIONS,
        unit=" rows",
        ncols=width,
        nrows=height,
        disable=None,
    )
    with progress:
        connection.execute(insert(tables.application), APPLICATIONS)
        rows, ids = iter(progress), count(1)
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            connection.execute(insert(tables.activation), some)
            for table, rows_of in (
                (tables.activation_history, changes),
                (tables.signature_audit, verifications),
            ):
                rows_of_all = chain.from_iterable(map(rows_of, some))
                numbered = [{"id": next(ids), **row} for row in rows_of_all]
                connection.execute(insert(table), numbered)
