"""The activity profile: how many users of an application were active, for every window at once.

A user is active in a window of N days if one of the user's activations, whatever its status, was
last used in the closed interval from now less N times 24 hours to now. So it is enough to know
each user's newest use and to count users by the shortest window that holds it: one pass over the
table, and adding up gives the number of every window.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import accumulate
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    case,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.exc import UnsupportedCompilationError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.tables import PowerAuthTables, WallClock
from flask_powerauth_telemetry.exceptions import UnknownApplication
from flask_powerauth_telemetry.providers import Application, Computation, ReportContext, Result

WIDTHS = (30, 90, 365)
"""The windows in days that a pass may cover; the smallest that holds a question is taken."""

DEFINITION_VERSION = 1
"""The version of what is counted; it is recorded with the numbers, and changes with them."""

READ_COLUMNS: Mapping[str, Sequence[str]] = {
    "pa_application": ("id", "name"),
    "pa_activation": ("application_id", "user_id", "timestamp_last_used"),
}
"""All that profiles are computed from, by table."""

DAY = timedelta(days=1)


@dataclass(frozen=True)
class ActivityProfile:
    """The active users of an application in each window that ends at ``as_of``.

    ``users`` holds one number for each window: the first for 1 day, the last for the widest.
    ``as_of`` is aware, in UTC.
    """

    as_of: datetime
    users: tuple[int, ...]

    def users_in_past_days(self, days: int) -> int:
        """The unique users active in the past ``days`` days of 24 hours.

        Raises ``ValueError`` for a window that the profile does not cover.
        """
        if not 1 <= days <= len(self.users):
            raise ValueError(f"this profile covers windows of 1 to {len(self.users)} days")
        return self.users[days - 1]


class ActivitySource:
    """Where reports take profiles from: here PowerAuth's tables, when they are asked for.

    ``bind`` names the database that it reads, None for the main one, and ``tables`` are the
    PowerAuth tables that it reads there, each with its columns.
    """

    bind: str | None = None
    tables: Mapping[str, Sequence[str]] = READ_COLUMNS

    def profiles(self, application: str, days: int) -> Sequence[Computation]:
        """Those wide enough for a window of ``days`` days (1 to 365), the narrowest first.

        Their result is an ``ActivityProfile``, or None where there is no such application.
        """
        return passes(("activity", application), partial(_profile, application), days)


def passes(
    key: tuple[Hashable, ...],
    run: Callable[[int, ReportContext], Any],
    days: int,
    widths: Sequence[int] = WIDTHS,
) -> Sequence[Computation]:
    """The passes that cover ``days`` days, the narrowest first; ``run`` is given each width."""
    return [Computation((*key, width), partial(run, width)) for width in widths if width >= days]


def window_edges(context: ReportContext, width: int) -> Sequence[datetime]:
    """The end of windows of 1 to ``width`` days, then each start; naive, of the database."""
    return [context.database_time(context.now - days * DAY) for days in range(width + 1)]


def _profile(name: str, width: int, context: ReportContext) -> ActivityProfile | Result:
    try:
        application = context.application(name)
    except UnknownApplication:
        return Result(None, keep_seconds=0)  # names that don't exist push out no profile
    return read_profile(context, application, width)


def read_profile(context: ReportContext, application: Application, width: int) -> ActivityProfile:
    """Compute a profile of ``width`` windows by one pass over ``pa_activation``."""
    edges = window_edges(context, width)
    statement = profile_statement(context.tables, application.id, edges)
    counts = users_by_bucket(context, statement, width)
    return ActivityProfile(as_of=context.now, users=tuple(accumulate(counts)))


def users_by_bucket(context: ReportContext, statement: Executable, width: int) -> Sequence[int]:
    """The users of each of ``width`` buckets, from rows of (bucket, users)."""
    counts = [0] * width
    for bucket, users in context.connection.execute(statement):
        counts[int(bucket)] += users
    return counts


def profile_statement(
    tables: PowerAuthTables, application_id: int, edges: Sequence[datetime]
) -> Executable:
    """Rows of (bucket, users): bucket 0 holds the users of the shortest window, and so on.

    ``edges`` are those of ``window_edges``.
    """
    activation = tables.pa_activation
    last_used = activation.c.timestamp_last_used
    newest_uses = (
        select(bucket_of(func.max(last_used), edges).label("bucket"))
        .where(activation.c.application_id == application_id)
        .where(in_windows(last_used, edges))
        .where(activation.c.user_id.is_not(None))
        .group_by(activation.c.user_id)
        .subquery("newest_uses")
    )
    return select(newest_uses.c.bucket, func.count()).group_by(newest_uses.c.bucket)


def in_windows(time: ColumnElement[datetime], edges: Sequence[datetime]) -> ColumnElement[bool]:
    """Whether a time lies in the widest window, which is a closed interval."""
    return time.between(_time(edges[-1]), _time(edges[0]))


class WholeDays(FunctionElement[int]):
    """The complete 24-hour days from a start to an end: ``WholeDays(end, start)``.

    Both are naive times of one clock. A fraction of either sign is cut off.
    """

    type = Integer()
    name = "whole_days"
    inherit_cache = True


class WholeSlots(FunctionElement[int]):
    """The complete spans of ``seconds`` from a start to an end: ``WholeSlots(end, start, 60)``.

    The end must not be before the start.
    """

    type = Integer()
    name = "whole_slots"
    inherit_cache = True

    def __init__(
        self, end: ColumnElement[datetime], start: ColumnElement[datetime], seconds: int
    ) -> None:
        # A clause, so that statements with other lengths are not taken for the same.
        super().__init__(end, start, literal_column(str(int(seconds)), Integer))


@compiles(WholeDays)
@compiles(WholeSlots)
def _sql_of(element: FunctionElement[int], compiler: SQLCompiler, **options: Any) -> str:
    """The SQL of a function, exact to the microsecond: its dialect has a method of this name."""
    write = getattr(dialect_named(compiler.dialect.name), element.name)
    try:
        sql: str = write(*(compiler.process(clause, **options) for clause in element.clauses))
    except NotImplementedError:
        raise UnsupportedCompilationError(compiler, type(element)) from None
    return sql


def bucket_of(time: ColumnElement[datetime], edges: Sequence[datetime]) -> ColumnElement[int]:
    """The index of the shortest window that holds a time, windows being closed intervals.

    ``edges`` are as for ``profile_statement``; the time lies in the widest window.
    Within a run of windows that start exactly 24 hours apart it is arithmetic. Where the clock
    was changed a run ends, and the window across the change has a branch of its own.
    """
    branches: list[tuple[ColumnElement[bool], ColumnElement[int]]] = []
    start = 0
    for first, last in _even_runs(edges):
        if first > start:
            branches.append((time >= _time(edges[first]), literal(start, Integer)))
        # One tick earlier, so that a use at the very start of a window is still in it.
        end = edges[first] + first * DAY - datetime.resolution
        branches.append((time >= _time(edges[last]), WholeDays(_time(end), time)))
        start = last
    *others, (_, remaining) = branches
    return case(*others, else_=remaining) if others else remaining


def _even_runs(edges: Sequence[datetime]) -> list[tuple[int, int]]:
    """The longest runs (first, last) of edges that lie exactly 24 hours apart."""
    breaks = [index for index in range(1, len(edges)) if edges[index - 1] - edges[index] != DAY]
    return list(zip([0, *breaks], [*(index - 1 for index in breaks), len(edges) - 1], strict=True))


def _time(time: datetime) -> ColumnElement[datetime]:
    return literal(time, WallClock)
