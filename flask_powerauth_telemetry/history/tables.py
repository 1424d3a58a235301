"""The tables of the history, the version of their schema, and which of their rows are read."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Select,
    String,
    Table,
    Text,
    Unicode,
    exists,
    func,
    insert,
    or_,
    select,
    true,
)
from sqlalchemy import inspect as inspect_database

from flask_powerauth_telemetry.database.connection import translated_errors
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.exceptions import DatabaseFault, Unavailable
from flask_powerauth_telemetry.history.recording import (
    REASON_LENGTH,
    VERIFICATIONS_OF_A_DAY,
    Recording,
    instant_text,
)
from flask_powerauth_telemetry.reports.activity import DEFINITION_VERSION

SCHEMA_VERSION = 1
"""The version of the store's tables that this package reads and writes."""

RETRY_SECONDS = 60
"""When to ask again for what is not recorded yet."""

Span = tuple[datetime, datetime]  # closed, of aware instants


class NeverRecorded(Unavailable):
    """There is nothing in the store."""

    def __init__(self) -> None:
        super().__init__(
            "nothing is recorded yet, run: flask telemetry snapshot", retry_after=RETRY_SECONDS
        )


class HistoryTables:
    """The tables, in the database schema ``schema``; None for the one that a connection finds."""

    def __init__(self, schema: str | None) -> None:
        self._metadata = MetaData(schema=schema)
        self._version = Table(
            "telemetry_history_version",
            self._metadata,
            Column("version", Integer, primary_key=True, autoincrement=False),
        )
        self._newest = select(func.max(self._version.c.version))
        self.head = Table(
            "telemetry_history_head",
            self._metadata,
            Column("instance", String(64), primary_key=True),
            Column("entries", BigInteger, nullable=False),
            Column("digest", String(64), nullable=False),
        )
        self.recording = _recording_table(self._metadata)

    def create(self, engine: Engine) -> None:
        """Create what is missing; raises ``DatabaseFault`` for a store of another version."""
        with engine.begin() as connection:
            dialect_named(engine.dialect.name).begin_schema_change(connection)
            version = connection.scalar(self._newest) if self._exists(connection) else None
            if version is not None:
                _check_version(version)
            self._metadata.create_all(connection)
            if version is None:
                connection.execute(insert(self._version), {"version": SCHEMA_VERSION})

    def check(self, connection: Connection) -> None:
        """Raise ``NeverRecorded`` when there is no store, ``DatabaseFault`` for another version.

        And what else an error of the database means, always a ``TelemetryError``.
        """
        try:
            with translated_errors(connection.engine):
                version = connection.scalar(self._newest)
        except DatabaseFault:
            connection.rollback()
            if self._exists(connection):
                raise
            version = None
        if version is None:
            raise NeverRecorded
        _check_version(version)

    def _exists(self, connection: Connection) -> bool:
        return inspect_database(connection).has_table(
            self._version.name, schema=self._version.schema
        )


class Selections:
    """Statements for the rows of one instance, to be narrowed so that an index finds them.

    ``rows`` are all that are there. ``in_chain`` are those from the chain's first row to its head.
    Reports read the ``recordings`` and ``days`` alone: those that no correction replaces, and that
    count what is counted now.
    """

    def __init__(self, tables: HistoryTables, instance: str, *, is_sealed: bool = False) -> None:
        recording = self._recording = tables.recording
        head = tables.head.c
        self._last_entry = select(head.entries).where(head.instance == instance).scalar_subquery()
        # Made once: reports that read many rows would spend half of their time on them.
        self.rows = select(recording).where(recording.c.instance == instance)
        self.in_chain = self.rows.where(self._is_in_chain(recording.c.entry))
        valid = self.in_chain.where(self._is_not_replaced(is_sealed=is_sealed))
        if is_sealed:
            valid = valid.where(self._has_its_seal(recording))
        self.recordings = valid.where(recording.c.definition == DEFINITION_VERSION)
        self.days = valid.where(recording.c.definition == VERIFICATIONS_OF_A_DAY)

    def newest(self, until: datetime) -> Select[Any]:
        """The recordings up to an aware instant, the newest first."""
        columns = self._recording.c
        rows = self.recordings.where(columns.as_of <= instant_text(until))
        return rows.order_by(columns.as_of.desc(), columns.entry.desc())

    def within(self, spans: Iterable[Span]) -> Select[Any]:
        """The recordings in any of these spans, the oldest first."""
        columns = self._recording.c
        texts = [(instant_text(first), instant_text(last)) for first, last in spans]
        in_any = or_(*(columns.as_of.between(first, last) for first, last in texts))
        return self.recordings.where(in_any).order_by(columns.as_of, columns.entry)

    def complete(self, after: Recording, until: datetime) -> Select[Any]:
        """A slot after another one's in which every application has a row."""
        columns = self._recording.c
        as_of = (instant_text(after.profile.as_of), instant_text(until))
        expected = func.max(columns.applications)
        return (
            self.recordings.with_only_columns(columns.slot)
            .where(columns.as_of.between(*as_of))
            .where(columns.slot > instant_text(after.slot))
            .group_by(columns.slot)
            .having(expected > 0)
            .having(func.count(columns.application_id.distinct()) >= expected)
            .limit(1)
        )

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

    def _is_not_replaced(self, *, is_sealed: bool) -> ColumnElement[bool]:
        corrections = self._recording.alias("correction")
        columns, correction = self._recording.c, corrections.c
        return ~(
            exists()
            .where(self._has_its_seal(corrections) if is_sealed else true())
            .where(correction.instance == columns.instance)
            .where(correction.application_id == columns.application_id)
            .where(correction.slot == columns.slot)
            .where(correction.corrects == columns.entry)
            .where(self._is_in_chain(correction.entry))
        )


def _recording_table(metadata: MetaData) -> Table:
    """One row for each instance, application and slot, and one for each correction."""
    table = Table(
        "telemetry_recording",
        metadata,
        Column("instance", String(64), nullable=False),
        Column("entry", BigInteger, nullable=False, autoincrement=False),
        Column("application_id", BigInteger, nullable=False),
        Column("application_name", Unicode(255), nullable=False),
        Column("slot", String(27), nullable=False),
        Column("as_of", String(27), nullable=False),
        Column("definition", Integer, nullable=False),
        Column("milliseconds", BigInteger, nullable=False),
        Column("recorded_by", Unicode(255), nullable=False),
        Column("applications", Integer, nullable=False),
        Column("corrects", BigInteger, nullable=False),
        Column("reason", Unicode(REASON_LENGTH)),
        Column("users", Text, nullable=False),
        Column("previous", String(64), nullable=False),
        Column("digest", String(64), nullable=False),
        Column("seal", String(64)),
        PrimaryKeyConstraint("instance", "entry"),
        CheckConstraint("entry >= 1"),
    )
    columns = table.c
    newest_first = (columns.instance, columns.definition, columns.application_name, columns.as_of)
    Index("telemetry_recording_newest", *newest_first)
    Index("telemetry_recording_as_of", columns.instance, columns.definition, columns.as_of)
    of_a_slot = (columns.instance, columns.application_id, columns.slot, columns.corrects)
    Index("telemetry_recording_slot", *of_a_slot, unique=True)
    return table


def _check_version(version: int) -> None:
    if version == SCHEMA_VERSION:
        return
    verb, cure = "needs", "upgrade it as docs/recording.md says"
    if version > SCHEMA_VERSION:
        verb, cure = "knows", "install the release that wrote it, or a newer one"
    raise DatabaseFault(
        f"the history has schema version {version}, and this release {verb} {SCHEMA_VERSION}:"
        f" {cure}"
    )
