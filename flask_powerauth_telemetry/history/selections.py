"""Which rows of the history are read."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, exists, func, or_, select, true

from flask_powerauth_telemetry.history.recorded_day import VERIFICATIONS_OF_A_DAY
from flask_powerauth_telemetry.history.recording import Recording, instant_text
from flask_powerauth_telemetry.history.tables import HistoryTables
from flask_powerauth_telemetry.reports.activity import DEFINITION_VERSION

Span = tuple[datetime, datetime]  # closed, of aware instants


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
            self.in_chain.with_only_columns(columns.slot)
            .where(columns.definition == DEFINITION_VERSION)
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
