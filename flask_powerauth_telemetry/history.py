"""The history: a small store of ours that holds recordings, apart from PowerAuth's database.

Rows are added and read, never changed.
"""

import time
from collections.abc import Sequence
from datetime import datetime
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
    inspect,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from flask_powerauth_telemetry.exceptions import DatabaseFault, Unavailable
from flask_powerauth_telemetry.faults import fault_of
from flask_powerauth_telemetry.providers.base import Application
from flask_powerauth_telemetry.recordings import (
    Recording,
    instant_text,
    recording_of,
    recording_table,
    row_of,
)

HISTORY_BIND = "history"
SCHEMA_VERSION = 1
"""The version of the store's tables that this module reads and writes."""

RETRY_SECONDS = 60
"""When to ask again for what is not recorded yet."""

_CREATED_BY_ANOTHER_SECONDS = 1.0


class HistoryStore:
    """The store as one instance of the extension sees it: its own rows alone.

    ``schema`` is the database schema of the tables. Methods raise what SQLAlchemy raises, unless
    they say otherwise.
    """

    def __init__(self, instance: str, schema: str | None = None) -> None:
        self._instance = instance
        self._metadata = MetaData(schema=schema)
        self._version = Table(
            "telemetry_history_version",
            self._metadata,
            Column("version", Integer, primary_key=True, autoincrement=False),
        )
        self._recording = recording_table(self._metadata)

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
        try:
            version = connection.scalar(self._known_version())
        except SQLAlchemyError as error:
            fault = fault_of(error)
            if isinstance(fault, DatabaseFault) and not self._exists_after_error(connection):
                version = None
            else:
                raise fault from error
        if version is None:
            raise never_recorded()
        _check_version(version)

    def add(self, connection: Connection, recording: Recording) -> None:
        """Add a row; ``IntegrityError`` when the application has one for this slot."""
        connection.execute(insert(self._recording), row_of(recording, self._instance))

    def holds(self, connection: Connection, application: Application, slot: datetime) -> bool:
        """Whether the application has a row for this slot."""
        columns = self._recording.c
        statement = (
            select(columns.id)
            .where(columns.instance == self._instance)
            .where(columns.application_id == application.id)
            .where(columns.slot == instant_text(slot))
        )
        return connection.scalar(statement) is not None

    def newest(
        self, connection: Connection, application: str, definition: int, until: datetime
    ) -> Recording | None:
        """The newest row of the application of this name, none of them later than ``until``.

        Raises ``DatabaseFault`` for a damaged row.
        """
        row = connection.execute(self.newest_statement(application, definition, until)).first()
        if row is None:
            return None
        recording = recording_of(row._asdict())
        # Some databases compare without regard to case or trailing blanks.
        return recording if recording.application.name == application else None

    def newest_of_any(
        self, connection: Connection, definition: int, until: datetime
    ) -> Recording | None:
        """The newest row of any application; as ``newest``."""
        row = connection.execute(self.newest_statement(None, definition, until)).first()
        return None if row is None else recording_of(row._asdict())

    def names(self, connection: Connection, definition: int) -> Sequence[str]:
        """The names of all applications that have a row."""
        columns = self._recording.c
        statement = (
            select(columns.application_name)
            .where(columns.instance == self._instance)
            .where(columns.definition == definition)
            .distinct()
        )
        return connection.scalars(statement).all()

    def newest_statement(
        self, application: str | None, definition: int, until: datetime
    ) -> Select[Any]:
        """What is sent for the newest row of an application, or of any for None."""
        columns = self._recording.c
        statement = (
            select(self._recording)
            .where(columns.instance == self._instance)
            .where(columns.definition == definition)
            .where(columns.as_of <= instant_text(until))
        )
        if application is not None:
            statement = statement.where(columns.application_name == application)
        return statement.order_by(columns.as_of.desc(), columns.id.desc()).limit(1)

    def _create(self, engine: Engine) -> None:
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                # Python's driver begins no transaction for statements that create tables.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            version = None
            if self._exists(connection):
                version = connection.scalar(self._known_version())
            if version is not None:
                _check_version(version)
            self._metadata.create_all(connection)
            if version is None:
                connection.execute(insert(self._version), {"version": SCHEMA_VERSION})

    def _known_version(self) -> Select[Any]:
        return select(func.max(self._version.c.version))

    def _exists_after_error(self, connection: Connection) -> bool:
        connection.rollback()
        return self._exists(connection)

    def _exists(self, connection: Connection) -> bool:
        return inspect(connection).has_table(self._version.name, schema=self._version.schema)


def never_recorded() -> Unavailable:
    """The error of a store in which there is nothing."""
    return Unavailable(
        "nothing is recorded yet, run: flask telemetry snapshot", retry_after=RETRY_SECONDS
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
            " upgrade it as docs/operations.md says"
        )
