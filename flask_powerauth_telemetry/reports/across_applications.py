"""Users across applications: each person once, and how many the applications have in common.

For each user it is enough to know in which of the applications the user was active. One pass counts
the users of each set of applications, and adding up gives every number of the report.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate
from sqlalchemy import ColumnElement, Table, case

from flask_powerauth_telemetry.fields import ApplicationField, CountField, DataSchema, DaysField
from flask_powerauth_telemetry.providers import Computation, ReportProvider
from flask_powerauth_telemetry.reports.activity import READ_COLUMNS, passes
from flask_powerauth_telemetry.reports.kinds import Growth, read_growths, users_by_set

FEWEST, MOST = 2, 10
"""How many applications a caller may name."""


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


class OverlapSchema(DataSchema):
    """Two applications, and the users active in both."""

    applications = fields.List(fields.String(), validate=validate.Length(equal=FEWEST))
    users = CountField()


class UsersAcrossSchema(DataSchema):
    """Report data of ``USERS_ACROSS_APPLICATIONS``."""

    applications = fields.List(fields.String())
    days = fields.Integer()
    users = CountField()
    users_by_application = fields.Dict(fields.String(), CountField())
    overlaps = fields.List(fields.Nested(OverlapSchema))


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
        run = partial(read_growths, names, kind_by_application)
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
