"""Which kinds of activations each user was active by, for every window at once.

Kinds are whatever tells activations apart: their application, or what they are good for. A user
has a set of kinds in each window, and it only grows with the window. So it is enough to know the
windows in which it grows: one pass counts the users of each growth, and adding up gives the users
of each set in every window.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Executable, Table, func, select

from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.providers import ReportContext
from flask_powerauth_telemetry.reports.activity import bucket_of, in_windows, window_edges

KindOf = Callable[[Table, Sequence[int]], ColumnElement[int]]
"""Gives the kind of an activation of one of the applications with these ids."""


class Growth(NamedTuple):
    """How many users have more kinds in the window of ``days`` days than in shorter ones.

    A kind is a power of two, and a set is the sum of its kinds: ``before`` and ``after``.
    """

    days: int
    before: int
    after: int
    users: int


def users_by_set(growths: Sequence[Growth], days: int) -> Mapping[int, int]:
    """How many users have exactly each set of kinds in the window of ``days`` days."""
    users: Counter[int] = Counter()
    for growth in growths:
        if growth.days <= days:
            users[growth.after] += growth.users
            users[growth.before] -= growth.users
    del users[0]  # those who came from nothing
    return users


def read_growths(
    names: Sequence[str], kind_of: KindOf, width: int, context: ReportContext
) -> Sequence[Growth]:
    """The growths up to now by one pass over the applications of these names."""
    ids = [context.application(name).id for name in names]
    kind, edges = kind_of(context.tables.pa_activation, ids), window_edges(context, width)
    statement = growths_statement(context.tables, ids, kind, edges)
    return [
        Growth(int(bucket) + 1, int(after) - int(added), int(after), users)
        for bucket, added, after, users in context.connection.execute(statement)
    ]


def growths_statement(
    tables: PowerAuthTables,
    application_ids: Sequence[int],
    kind: ColumnElement[int],
    edges: Sequence[datetime],
) -> Executable:
    """Rows of (bucket, sum of the kinds added in it, sum of all kinds so far, users).

    Buckets and ``edges`` are those of ``profile_statement``.
    """
    activation = tables.pa_activation
    user, last_used = activation.c.user_id, activation.c.timestamp_last_used
    # A subquery of its own, because databases don't see that two expressions with parameters are
    # the same in SELECT and in GROUP BY.
    uses = (
        select(user, kind.label("kind"), last_used)
        .where(activation.c.application_id.in_(application_ids))
        .where(in_windows(last_used, edges))
        .where(user.is_not(None))
        .subquery("uses")
    )
    newest = (
        select(
            uses.c.user_id,
            uses.c.kind,
            bucket_of(func.max(uses.c.timestamp_last_used), edges).label("bucket"),
        )
        .group_by(uses.c.user_id, uses.c.kind)
        .subquery("newest_uses")
    )
    steps = (
        select(newest.c.user_id, newest.c.bucket, func.sum(newest.c.kind).label("added"))
        .group_by(newest.c.user_id, newest.c.bucket)
        .subquery("steps")
    )
    so_far = func.sum(steps.c.added).over(partition_by=steps.c.user_id, order_by=steps.c.bucket)
    growths = select(steps.c.bucket, steps.c.added, so_far.label("so_far")).subquery("growths")
    groups = (growths.c.bucket, growths.c.added, growths.c.so_far)
    return select(*groups, func.count()).group_by(*groups)
