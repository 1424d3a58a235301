"""The users of a year's months, out of the history."""

from collections.abc import Sequence

from marshmallow import fields

from flask_powerauth_telemetry.fields import DataSchema
from flask_powerauth_telemetry.history.recording import TOLERANCE
from flask_powerauth_telemetry.history.source import CLOCK_TOLERANCE, RecordedReport
from flask_powerauth_telemetry.history.users_in_month import (
    Found,
    UsersInMonthSchema,
    find_profiles,
    gives_number,
    known_of_month,
    month_period,
)
from flask_powerauth_telemetry.providers import RECORDED, ReportContext, Result
from flask_powerauth_telemetry.reports.active_users import ApplicationSchema
from flask_powerauth_telemetry.reports.calendar import Month, day_of

MONTHS = 12
"""How many months that are over the report holds, beside the one that is running."""


class KnownMonthSchema(UsersInMonthSchema):
    """One of the months of ``USERS_BY_MONTH``: what ``USERS_IN_MONTH`` tells of it."""

    class Meta:
        """The application stands beside the months."""

        exclude = ("application",)


class UsersByMonthSchema(DataSchema):
    """Report data of ``USERS_BY_MONTH``."""

    application = fields.String()
    average = fields.Float(allow_none=True)
    maximum = fields.Integer(strict=True, allow_none=True)
    months = fields.List(fields.Nested(KnownMonthSchema))
    missing = fields.List(fields.String())


class UsersByMonth(RecordedReport):
    """``USERS_BY_MONTH``: the users of the months of ``timezone`` up to now, as was recorded."""

    name = "USERS_BY_MONTH"
    definition = (
        "For each of the twelve calendar months that ended last, and for the running one, the"
        " unique users of the application with an activation, whatever its status, used in that"
        " month, which is its number of days times 24 hours up to the local midnight that ends it,"
        " as recorded at that midnight."
    )
    parameters_schema = ApplicationSchema
    data_schema = UsersByMonthSchema

    def generate(self, context: ReportContext, application: str) -> Result:
        """The months, the oldest first, and what those that have a number come to."""
        self._history.check(context.connection)
        months = [Month.of(day_of(context.now, self._timezone))]
        while len(months) <= MONTHS:
            months.insert(0, months[0].preceding)
        found = self._find(context, application, months)
        known = [
            known_of_month(month, self._timezone, profiles, context)
            for month, profiles in zip(months, found, strict=True)
        ]
        users = [one["users"] for one in known if one["complete"]]
        data = {
            "application": application,
            "average": round(sum(users) / len(users), 2) if users else None,
            "maximum": max(users, default=None),
            "months": known,
            "missing": [one["month"] for one in known[:-1] if not one["complete"]],
        }
        return Result(data, as_of=found[-1].newest().as_of, source=RECORDED)

    def _find(
        self, context: ReportContext, application: str, months: Sequence[Month]
    ) -> Sequence[Found]:
        """The profiles beside the end of each month, as ``find_profiles`` gives them.

        Those at ends that were recorded come by one statement. Ends without one share what is
        beside them, as long as there is no row between them.
        """
        periods = [month_period(month, self._timezone) for month in months]
        now = context.now + CLOCK_TOLERANCE
        ends = [period.end for period in periods[:-1]]
        spans = [(end - TOLERANCE, min(end + TOLERANCE, now)) for end in ends]
        asked = (context.connection, application)
        at_ends = [one.profile for one in self._history.within(*asked, spans)]
        found: list[Found] = []
        gap: Found | None = None
        for period in periods:
            near = [one for one in at_ends if gives_number(one, period, context)]
            if near:
                before = [one for one in reversed(near) if one.as_of < period.end]
                found.append(Found(before, [one for one in near if one.as_of >= period.end]))
                continue
            if gap is None or any(one.as_of < period.end for one in gap.after[:1]):
                gap = find_profiles(self._history, context, application, period)
            found.append(gap)
        return found
