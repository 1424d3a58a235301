"""Reports by the kinds of activations that each user was active by, for every window at once.

Kinds are whatever tells activations apart: their application, or what they are good for. A user
has a set of kinds in each window, and it only grows with the window. So it is enough to know the
windows in which it grows: one pass counts the users of each growth, and adding up gives the users
of each set in every window.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

from marshmallow import Schema, ValidationError, fields, validate
from sqlalchemy import ColumnElement, Executable, Table, case, func, select

from flask_powerauth_telemetry.database.tables import ActivationStatus, PowerAuthTables
from flask_powerauth_telemetry.fields import ApplicationField, CountField, DaysField
from flask_powerauth_telemetry.providers import Computation, ReportContext, ReportProvider
from flask_powerauth_telemetry.reports.active_users import (
    ActiveUsersSchema,
    ApplicationAndDaysSchema,
)
from flask_powerauth_telemetry.reports.activity import (
    READ_COLUMNS,
    bucket_of,
    in_windows,
    passes,
    window_edges,
)

KindOf = Callable[[Table, Sequence[int]], ColumnElement[int]]
"""Gives the kind of an activation of one of the applications with these ids."""

FEWEST, MOST = 2, 10
"""How many applications a caller may name."""

_COMMITTED = (ActivationStatus.ACTIVE.value, ActivationStatus.BLOCKED.value)


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


def _read_growths(
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


def _check_different(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ValidationError("Must be different applications.")


class ApplicationsAndDaysSchema(Schema):
    """Parameters of ``USERS_ACROSS_APPLICATIONS``."""

    applications = fields.List(
        ApplicationField(),
        required=True,
        validate=[
            validate.Length(FEWEST, MOST, error="Must be {min} to {max} applications."),
            _check_different,
        ],
    )
    days = DaysField()


class OverlapSchema(Schema):
    """Two applications, and the users active in both."""

    applications = fields.List(
        fields.String(), required=True, validate=validate.Length(equal=FEWEST)
    )
    users = CountField()


class UsersAcrossSchema(Schema):
    """Report data of ``USERS_ACROSS_APPLICATIONS``."""

    applications = fields.List(fields.String(), required=True)
    days = fields.Integer(required=True)
    users = CountField()
    users_by_application = fields.Dict(
        fields.String(), CountField(), required=True, data_key="usersByApplication"
    )
    overlaps = fields.List(fields.Nested(OverlapSchema), required=True)


class UsersAcrossApplications(ReportProvider):
    """``USERS_ACROSS_APPLICATIONS``: users of several applications, a person counted once."""

    name = "USERS_ACROSS_APPLICATIONS"
    definition = (
        "Unique users with an activation in any of the applications, whatever its status, last"
        " used in the past given number of days of 24 hours, where the same user id in two"
        " applications is the same user."
    )
    parameters_schema = ApplicationsAndDaysSchema
    data_schema = UsersAcrossSchema
    tables = READ_COLUMNS

    def computations(self, applications: Sequence[str], days: int) -> Sequence[Computation]:
        """Passes that are the same for all who name these applications in whatever order."""
        names = tuple(sorted(applications))
        run = partial(_read_growths, names, kind_by_application)
        return passes(("users across applications", *names), run, days)

    def report_data(
        self, growths: Sequence[Growth], applications: Sequence[str], days: int
    ) -> Mapping[str, Any]:
        """The users of all applications together, of each, and of each pair."""
        kinds = {name: 1 << place for place, name in enumerate(sorted(applications))}
        users = users_by_set(growths, days)

        def active_in_all(names: Sequence[str]) -> int:
            asked = sum(kinds[name] for name in names)
            return sum(number for active_in, number in users.items() if active_in & asked == asked)

        return {
            "applications": applications,
            "days": days,
            "users": sum(users.values()),
            "users_by_application": {name: active_in_all([name]) for name in applications},
            "overlaps": [
                {"applications": pair, "users": active_in_all(pair)}
                for pair in combinations(applications, 2)
            ],
        }


def kind_by_application(activation: Table, ids: Sequence[int]) -> ColumnElement[int]:
    """The kind of an activation of one of these applications, by the place of its application."""
    kinds = {application: 1 << place for place, application in enumerate(ids)}
    return case(kinds, value=activation.c.application_id)


class Standing(IntEnum):
    """What an activation is good for, a kind; a user has the highest of the user's activations."""

    NEVER_USED = 1  # its last use is its creation, whatever its status
    NOT_COMMITTED = 2  # used, but neither ACTIVE, BLOCKED nor REMOVED
    REMOVED = 4  # used, and REMOVED since
    COMMITTED = 8  # used, and ACTIVE or BLOCKED


class LeftOutSchema(Schema):
    """Users left out, each under one reason."""

    removed = CountField()
    not_committed = CountField(data_key="notCommitted")
    never_used = CountField(data_key="neverUsed")


class CommittedUsersSchema(ActiveUsersSchema):
    """Report data of ``COMMITTED_USERS_IN_PAST_DAYS``."""

    users_left_out = fields.Nested(LeftOutSchema, required=True, data_key="usersLeftOut")
    users_in_past_days = CountField(data_key="usersInPastDays")


class CommittedUsersInPastDays(ReportProvider):
    """``COMMITTED_USERS_IN_PAST_DAYS``: users less those who never really used what they have."""

    name = "COMMITTED_USERS_IN_PAST_DAYS"
    definition = (
        "Unique users of the application with an activation that is ACTIVE or BLOCKED, was used"
        " after its creation, and was last used in the past given number of days of 24 hours."
    )
    parameters_schema = ApplicationAndDaysSchema
    data_schema = CommittedUsersSchema
    tables: Mapping[str, Sequence[str]] = {
        "pa_application": ("id", "name"),
        "pa_activation": (
            "application_id",
            "user_id",
            "activation_status",
            "timestamp_created",
            "timestamp_last_used",
        ),
    }

    def computations(self, application: str, days: int) -> Sequence[Computation]:
        """Passes over windows that are wide enough."""
        run = partial(_read_growths, [application], standing_of)
        return passes(("committed users", application), run, days)

    def report_data(
        self, growths: Sequence[Growth], application: str, days: int
    ) -> Mapping[str, Any]:
        """The users counted, those left out by reason, and all together."""
        users = dict.fromkeys(Standing, 0)
        for standings, number in users_by_set(growths, days).items():
            users[max(one for one in Standing if one & standings)] += number
        return {
            "application": application,
            "days": days,
            "users": users[Standing.COMMITTED],
            "users_left_out": {
                one.name.lower(): users[one] for one in Standing if one is not Standing.COMMITTED
            },
            "users_in_past_days": sum(users.values()),
        }


def standing_of(activation: Table, _: Sequence[int] = ()) -> ColumnElement[int]:
    """The standing of an activation, whatever its application."""
    status = activation.c.activation_status
    # Creation writes one instant to both. A use may be written as an earlier time: in autumn the
    # clock goes back.
    never_used = activation.c.timestamp_last_used == activation.c.timestamp_created
    return case(
        (never_used, Standing.NEVER_USED.value),
        (status.in_(_COMMITTED), Standing.COMMITTED.value),
        (status == ActivationStatus.REMOVED.value, Standing.REMOVED.value),
        else_=Standing.NOT_COMMITTED.value,
    )
