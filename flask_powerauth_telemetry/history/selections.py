"""Which rows of the history are read: the statements, for the rows of one instance.

Reports read the rows that no correction replaces. Each statement finds its rows by an index, and
gives a limited number of them.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, exists, select

from flask_powerauth_telemetry.history.recording import instant_text
from flask_powerauth_telemetry.providers import Application

ROWS_AT_ONCE = 500
"""How many rows of the chain are read by one statement."""


class Selections:
    """Statements that select rows of a recording table, those of one instance alone."""

    def __init__(self, recording: Table, instance: str) -> None:
        self._recording = recording
        self._instance = instance
        # Made once: reports that read many rows would spend half of their time on it.
        self._all_valid = (
            select(recording)
            .where(recording.c.instance == instance)
            .where(_not_replaced(recording))
        )

    def newest(
        self, application: str | None, definition: int, until: datetime, count: int
    ) -> Select[Any]:
        """The newest rows of an application, or of any for None, none later than ``until``."""
        columns = self._recording.c
        statement = self._valid(application, definition).where(columns.as_of <= instant_text(until))
        return statement.order_by(columns.as_of.desc(), columns.entry.desc()).limit(count)

    def oldest(
        self, application: str, definition: int, since: datetime, until: datetime, count: int
    ) -> Select[Any]:
        """The oldest rows of an application from ``since`` to ``until``."""
        columns = self._recording.c
        period = columns.as_of.between(instant_text(since), instant_text(until))
        statement = self._valid(application, definition).where(period)
        return statement.order_by(columns.as_of, columns.entry).limit(count)

    def names(self, definition: int) -> Select[Any]:
        """The names of the applications that have a row, valid or not."""
        columns = self._recording.c
        return (
            select(columns.application_name)
            .where(columns.instance == self._instance)
            .where(columns.definition == definition)
            .distinct()
        )

    def entries_of_slot(self, application: Application, slot: datetime) -> Select[Any]:
        """The entry of the row that an application has for a slot, the newest correction first."""
        columns = self._recording.c
        return (
            select(columns.entry)
            .where(columns.instance == self._instance)
            .where(columns.application_id == application.id)
            .where(columns.slot == instant_text(slot))
            .order_by(columns.entry.desc())
            .limit(1)
        )

    def following(self, entry: object) -> Select[Any]:
        """The rows of the chain that follow an entry."""
        columns = self._recording.c
        return (
            select(self._recording)
            .where(columns.instance == self._instance)
            .where(columns.entry > entry)
            .order_by(columns.entry)
            .limit(ROWS_AT_ONCE)
        )

    def _valid(self, application: str | None, definition: int) -> Select[Any]:
        columns = self._recording.c
        statement = self._all_valid.where(columns.definition == definition)
        if application is None:
            return statement
        return statement.where(columns.application_name == application)


def _not_replaced(recording: Table) -> ColumnElement[bool]:
    columns, correction = recording.c, recording.alias("correction").c
    return ~(
        exists()
        .where(correction.instance == columns.instance)
        .where(correction.application_id == columns.application_id)
        .where(correction.slot == columns.slot)
        .where(correction.corrects == columns.entry)
    )
