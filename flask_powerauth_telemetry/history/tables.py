"""The tables of the history, and the version of their schema."""

from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Select,
    Table,
    func,
    insert,
    select,
)
from sqlalchemy import inspect as inspect_database

from flask_powerauth_telemetry.database.connection import translated_errors
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.exceptions import DatabaseFault, Unavailable
from flask_powerauth_telemetry.history.chain import head_table
from flask_powerauth_telemetry.history.recording import recording_table

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
        self.head = head_table(self._metadata)
        self.recording = recording_table(self._metadata)

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
