"""The whole curve of active users, for every window at once."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from marshmallow import Schema, fields, validate

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.exceptions import UnknownApplication
from flask_powerauth_telemetry.fields import MAXIMUM_DAYS, CountField
from flask_powerauth_telemetry.providers import Computation, ReportProvider
from flask_powerauth_telemetry.reports.active_users import ApplicationSchema
from flask_powerauth_telemetry.reports.activity import (
    ActivityProfile,
    ActivitySource,
    activity_source,
)


class CurveSchema(Schema):
    """Report data of ``USERS_BY_PAST_DAYS``."""

    application = fields.String(required=True)
    users = fields.List(CountField(), required=True, validate=validate.Length(equal=MAXIMUM_DAYS))


class UsersByPastDays(ReportProvider):
    """``USERS_BY_PAST_DAYS``: users active in each window of 1 to 365 days.

    ``source`` is where the documented reports take their numbers from, so both agree.
    """

    name = "USERS_BY_PAST_DAYS"
    definition = (
        "For each number of days from 1 to 365, the unique users of the application with an"
        " activation, whatever its status, last used in the past so many days of 24 hours."
    )
    parameters_schema = ApplicationSchema
    data_schema = CurveSchema
    pure = True

    def __init__(self, source: ActivitySource) -> None:
        self._source = source
        self.bind = source.bind
        self.tables = source.tables

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """On the source that is configured."""
        return cls(activity_source(config))

    def computations(self, application: str) -> Sequence[Computation]:
        """The widest profile."""
        return self._source.profiles(application, MAXIMUM_DAYS)

    def report_data(self, profile: ActivityProfile | None, application: str) -> Mapping[str, Any]:
        """The number of users for each window, the first for 1 day."""
        if profile is None:
            raise UnknownApplication(application)
        return {"application": application, "users": profile.users}
