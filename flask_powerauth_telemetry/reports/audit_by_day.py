"""Days of the signature audit, read in slices of some days, and since when the audit has them.

Days that are over are kept in the process. So a month that takes longer than the time limit is
answered in the end: each try goes on where the one before stopped.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise, takewhile
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Engine, Function, and_, func, literal, select

from flask_powerauth_telemetry.database.tables import WallClock
from flask_powerauth_telemetry.exceptions import TooSlow, Unavailable
from flask_powerauth_telemetry.providers import ReportContext
from flask_powerauth_telemetry.reports.activity import DAY
from flask_powerauth_telemetry.reports.clock_hours import HOUR, WallSlots, wall_slots
from flask_powerauth_telemetry.reports.verifications import Audit, Verifications

DAYS_AT_ONCE = 8
"""How many days a statement reads, unless that is too slow: each reads all activations, too."""

KEPT_DAYS = 1_000
"""How many days that are over are kept for each database."""

DaySpan = tuple[datetime, datetime]  # of aware instants, without the end

_FIRST_TIME = datetime(2000, 1, 1)


@dataclass(frozen=True)
class AuditRow:
    """A row of the audit: the naive time that it ``shows``, and the instant, aware, in UTC."""

    shows: datetime
    instant: datetime


class AuditByDay:
    """Reads days from the audit, several by one statement, and keeps those that are over."""

    def __init__(self) -> None:
        self._audit = Audit()
        self._kept: WeakKeyDictionary[Engine, _Kept] = WeakKeyDictionary()

    def read(
        self,
        context: ReportContext,
        application_id: int,
        midnights: Sequence[datetime],
        newest: AuditRow | None,
    ) -> Mapping[DaySpan, Verifications]:
        """The verifications of each day between midnights, which are aware, in UTC.

        ``newest`` is the audit's end before this. Raises ``Unavailable`` when the time that is
        left is too short for the next days.
        """
        kept = self._kept.setdefault(context.connection.engine, _Kept())
        slots = wall_slots(midnights[0], midnights[-1], context.database_time)
        spans = list(pairwise(midnights))
        begun = time.monotonic()
        longest = 0.0
        found: dict[DaySpan, Verifications] = {}
        while left := spans[len(found) :]:
            first, *others = left
            if (day := kept.days.get((application_id, first))) is not None:
                found[first] = day
                continue
            since = time.monotonic()
            if since - begun + longest > context.time_limit:
                raise Unavailable("the month takes more than one try", retry_after=1)
            unread = takewhile(lambda span: (application_id, span) not in kept.days, others)
            asked = [first, *unread][: kept.at_once]
            days = self._read(context, application_id, asked, slots)
            longest = max(longest, time.monotonic() - since)
            found |= days
            for span, day in days.items():
                # Whatever was being written by its end is there, also in a copy that is behind.
                if newest and span[1] <= newest.instant and context.now - span[1] >= HOUR:
                    kept.days[application_id, span] = day
            while len(kept.days) > KEPT_DAYS:
                kept.days.popitem(last=False)
        return found

    def forget(self, context: ReportContext, application_id: int, spans: Iterable[DaySpan]) -> None:
        """Keep days no longer of which rows may be gone: somebody may bring them back."""
        kept = self._kept[context.connection.engine]
        for span in spans:
            kept.days.pop((application_id, span), None)

    def _read(
        self,
        context: ReportContext,
        application_id: int,
        spans: Sequence[DaySpan],
        slots: WallSlots,
    ) -> Mapping[DaySpan, Verifications]:
        """Those of days in a row, by one statement; the next one has fewer if that is too slow."""
        instants = [spans[0][0], *(end for _, end in spans)]
        edges = [context.database_time(one) for one in reversed(instants)]
        try:
            read = self._audit.read(context, application_id, edges, slots, in_days)
        except TooSlow as error:
            if len(spans) == 1:
                raise
            self._kept[context.connection.engine].at_once = len(spans) // 2
            raise Unavailable(error.message, retry_after=1) from error
        buckets = reversed(range(len(spans)))
        days = zip(spans, buckets, strict=True)
        return {span: read.get(bucket, Verifications()) for span, bucket in days}


@dataclass
class _Kept:
    """The days of a database that were read, the oldest ones first, and how many come at once."""

    days: OrderedDict[tuple[int, DaySpan], Verifications] = field(default_factory=OrderedDict)
    at_once: int = DAYS_AT_ONCE


def in_days(time: ColumnElement[datetime], edges: Sequence[datetime]) -> ColumnElement[bool]:
    """Whether a time lies in days in a row, each of which holds its start, and not its end."""
    return and_(time >= literal(edges[-1], WallClock), time < literal(edges[0], WallClock))


def audit_start(context: ReportContext) -> AuditRow | None:
    """The oldest row of the audit, whatever its application; None without any.

    Rows of a time before the first month that can be asked for tell nothing, nor later ones than
    now. Ask after the audit was read, as it may be pruned meanwhile.
    """
    return _audit_row(context, func.min)


def audit_end(context: ReportContext) -> AuditRow | None:
    """The newest row of the audit, as ``audit_start``.

    Nothing is missing up to it, unless rows were deleted: whoever copies them keeps their order.
    Ask before the audit is read, as a copy may be fed meanwhile.
    """
    return _audit_row(context, func.max)


def _audit_row(context: ReportContext, which: Callable[..., Function[Any]]) -> AuditRow | None:
    created = context.tables.pa_signature_audit.c.timestamp_created
    first, now = (
        literal(time, WallClock) for time in (_FIRST_TIME, context.database_time(context.now))
    )
    shown: datetime | None = context.connection.scalar(
        select(which(created)).where(created.between(first, now))
    )
    if shown is None:
        return None
    try:
        instant = context.instant(shown)
    except ValueError:  # the clock skips it: it is a day after what it showed a day before
        instant = context.instant(shown - DAY) + DAY
    return AuditRow(context.database_time(instant) if shown.tzinfo else shown, instant)
