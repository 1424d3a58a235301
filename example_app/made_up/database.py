"""The example's own database: a file of SQLite with PowerAuth's tables and a population."""

from datetime import UTC, datetime
from itertools import chain, count, islice
from pathlib import Path
from shutil import get_terminal_size
from tempfile import TemporaryDirectory

from sqlalchemy import URL, Connection, Engine, create_engine, insert
from tqdm import tqdm

from example_app.made_up import tables
from example_app.made_up.population import (
    ACTIVATIONS,
    APPLICATIONS,
    activations,
    changes,
    verifications,
)

_ROWS_AT_ONCE = 1000


def database_url(path: Path) -> URL:
    """The URL of a file of SQLite."""
    return URL.create("sqlite", database=str(path))


def ensure_database(path: Path) -> None:
    """Make the database at ``path`` unless it is there; its times are in UTC.

    It gets its name when it is complete, so a start that is interrupted leaves none. Raises
    ``OSError`` when the folder can't be made or written.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="unfinished-", dir=path.parent) as folder:
        unfinished = Path(folder, path.name)
        build_database(unfinished, datetime.now(UTC).replace(tzinfo=None))
        if not path.exists():  # another process may have been faster
            unfinished.replace(path)


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
