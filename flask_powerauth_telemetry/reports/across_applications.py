"""Users across applications: each person once, and how many the applications have in common.

For each user it is enough to know in which of the applications the user was active. That set is a
whole number, a bit for each application: one pass counts the users of each set, and adding up gives
every number of the report.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import combinations
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate
from sqlalchemy import Executable, func, select

from flask_powerauth_telemetry.database.functions import AnyBits
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.fields import ApplicationField, CountField, DaysField
from flask_powerauth_telemetry.providers import Computation, ReportContext, ReportProvider
from flask_powerauth_telemetry.reports.activity import DAY, READ_COLUMNS

FEWEST, MOST = 2, 10
"""How many applications a caller may name."""

UsersBySet = Mapping[frozenset[str], int]
"""How many users were active in exactly these applications, by the set of their names."""


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
        """The one pass, the same for all who name these applications in whatever order."""
        names = tuple(sorted(applications))
        key = ("users across applications", names, days)
        return [Computation(key, partial(_read_users_by_set, names, days))]

    def report_data(
        self, sets: UsersBySet, applications: Sequence[str], days: int
    ) -> Mapping[str, Any]:
        """The users of all applications together, of each, and of each pair."""
        return {
            "applications": applications,
            "days": days,
            "users": sum(sets.values()),
            "users_by_application": {name: _users_of(sets, {name}) for name in applications},
            "overlaps": [
                {"applications": pair, "users": _users_of(sets, pair)}
                for pair in combinations(applications, 2)
            ],
        }


def _users_of(sets: UsersBySet, names: Collection[str]) -> int:
    """The users active in all of these applications, and maybe in others."""
    return sum(users for active_in, users in sets.items() if active_in.issuperset(names))


def _read_users_by_set(names: Sequence[str], days: int, context: ReportContext) -> UsersBySet:
    by_id = {(one := context.application(name)).id: one.name for name in names}
    ids = sorted(by_id)
    start = context.database_time(context.now - days * DAY)
    end = context.database_time(context.now)
    rows = context.connection.execute(sets_statement(context.tables, ids, start, end))
    return {
        frozenset(by_id[one] for one in _members(ids, int(bits))): users for bits, users in rows
    }


def _members(ids: Sequence[int], bits: int) -> Iterator[int]:
    return (application for place, application in enumerate(ids) if bits >> place & 1)


def sets_statement(
    tables: PowerAuthTables, ids: Sequence[int], start: datetime, end: datetime
) -> Executable:
    """Rows of (bits, users): how many users were active in exactly the applications of the bits.

    The bit of value 1 stands for the first of ``ids``, and so on. ``start`` and ``end`` are naive
    times of the database's clock; both belong to the window.
    """
    activation = tables.pa_activation
    bits = AnyBits(*(activation.c.application_id == application for application in ids))
    active_users = (
        select(bits.label("bits"))
        .where(activation.c.application_id.in_(ids))
        .where(activation.c.timestamp_last_used.between(start, end))
        .group_by(activation.c.user_id)
        .subquery("active_users")
    )
    return select(active_users.c.bits, func.count()).group_by(active_users.c.bits)
