"""The history: a small store of ours that holds recordings, apart from PowerAuth's database.

Rows are added and read, never changed. A correction is a row that replaces another one for those
who read.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import lru_cache
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Engine, Select, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import HISTORY_BIND, Keys
from flask_powerauth_telemetry.exceptions import DatabaseFault
from flask_powerauth_telemetry.history.chain import ChainRow, Head
from flask_powerauth_telemetry.history.recording import (
    Recorded,
    RecordedDay,
    Recording,
    instant_text,
    is_genuine,
    row_of,
    shown_of,
    slot_of_day,
)
from flask_powerauth_telemetry.history.tables import HistoryTables, NeverRecorded, Selections, Span
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import DEFINITION_VERSION
from flask_powerauth_telemetry.reports.audit_by_day import DaySpan

ROWS_AT_ONCE = 500
"""How many rows of the chain are read by one statement."""

_CREATED_BY_ANOTHER_SECONDS = 1.0

# Shared by all reports on a store, so that SQLAlchemy compiles each statement once.
_tables_of = lru_cache(HistoryTables)
_selections_of = lru_cache(Selections)


class HistoryStore:
    """The store as one instance of the extension sees it: its own rows alone.

    ``schema`` is the database schema of the tables. Rows are sealed by the first of the ``keys``,
    from the first row on, or after ``trusted``, an end without a seal. Methods raise what
    SQLAlchemy raises, unless they say otherwise.
    """

    def __init__(
        self,
        instance: str,
        schema: str | None = None,
        keys: Keys | None = None,
        trusted: Head | None = None,
    ) -> None:
        self._instance = instance
        self._keys = keys or Keys()
        self._trusted = trusted
        self._tables = _tables_of(schema)
        self._columns = self._tables.recording.c
        is_sealed = bool(self._keys.values)
        self._selections = _selections_of(self._tables, instance, is_sealed=is_sealed)

    @classmethod
    def from_config(cls, config: TelemetryConfig, trusted: Head | None = None) -> Self:
        """The store of an instance, as configured."""
        return cls(config.name, config.binds[HISTORY_BIND].schema, config.history_key, trusted)

    def create(self, engine: Engine) -> None:
        """Create what is missing; raises ``DatabaseFault`` for a store of another version."""
        try:
            self._create(engine)
        except SQLAlchemyError:
            # Another host may just be creating it.
            time.sleep(_CREATED_BY_ANOTHER_SECONDS)
            self._create(engine)

    def check(self, connection: Connection) -> None:
        """As ``HistoryTables.check``: always a ``TelemetryError``."""
        self._tables.check(connection)

    def add(self, connection: Connection, recording: Recorded, reason: str | None = None) -> bool:
        """Add a row to the end of the chain, unless the slot belongs to a row that is there.

        With a ``reason`` it replaces that row, and also where it has a ``reason_to_replace`` it.
        Gives whether a row was added. Hosts that add at the same time wait for each other, until
        their transactions end. Raises ``DatabaseFault`` when the head of the chain is gone, or the
        row that holds the slot is damaged.
        """
        head = self._locked_head(connection)
        self._check_last_seal(connection, head)
        row = self._row_of_slot(connection, recording.application, recording.slot_text)
        if row is not None:
            reason = reason or recording.reason_to_replace(row, self._keys)
            if reason is None:
                return False
        added = row_of(
            recording,
            self._instance,
            self._keys,
            entry=head.entries + 1,
            previous=head.digest,
            corrects=0 if row is None else row["entry"],
            reason=None if row is None else reason,
        )
        connection.execute(insert(self._tables.recording), added)
        end = {"entries": added["entry"], "digest": added["digest"]}
        connection.execute(update(self._tables.head).where(self._own_head()).values(end))
        return True

    def of_slot(
        self, connection: Connection, application: Application, slot: datetime
    ) -> Recording | None:
        """What the application has for this slot; raises ``DatabaseFault`` for a damaged row."""
        row = self._row_of_slot(connection, application, instant_text(slot))
        return None if row is None else Recording.of_row(row, self._keys)

    def newest(self, connection: Connection, application: str, until: datetime) -> Recording | None:
        """The application's newest row by ``until``; raises ``DatabaseFault`` for a damaged one."""
        return next(iter(self.last(connection, application, until, 1)), None)

    def newest_of_any(self, connection: Connection, until: datetime) -> Recording:
        """The newest row of any application; as ``newest``, or raises ``NeverRecorded``."""
        row = connection.execute(self._selections.newest(until).limit(1)).first()
        if row is None:
            raise NeverRecorded
        return Recording.of_row(row._asdict(), self._keys)

    def last(
        self, connection: Connection, application: str, until: datetime, count: int
    ) -> Sequence[Recording]:
        """The ``count`` newest rows of the application, newest first; as ``newest``."""
        return self._of_name(connection, application, self._selections.newest(until).limit(count))

    def within(
        self,
        connection: Connection,
        application: str,
        spans: Iterable[Span],
        count: int | None = None,
    ) -> Sequence[Recording]:
        """The application's ``count`` oldest rows in any of these spans, or all; as ``newest``."""
        rows = self._selections.within(spans).limit(count)
        return self._of_name(connection, application, rows)

    def is_gone(self, connection: Connection, recording: Recording, until: datetime) -> bool:
        """Whether every application was recorded for a later slot, by ``until``, and this was none.

        ``recording`` is the newest of its application, which was deleted or renamed then. Raises
        ``DatabaseFault`` where a damaged row says so.
        """
        slot = connection.scalar(self._selections.complete(recording, until))
        since = self._selections.within([(recording.profile.as_of, until)])
        rows = connection.execute(since.where(self._columns.slot == slot)) if slot else ()
        return bool([Recording.of_row(row._asdict(), self._keys) for row in rows])

    def days(
        self, connection: Connection, application: Application, spans: Iterable[DaySpan]
    ) -> Sequence[RecordedDay]:
        """The recorded days of these spans, under the application's name of now; as ``newest``."""
        columns = self._columns
        slots = [slot_of_day(span) for span in spans]
        rows = self._selections.days.where(
            columns.application_id == application.id, columns.slot.in_(slots)
        ).order_by(columns.slot)
        days = (RecordedDay.of_row(row._asdict(), self._keys) for row in connection.execute(rows))
        return [day for day in days if day.application == application]

    def recorded_days(
        self, connection: Connection, application: Application
    ) -> Mapping[str, DaySpan | None]:
        """What the database's clock was taken to show at both ends of each day, by its slot.

        Of the days under the application's name of now; None for a damaged row.
        """
        columns = self._columns
        rows = self._selections.days.where(columns.application_id == application.id)
        found = connection.execute(
            rows.with_only_columns(columns.slot, columns.application_name, columns.users)
        )
        own = (row for row in found if row.application_name == application.name)
        return {row.slot: shown_of(row.users) for row in own}

    def names(self, connection: Connection) -> Sequence[str]:
        """The names of all applications that have a row, valid or not."""
        columns = self._columns
        names = self._selections.in_chain.with_only_columns(columns.application_name)
        profiles = columns.definition == DEFINITION_VERSION
        return connection.scalars(names.where(profiles).distinct()).all()

    def head(self, connection: Connection) -> Head | None:
        """The chain's head, None without any; raises ``DatabaseFault`` for a damaged one."""
        columns = self._tables.head.c
        statement = select(columns.entries, columns.digest).where(self._own_head())
        row = connection.execute(statement).first()
        if row is None:
            return None
        if not isinstance(row.entries, int) or not isinstance(row.digest, str):  # on SQLite
            raise DatabaseFault(f"the head of the chain in {self._tables.head.name} is damaged")
        return Head(row.entries, row.digest)

    def is_sealed(self, connection: Connection) -> bool:
        """Whether the chain ends with a row that one of the keys seals."""
        row = self._end(connection, self.head(connection) or Head())
        return row is not None and self._is_genuine(row)

    def chain(self, connection: Connection) -> Iterator[ChainRow]:
        """Every row that is there, by its entry, damaged or not, read a few hundred at a time."""
        entry = self._columns.entry
        rows = following = self._selections.rows.order_by(entry).limit(ROWS_AT_ONCE)
        while found := connection.execute(following).all():
            yield from (row._asdict() for row in found)
            following = rows.where(entry > found[-1].entry)

    def _of_name(self, connection: Connection, name: str, rows: Select[Any]) -> Sequence[Recording]:
        found = connection.execute(rows.where(self._columns.application_name == name))
        # Some databases compare without regard to case or trailing blanks.
        recordings = (Recording.of_row(row._asdict(), self._keys) for row in found)
        return [one for one in recordings if one.application.name == name]

    def _row_of_slot(
        self, connection: Connection, application: Application, slot: str
    ) -> ChainRow | None:
        """The row that an application has for a slot, the newest correction of it."""
        columns = self._columns
        rows = self._selections.in_chain.where(
            columns.application_id == application.id, columns.slot == slot
        )
        row = connection.execute(rows.order_by(columns.entry.desc()).limit(1)).first()
        return None if row is None else row._asdict()

    def _locked_head(self, connection: Connection) -> Head:
        # An update locks the row on every database, and on SQLite begins the transaction.
        unchanged = {"entries": self._tables.head.c.entries}
        connection.execute(update(self._tables.head).where(self._own_head()).values(unchanged))
        head = self.head(connection)
        if head is None:
            raise DatabaseFault(
                f"the head of the chain of {self._instance} is gone from {self._tables.head.name}:"
                " see docs/recording.md"
            )
        return head

    def _check_last_seal(self, connection: Connection, head: Head) -> None:
        """Raise ``DatabaseFault`` where a row added now would undo or fake what the key proves."""
        row = self._end(connection, head)
        if row is None:
            return
        if not self._keys.values:
            if row.seal is not None:
                raise DatabaseFault("the history is sealed, and no HISTORY_KEY is configured")
            return
        if self._is_genuine(row) or head == self._trusted:
            return
        begin = "record once with --expect and the line that was printed last"
        if row.seal is None:
            cause = f"has no seal of the HISTORY_KEY: if the key is new, {begin}"
        else:
            cause = (
                "has a seal of another HISTORY_KEY: write that key below the new one."
                f" If it is lost, {begin}"
            )
        raise DatabaseFault(f"the history's last row, {head.entries}, {cause}")

    def _end(self, connection: Connection, head: Head) -> Any:
        """The digest and the seal of the last row, None without a row."""
        columns = self._columns
        last = self._selections.rows.where(columns.entry == head.entries)
        return connection.execute(last.with_only_columns(columns.digest, columns.seal)).first()

    def _is_genuine(self, row: Any) -> bool:
        return row.seal is not None and is_genuine(row.digest, row.seal, self._keys)

    def _own_head(self) -> ColumnElement[bool]:
        return self._tables.head.c.instance == self._instance

    def _create(self, engine: Engine) -> None:
        self._tables.create(engine)
        with engine.begin() as connection:
            if self.head(connection) is None and not any(self.chain(connection)):
                start = {"instance": self._instance, **asdict(Head())}
                connection.execute(insert(self._tables.head), start)
