"""The tables of the history, and the version of their schema."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Select,
    String,
    Table,
    Text,
    Unicode,
    func,
    insert,
    select,
)
from sqlalchemy import inspect as inspect_database

from flask_powerauth_telemetry.database.connection import translated_errors
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.exceptions import DatabaseFault, Unavailable
from flask_powerauth_telemetry.history.recording import REASON_LENGTH

SCHEMA_VERSION = 1
"""The version of the store's tables that this package reads and writes."""

RETRY_SECONDS = 60
"""When to ask again for what is not recorded yet."""


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
        self.head = _head_table(self._metadata)
        self.recording = _recording_table(self._metadata)

    def create(self, engine: Engine) -> None:
        """Create what is missing; raises ``DatabaseFault`` for a store of another version."""
        with engine.begin() as connection:
            dialect_named(engine.dialect.name).begin_schema_change(connection)
            version = None
            if self._exists(connection):
                version = connection.scalar(self._known_version())
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
                version = connection.scalar(self._known_version())
        except DatabaseFault:
            connection.rollback()
            if self._exists(connection):
                raise
            version = None
        if version is None:
            raise NeverRecorded
        _check_version(version)

    def _known_version(self) -> Select[Any]:
        return select(func.max(self._version.c.version))

    def _exists(self, connection: Connection) -> bool:
        return inspect_database(connection).has_table(
            self._version.name, schema=self._version.schema
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


def _head_table(metadata: MetaData) -> Table:
    """The heads of the chains; one row for each instance."""
    return Table(
        "telemetry_history_head",
        metadata,
        Column("instance", String(64), primary_key=True),
        Column("entries", BigInteger, nullable=False),
        Column("digest", String(64), nullable=False),
    )


def _check_version(version: int) -> None:
    if version > SCHEMA_VERSION:
        raise DatabaseFault(
            f"the history has schema version {version}, and this release knows {SCHEMA_VERSION}:"
            " install the release that wrote it, or a newer one"
        )
    if version < SCHEMA_VERSION:
        raise DatabaseFault(
            f"the history has schema version {version}, and this release needs {SCHEMA_VERSION}:"
            " upgrade it as docs/recording.md says"
        )
