"""The history: a small store of ours that holds recordings, apart from PowerAuth's database.

Rows are added and read, never changed. A correction is a row that replaces another one for those
who read.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Engine, Row, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import DatabaseFault
from flask_powerauth_telemetry.history.chain import ChainRow, Head
from flask_powerauth_telemetry.history.recording import Link, Recording, recording_of, row_of
from flask_powerauth_telemetry.history.selections import Selections
from flask_powerauth_telemetry.history.tables import HistoryTables
from flask_powerauth_telemetry.providers import Application

_CREATED_BY_ANOTHER_SECONDS = 1.0


class HistoryStore:
    """The store as one instance of the extension sees it: its own rows alone.

    ``schema`` is the database schema of the tables. Methods raise what SQLAlchemy raises, unless
    they say otherwise.
    """

    def __init__(self, instance: str, schema: str | None = None) -> None:
        self._instance = instance
        self._tables = HistoryTables(schema)
        self._selections = Selections(self._tables.recording, instance)

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """The store of an instance, as configured."""
        return cls(config.name, config.binds[HISTORY_BIND].schema)

    def create(self, engine: Engine) -> None:
        """Create what is missing; raises ``DatabaseFault`` for a store of another version."""
        try:
            self._create(engine)
        except SQLAlchemyError:
            # Another host may just be creating it.
            time.sleep(_CREATED_BY_ANOTHER_SECONDS)
            self._create(engine)

    def check(self, connection: Connection) -> None:
        """Raise ``Unavailable`` when there is no store, ``DatabaseFault`` for another version.

        And what else an error of the database means, always a ``TelemetryError``.
        """
        self._tables.check(connection)

    def add(self, connection: Connection, recording: Recording, reason: str | None = None) -> bool:
        """Add a row to the end of the chain, unless the application has one for this slot.

        With a ``reason``, it replaces the one that is there. Gives whether a row was added. Hosts
        that add at the same time wait for each other, until their transactions end. Raises
        ``DatabaseFault`` when the head of the chain is gone.
        """
        head = self._locked_head(connection)
        present = self._entry_of(connection, recording.application, recording.slot)
        if present is not None and reason is None:
            return False
        link = Link(
            entry=head.entries + 1,
            previous=head.digest,
            corrects=present or 0,
            reason=None if present is None else reason,
        )
        row = row_of(recording, self._instance, link)
        connection.execute(insert(self._tables.recording), row)
        end = {"entries": row["entry"], "digest": row["digest"]}
        connection.execute(update(self._tables.head).where(self._own_head()).values(end))
        return True

    def holds(self, connection: Connection, application: Application, slot: datetime) -> bool:
        """Whether the application has a row for this slot."""
        return self._entry_of(connection, application, slot) is not None

    def newest(
        self, connection: Connection, application: str, definition: int, until: datetime
    ) -> Recording | None:
        """The newest row of the application of this name, none of them later than ``until``.

        Raises ``DatabaseFault`` for a damaged row.
        """
        rows = self.last(connection, application, definition, until, 1)
        return rows[0] if rows else None

    def newest_of_any(
        self, connection: Connection, definition: int, until: datetime
    ) -> Recording | None:
        """The newest row of any application; as ``newest``."""
        row = connection.execute(self._selections.newest(None, definition, until, 1)).first()
        return None if row is None else recording_of(row._asdict())

    def last(
        self,
        connection: Connection,
        application: str,
        definition: int,
        until: datetime,
        count: int,
    ) -> Sequence[Recording]:
        """The ``count`` newest rows of the application, newest first; as ``newest``."""
        statement = self._selections.newest(application, definition, until, count)
        return _of_name(application, connection.execute(statement))

    def first(
        self,
        connection: Connection,
        application: str,
        definition: int,
        since: datetime,
        until: datetime,
        count: int,
    ) -> Sequence[Recording]:
        """The ``count`` oldest rows of the application from ``since`` on; as ``newest``."""
        statement = self._selections.oldest(application, definition, since, until, count)
        return _of_name(application, connection.execute(statement))

    def names(self, connection: Connection, definition: int) -> Sequence[str]:
        """The names of all applications that have a row."""
        return connection.scalars(self._selections.names(definition)).all()

    def head(self, connection: Connection) -> Head | None:
        """The head of the chain; None when it is gone, or nothing was ever recorded."""
        columns = self._tables.head.c
        statement = select(columns.entries, columns.digest).where(self._own_head())
        row = connection.execute(statement).first()
        return None if row is None else Head(row.entries, row.digest)

    def chain(self, connection: Connection) -> Iterator[ChainRow]:
        """Every row in the order of the chain, damaged or not, read a few hundred at a time."""
        last: object = 0
        while rows := connection.execute(self._selections.following(last)).all():
            yield from (row._asdict() for row in rows)
            last = rows[-1].entry

    def _entry_of(
        self, connection: Connection, application: Application, slot: datetime
    ) -> int | None:
        entry: int | None = connection.scalar(self._selections.entries_of_slot(application, slot))
        return entry

    def _locked_head(self, connection: Connection) -> Head:
        # An update locks the row on every database, and on SQLite begins the transaction.
        unchanged = {"entries": self._tables.head.c.entries}
        connection.execute(update(self._tables.head).where(self._own_head()).values(unchanged))
        head = self.head(connection)
        if head is None:
            raise DatabaseFault(
                f"the head of the chain of {self._instance} is gone from {self._tables.head.name}:"
                " see docs/operations.md"
            )
        return head

    def _own_head(self) -> ColumnElement[bool]:
        return self._tables.head.c.instance == self._instance

    def _create(self, engine: Engine) -> None:
        self._tables.create(engine)
        with engine.begin() as connection:
            if self.head(connection) is None and not any(self.chain(connection)):
                start = {"instance": self._instance, **asdict(Head())}
                connection.execute(insert(self._tables.head), start)


def _of_name(name: str, rows: Iterable[Row[Any]]) -> Sequence[Recording]:
    # Some databases compare without regard to case or trailing blanks.
    recordings = (recording_of(row._asdict()) for row in rows)
    return [one for one in recordings if one.application.name == name]
