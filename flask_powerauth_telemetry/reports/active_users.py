"""The two reports of PowerAuth's public documentation."""

from collections.abc import Mapping
from typing import Any, Self

from marshmallow import Schema, fields, validate

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.exceptions import UnknownApplication
from flask_powerauth_telemetry.fields import ApplicationField, DaysField
from flask_powerauth_telemetry.providers import ReportContext, ReportProvider
from flask_powerauth_telemetry.reports.activity import (
    ActivitySource,
    LiveActivity,
    activity_source,
)

MONTH_DAYS = 30
_AT_LEAST_ZERO = validate.Range(0)


class ApplicationSchema(Schema):
    """Parameters of ``CURRENT_MAU``."""

    application = ApplicationField()


class ApplicationAndDaysSchema(ApplicationSchema):
    """Parameters of ``USERS_IN_PAST_DAYS``."""

    days = DaysField()


class ActiveUsersSchema(Schema):
    """Report data of both."""

    application = fields.String(required=True)
    days = fields.Integer(required=True, strict=True)
    users = fields.Integer(required=True, strict=True, validate=_AT_LEAST_ZERO)


class ActiveUsersProvider(ReportProvider):
    """The part that both reports have in common.

    With ``strict_application`` False, an application that doesn't exist has no users, as
    PowerAuth Server answers; otherwise it is an error. ``source`` is where the numbers come from.
    """

    data_schema = ActiveUsersSchema

    def __init__(
        self, *, strict_application: bool = True, source: ActivitySource | None = None
    ) -> None:
        self._strict_application = strict_application
        self._source = source or LiveActivity()
        self.bind = self._source.bind
        self.tables = self._source.tables

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """On the source that is configured."""
        return cls(strict_application=config.strict_application, source=activity_source(config))

    def active_users(self, context: ReportContext, application: str, days: int) -> dict[str, Any]:
        """The report data for a window of ``days`` days."""
        try:
            profile = self._source.profile(context, application, days)
            users = profile.users_in_past_days(days)
        except UnknownApplication:
            if self._strict_application:
                raise
            users = 0
        return {"application": application, "days": days, "users": users}


class CurrentMau(ActiveUsersProvider):
    """``CURRENT_MAU``: monthly active users, a month being the past 30 days."""

    name = "CURRENT_MAU"
    definition = (
        "Unique users of the application with an activation, whatever its status,"
        " last used in the past 30 days of 24 hours."
    )
    parameters_schema = ApplicationSchema

    def generate(self, context: ReportContext, application: str) -> Mapping[str, Any]:
        """The users of the past 30 days."""
        return self.active_users(context, application, MONTH_DAYS)


class UsersInPastDays(ActiveUsersProvider):
    """``USERS_IN_PAST_DAYS``: users active in a window of the caller's choice."""

    name = "USERS_IN_PAST_DAYS"
    definition = (
        "Unique users of the application with an activation, whatever its status,"
        " last used in the past given number of days of 24 hours."
    )
    parameters_schema = ApplicationAndDaysSchema

    def generate(self, context: ReportContext, application: str, days: int) -> Mapping[str, Any]:
        """The users of the past ``days`` days."""
        return self.active_users(context, application, days)
