"""Which rows of the history are read: the statements of the store."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, exists, func, or_, select, true

from flask_powerauth_telemetry.history.recorded_day import VERIFICATIONS_OF_A_DAY
from flask_powerauth_telemetry.history.recording import Recording, instant_text
from flask_powerauth_telemetry.history.tables import HistoryTables
from flask_powerauth_telemetry.providers import Application
from flask_powerauth_telemetry.reports.activity import DEFINITION_VERSION

ROWS_AT_ONCE = 500
"""How many rows of the chain are read by one statement."""

Span = tuple[datetime, datetime]  # closed, of aware instants


class Selections:
    """The statements for the rows of one instance in a recording table.

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
        self._all_of_any_definition = (
            select(recording)
            .where(recording.c.instance == instance)
            .where(self._is_in_chain(recording.c.entry))
            .where(self._is_not_replaced())
        )
        if is_sealed:
            self._all_of_any_definition = self._all_of_any_definition.where(
                self._has_its_seal(recording)
            )
        self._all_valid = self._all_of_any_definition.where(
            recording.c.definition == DEFINITION_VERSION
        )

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

    def days(self, application: Application, slots: Sequence[str]) -> Select[Any]:
        """The days of verifications in these slots, by the application's number."""
        columns = self._recording.c
        return self._days(application).where(columns.slot.in_(slots)).order_by(columns.slot)

    def all_days(self, application: Application) -> Select[Any]:
        """All days of verifications: slots, names that they were recorded under, and numbers."""
        columns = self._recording.c
        return self._days(application).with_only_columns(
            columns.slot, columns.application_name, columns.users
        )

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

    def of_slot(self, application: Application, slot: str) -> Select[Any]:
        """The row that an application has for a slot, the newest correction first."""
        columns = self._recording.c
        return (
            select(self._recording)
            .where(columns.instance == self._instance)
            .where(columns.application_id == application.id)
            .where(columns.slot == slot)
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

    def _days(self, application: Application) -> Select[Any]:
        columns = self._recording.c
        return self._all_of_any_definition.where(
            columns.application_id == application.id,
            columns.definition == VERIFICATIONS_OF_A_DAY,
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
