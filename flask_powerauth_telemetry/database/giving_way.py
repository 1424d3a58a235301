"""A pass that gives way: it ends when somebody waits for a lock that it holds.

Whoever comes after waits behind that one: on PostgreSQL a login, behind an ``ALTER TABLE`` that
waits for a pass. Databases that readers lock nothing in have nothing to give way in.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.dialects.base import DatabaseDialect
from flask_powerauth_telemetry.exceptions import Unavailable

SECONDS_BETWEEN = 1.0
"""How often it looks whether somebody waits."""

logger = logging.getLogger("flask_powerauth_telemetry.database")


class GaveWay(Unavailable):
    """A pass was ended, because somebody waited for a lock that it held."""


@contextmanager
def giving_way(connection: Connection) -> Iterator[None]:
    """Have the statement that runs in this block ended when somebody waits for its locks.

    A second connection of our own looks for it, outside the engine's pool. Raises ``GaveWay`` from
    the block, and what SQLAlchemy raises where there is no second connection.
    """
    dialect = dialect_named(connection.dialect.name)
    session = dialect.session(connection)
    if session is None:
        yield
        return
    engine = create_engine(connection.engine.url, pool=connection.engine.pool.recreate())
    watch = _Watch(engine, dialect, session)
    try:
        watch.look()
        watch.start()
        yield
    except DBAPIError as error:
        watch.stop()  # which may not have noted yet what it did
        if watch.has_ended_it:
            raise GaveWay("the pass gave way: somebody waited for a lock that it held") from error
        raise
    finally:
        watch.stop()
        engine.dispose()


class _Watch:
    """A thread that ends what runs in a session, once somebody waits for it."""

    def __init__(self, engine: Engine, dialect: DatabaseDialect, session: int) -> None:
        self.has_ended_it = False
        self._engine = engine
        self._dialect = dialect
        self._session = session
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def look(self) -> None:
        """End the statement if somebody waits."""
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            if self._dialect.end_if_waited_for(connection, self._session):
                self.has_ended_it = True

    def start(self) -> None:
        """Look again and again, in the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and wait for the last look to end."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _go_on(self) -> None:
        while not self.has_ended_it and not self._done.wait(SECONDS_BETWEEN):
            try:
                self.look()
            except SQLAlchemyError as error:
                logger.warning("can't see whether somebody waits for a pass: %s", error)
