"""The history: a small store of ours that holds recordings, apart from PowerAuth's database.

Rows are added and read, never changed. A correction is a row that replaces another one for those
who read.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    Row,
    Select,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import HISTORY_BIND, Keys
from flask_powerauth_telemetry.exceptions import DatabaseFault
from flask_powerauth_telemetry.history.chain import ChainRow, Head
from flask_powerauth_telemetry.history.recording import (
    Link,
    Recording,
    instant_text,
    recording_of,
    row_of,
)
from flask_powerauth_telemetry.history.seal import is_genuine
from flask_powerauth_telemetry.history.tables import HistoryTables
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import DEFINITION_VERSION

ROWS_AT_ONCE = 500
"""How many rows of the chain are read by one statement."""

Span = tuple[datetime, datetime]  # closed, of aware instants

_CREATED_BY_ANOTHER_SECONDS = 1.0


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
        self._tables = HistoryTables(schema)
        self._selections = Selections(self._tables, instance, is_sealed=bool(self._keys.values))

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
        """Raise ``Unavailable`` when there is no store, ``DatabaseFault`` for another version.

        And what else an error of the database means, always a ``TelemetryError``.
        """
        self._tables.check(connection)

    def add(self, connection: Connection, recording: Recording, reason: str | None = None) -> bool:
        """Add a row to the end of the chain, unless the slot belongs to a row that is there.

        With a ``reason`` it replaces that row, and also when it ``gives_way_to`` this pass. Gives
        whether a row was added. Hosts that add at the same time wait for each other, until their
        transactions end. Raises ``DatabaseFault`` when the head of the chain is gone, or the row
        that holds the slot is damaged.
        """
        head = self._locked_head(connection)
        self._check_last_seal(connection, head)
        row = self._row_of_slot(connection, recording.application, recording.slot)
        if row is not None and reason is None:
            present = recording_of(row, self._keys)
            if not present.gives_way_to(recording.profile.as_of):
                return False
            reason = (
                f"a pass nearer to the hour, {recording.distance} off and not {present.distance}"
            )
        link = Link(
            entry=head.entries + 1,
            previous=head.digest,
            corrects=0 if row is None else row["entry"],
            reason=None if row is None else reason,
        )
        added = row_of(recording, self._instance, link, self._keys)
        connection.execute(insert(self._tables.recording), added)
        end = {"entries": added["entry"], "digest": added["digest"]}
        connection.execute(update(self._tables.head).where(self._own_head()).values(end))
        return True

    def of_slot(
        self, connection: Connection, application: Application, slot: datetime
    ) -> Recording | None:
        """What the application has for this slot; raises ``DatabaseFault`` for a damaged row."""
        row = self._row_of_slot(connection, application, slot)
        return None if row is None else recording_of(row, self._keys)

    def newest(self, connection: Connection, application: str, until: datetime) -> Recording | None:
        """The newest row of the application of this name, none of them later than ``until``.

        Raises ``DatabaseFault`` for a damaged row.
        """
        return next(iter(self.last(connection, application, until, 1)), None)

    def newest_of_any(self, connection: Connection, until: datetime) -> Recording | None:
        """The newest row of any application; as ``newest``."""
        row = connection.execute(self._selections.newest(None, until, 1)).first()
        return None if row is None else recording_of(row._asdict(), self._keys)

    def is_gone(self, connection: Connection, recording: Recording, until: datetime) -> bool:
        """Whether every application was recorded for a later slot, by ``until``, and this was none.

        ``recording`` is the newest of its application, which was deleted or renamed then.
        """
        return connection.execute(self._selections.complete(recording, until)).first() is not None

    def last(
        self,
        connection: Connection,
        application: str,
        until: datetime,
        count: int,
    ) -> Sequence[Recording]:
        """The ``count`` newest rows of the application, newest first; as ``newest``."""
        statement = self._selections.newest(application, until, count)
        return self._of_name(application, connection.execute(statement))

    def first(
        self,
        connection: Connection,
        application: str,
        since: datetime,
        until: datetime,
        count: int,
    ) -> Sequence[Recording]:
        """The ``count`` oldest rows of the application from ``since`` on; as ``newest``."""
        statement = self._selections.oldest(application, since, until, count)
        return self._of_name(application, connection.execute(statement))

    def within(
        self, connection: Connection, application: str, spans: Iterable[Span]
    ) -> Sequence[Recording]:
        """All rows of the application in any of these spans, oldest first; as ``newest``."""
        statement = self._selections.within(application, spans)
        return self._of_name(application, connection.execute(statement))

    def names(self, connection: Connection) -> Sequence[str]:
        """The names of all applications that have a row."""
        return connection.scalars(self._selections.names()).all()

    def head(self, connection: Connection) -> Head | None:
        """The head of the chain; None when it is gone, or nothing was ever recorded."""
        columns = self._tables.head.c
        statement = select(columns.entries, columns.digest).where(self._own_head())
        row = connection.execute(statement).first()
        return None if row is None else Head(row.entries, row.digest)

    def chain(self, connection: Connection) -> Iterator[ChainRow]:
        """Every row that is there, by its entry, damaged or not, read a few hundred at a time."""
        last: object = None
        while rows := connection.execute(self._selections.following(last)).all():
            yield from (row._asdict() for row in rows)
            last = rows[-1].entry

    def _row_of_slot(
        self, connection: Connection, application: Application, slot: datetime
    ) -> ChainRow | None:
        row = connection.execute(self._selections.of_slot(application, slot)).first()
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

    def _of_name(self, name: str, rows: Iterable[Row[Any]]) -> Sequence[Recording]:
        # Some databases compare without regard to case or trailing blanks.
        recordings = (recording_of(row._asdict(), self._keys) for row in rows)
        return [one for one in recordings if one.application.name == name]

    def _check_last_seal(self, connection: Connection, head: Head) -> None:
        """Raise ``DatabaseFault`` where a row added now would undo or fake what the key proves."""
        columns = self._tables.recording.c
        last = select(columns.digest, columns.seal).where(
            columns.instance == self._instance, columns.entry == head.entries
        )
        row = connection.execute(last).first()
        if row is None:
            return
        if not self._keys.values:
            if row.seal is not None:
                raise DatabaseFault("the history is sealed, and no HISTORY_KEY is configured")
            return
        is_genuine_end = row.seal is not None and is_genuine(row.digest, row.seal, self._keys)
        if not is_genuine_end and head != self._trusted:
            raise DatabaseFault(
                f"the history's last row, {head.entries}, has no seal of the HISTORY_KEY:"
                " if the key is new, record once with --expect and the line that was printed last"
            )

    def _own_head(self) -> ColumnElement[bool]:
        return self._tables.head.c.instance == self._instance

    def _create(self, engine: Engine) -> None:
        self._tables.create(engine)
        with engine.begin() as connection:
            if self.head(connection) is None and not any(self.chain(connection)):
                start = {"instance": self._instance, **asdict(Head())}
                connection.execute(insert(self._tables.head), start)


class Selections:
    """Which rows of a recording table are read: the statements, for the rows of one instance.

    Reports read the rows of the chain alone, from its first row to its head: those that no
    correction replaces, and that count what is counted now. Each statement finds its rows by an
    index, and gives a limited number of them.
    """

    def __init__(self, tables: HistoryTables, instance: str, *, is_sealed: bool = False) -> None:
        recording = self._recording = tables.recording
        self._is_sealed = is_sealed
        self._instance = instance
        head = tables.head.c
        self._last_entry = select(head.entries).where(head.instance == instance).scalar_subquery()
        # Made once: reports that read many rows would spend half of their time on it.
        self._all_valid = (
            select(recording)
            .where(recording.c.instance == instance)
            .where(self._is_in_chain(recording.c.entry))
            .where(self._is_not_replaced())
            .where(recording.c.definition == DEFINITION_VERSION)
        )
        if is_sealed:
            self._all_valid = self._all_valid.where(self._has_its_seal(recording))

    def newest(self, application: str | None, until: datetime, count: int) -> Select[Any]:
        """The newest rows of an application, or of any for None, none later than ``until``."""
        columns = self._recording.c
        statement = self._valid(application).where(columns.as_of <= instant_text(until))
        return statement.order_by(columns.as_of.desc(), columns.entry.desc()).limit(count)

    def oldest(self, application: str, since: datetime, until: datetime, count: int) -> Select[Any]:
        """The oldest rows of an application from ``since`` to ``until``."""
        columns = self._recording.c
        period = columns.as_of.between(instant_text(since), instant_text(until))
        statement = self._valid(application).where(period)
        return statement.order_by(columns.as_of, columns.entry).limit(count)

    def within(self, application: str, spans: Iterable[Span]) -> Select[Any]:
        """The rows of an application in any of these spans; short ones have few."""
        columns = self._recording.c
        texts = [(instant_text(first), instant_text(last)) for first, last in spans]
        in_any = or_(*(columns.as_of.between(first, last) for first, last in texts))
        statement = self._valid(application).where(in_any)
        return statement.order_by(columns.as_of, columns.entry)

    def complete(self, after: Recording, until: datetime) -> Select[Any]:
        """A slot after another one's in which every application has a row."""
        columns = self._recording.c
        as_of = (instant_text(after.profile.as_of), instant_text(until))
        expected = func.max(columns.applications)
        return (
            select(columns.slot)
            .where(columns.instance == self._instance)
            .where(columns.definition == DEFINITION_VERSION)
            .where(columns.as_of.between(*as_of))
            .where(columns.slot > instant_text(after.slot))
            .where(self._is_in_chain(columns.entry))
            .group_by(columns.slot)
            .having(expected > 0)
            .having(func.count(columns.application_id.distinct()) >= expected)
            .limit(1)
        )

    def names(self) -> Select[Any]:
        """The names of the applications that have a row, valid or not."""
        columns = self._recording.c
        return (
            select(columns.application_name)
            .where(columns.instance == self._instance)
            .where(columns.definition == DEFINITION_VERSION)
            .where(self._is_in_chain(columns.entry))
            .distinct()
        )

    def of_slot(self, application: Application, slot: datetime) -> Select[Any]:
        """The row that an application has for a slot, the newest correction first."""
        columns = self._recording.c
        return (
            select(self._recording)
            .where(columns.instance == self._instance)
            .where(columns.application_id == application.id)
            .where(columns.slot == instant_text(slot))
            .where(self._is_in_chain(columns.entry))
            .order_by(columns.entry.desc())
            .limit(1)
        )

    def following(self, entry: object | None) -> Select[Any]:
        """The rows that follow an entry, in the chain or not; None for all that are there."""
        columns = self._recording.c
        rows = select(self._recording).where(columns.instance == self._instance)
        if entry is not None:
            rows = rows.where(columns.entry > entry)
        return rows.order_by(columns.entry).limit(ROWS_AT_ONCE)

    def _valid(self, application: str | None) -> Select[Any]:
        columns = self._recording.c
        if application is None:
            return self._all_valid
        return self._all_valid.where(columns.application_name == application)

    def _is_in_chain(self, entry: ColumnElement[int]) -> ColumnElement[bool]:
        # Not of the bare column: its index would be taken for the one that finds few rows.
        return (entry - 1).between(0, self._last_entry - 1)

    def _has_its_seal(self, rows: FromClause) -> ColumnElement[bool]:
        """Whether a row is sealed, or older than the first seal."""
        columns, sealed = rows.c, self._recording.alias("sealed").c
        follows_a_seal = (
            exists()
            .where(sealed.instance == columns.instance)
            .where(sealed.entry < columns.entry)
            .where(sealed.seal.is_not(None))
        )
        return or_(columns.seal.is_not(None), ~follows_a_seal)

    def _is_not_replaced(self) -> ColumnElement[bool]:
        corrections = self._recording.alias("correction")
        columns, correction = self._recording.c, corrections.c
        has_its_seal = self._has_its_seal(corrections) if self._is_sealed else true()
        return ~(
            exists()
            .where(has_its_seal)
            .where(correction.instance == columns.instance)
            .where(correction.application_id == columns.application_id)
            .where(correction.slot == columns.slot)
            .where(correction.corrects == columns.entry)
            .where(self._is_in_chain(correction.entry))
        )
