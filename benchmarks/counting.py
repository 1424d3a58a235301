"""What PostgreSQL itself counts while something is done: blocks and temporary files."""

import time
from collections.abc import Callable, Iterator, Mapping

from sqlalchemy import Engine, NullPool, create_engine

from benchmarks.measuring import Figure, figure

_MEASURES = ("blocks read or found", "temporary files, MB")
_COUNTERS = (
    "SELECT blks_read + blks_hit, temp_bytes FROM pg_stat_database"
    " WHERE datname = current_database()"
)


def counted(
    engine: Engine,
    actions: Mapping[str, Callable[[], object]],
    close: Callable[[], None],
    prefix: str,
) -> Iterator[Figure]:
    """The figures of the first action against the second, of one run: it does not vary.

    ``close`` closes the connections that the actions use.
    """
    name, other = actions
    values, others = (_count(engine, action, close) for action in actions.values())
    for measure, value, base in zip(_MEASURES, values, others, strict=True):
        yield figure(prefix + name, other, measure, [value], [base])


def _count(
    engine: Engine, action: Callable[[], object], close: Callable[[], None]
) -> tuple[float, float]:
    close()
    blocks, files = _counters(engine)
    action()
    close()
    later_blocks, later_files = _counters(engine)
    return later_blocks - blocks, (later_files - files) / 1e6


def _counters(engine: Engine) -> tuple[float, float]:
    time.sleep(0.5)  # a backend writes its counters down after its client has gone
    own = create_engine(engine.url, poolclass=NullPool)
    with own.connect() as connection:
        blocks, files = connection.exec_driver_sql(_COUNTERS).one()
    return float(blocks), float(files)
