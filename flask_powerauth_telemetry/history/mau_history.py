"""The recorded numbers of each day, out of the history."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from flask_powerauth_telemetry.exceptions import TelemetryError, UnknownApplication
from flask_powerauth_telemetry.fields import ApplicationField, DataSchema, DaysField
from flask_powerauth_telemetry.history.source import CLOCK_TOLERANCE, RecordedReport
from flask_powerauth_telemetry.providers import RECORDED, ReportContext, Result
from flask_powerauth_telemetry.reports.active_users import MONTH_DAYS
from flask_powerauth_telemetry.reports.activity import DAY, ActivityProfile
from flask_powerauth_telemetry.reports.calendar import DayField, day_of, midnight

MAXIMUM_DATES = 3_660
"""How many days one report may cover."""


class DaysAndWindowSchema(Schema):
    """Parameters of ``MAU_HISTORY``; ``first`` and ``last`` are ``from`` and ``to``."""

    application = ApplicationField()
    first = DayField(data_key="from")
    last = DayField(data_key="to")
    days = DaysField(load_default=MONTH_DAYS)

    @validates_schema
    def check_period(self, data: Mapping[str, Any], **_: Any) -> None:
        """Refuse a period that ends before it begins, or is too long."""
        dates = (data["last"] - data["first"]).days + 1
        if not 1 <= dates <= MAXIMUM_DATES:
            after = f"one of the {MAXIMUM_DATES - 1} days after it"
            raise ValidationError(f"Must be the day of from, or {after}.", "to")


class MauHistorySchema(DataSchema):
    """Report data of ``MAU_HISTORY``."""

    application = fields.String()
    first = fields.Date(data_key="from")
    last = fields.Date(data_key="to")
    days = fields.Integer()
    users_by_day = fields.Dict(fields.Date(), fields.Integer())
    missing = fields.List(fields.Date())
    average = fields.Float(allow_none=True)
    maximum = fields.Integer(allow_none=True)


class MauHistory(RecordedReport):
    """``MAU_HISTORY``: what was recorded on each day of ``timezone``, for one window."""

    name = "MAU_HISTORY"
    definition = (
        "For each day of the calendar, the unique users of the application with an activation,"
        " whatever its status, last used in the past given number of days of 24 hours, as recorded"
        " last on that day."
    )
    parameters_schema = DaysAndWindowSchema
    data_schema = MauHistorySchema

    def generate(
        self, context: ReportContext, application: str, first: date, last: date, days: int
    ) -> Result:
        """The number of each day, and what they come to; refuses days that have not begun."""
        if last > day_of(context.now, self._timezone):
            raise TelemetryError(f"The day {last} has not begun")
        profiles = self._profiles(context, application, first, last)
        dates = [first + count * DAY for count in range((last - first).days + 1)]
        users = {day: profiles[day].users_in_past_days(days) for day in dates if day in profiles}
        data = {
            "application": application,
            "first": first,
            "last": last,
            "days": days,
            "users_by_day": users,
            "missing": [day for day in dates if day not in users],
            "average": round(sum(users.values()) / len(users), 2) if users else None,
            "maximum": max(users.values(), default=None),
        }
        newest = max((profile.as_of for profile in profiles.values()), default=None)
        return Result(data, as_of=newest, source=RECORDED)

    def _profiles(
        self, context: ReportContext, application: str, first: date, last: date
    ) -> Mapping[date, ActivityProfile]:
        """The last profile of each day that has one; ``UnknownApplication`` without any ever."""
        self._history.check(context.connection)
        now = context.now + CLOCK_TOLERANCE
        asked = (context.connection, application)
        if self._history.newest(*asked, now) is None:
            self._history.newest_of_any(context.connection, now)
            raise UnknownApplication(application)
        start = midnight(first, self._timezone)
        until = min(midnight(last + DAY, self._timezone) - datetime.resolution, now)
        found: dict[date, ActivityProfile] = {}
        # From the last row of a day straight to the last one before that day.
        while (newest := self._history.newest(*asked, until)) and newest.profile.as_of >= start:
            as_of = newest.profile.as_of
            day = day_of(as_of, self._timezone)
            found[day] = newest.profile
            until = min(midnight(day, self._timezone), as_of) - datetime.resolution
        return found
