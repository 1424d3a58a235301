"""The two reports of PowerAuth's public documentation, and the curve that they are points of."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from marshmallow import Schema, fields, validate
from werkzeug.utils import import_string

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import SNAPSHOT
from flask_powerauth_telemetry.exceptions import UnknownApplication
from flask_powerauth_telemetry.fields import (
    MAXIMUM_DAYS,
    ApplicationField,
    CountField,
    DataSchema,
    DaysField,
)
from flask_powerauth_telemetry.providers import Computation, ReportProvider
from flask_powerauth_telemetry.reports.activity import ActivityProfile, ActivitySource

MONTH_DAYS = 30

_RECORDED = "flask_powerauth_telemetry.history.source:RecordedActivity"


class ApplicationSchema(Schema):
    """Parameters of ``CURRENT_MAU``."""

    application = ApplicationField()


class ApplicationAndDaysSchema(ApplicationSchema):
    """Parameters of ``USERS_IN_PAST_DAYS``."""

    days = DaysField()


class ActiveUsersSchema(DataSchema):
    """Report data of both documented reports."""

    application = fields.String()
    days = fields.Integer()
    users = CountField()


class CurveSchema(DataSchema):
    """Report data of ``USERS_BY_PAST_DAYS``."""

    application = fields.String()
    users = fields.List(CountField(), validate=validate.Length(equal=MAXIMUM_DAYS))


class ActiveUsersProvider(ReportProvider):
    """The part that these reports have in common: a window, of 30 days where callers choose none.

    With ``strict_application`` False, an application that doesn't exist has no users, as
    PowerAuth Server answers; otherwise it is an error. ``source`` is where the numbers come from.
    """

    data_schema: type[Schema] = ActiveUsersSchema
    pure = True

    def __init__(
        self, *, strict_application: bool = True, source: ActivitySource | None = None
    ) -> None:
        self._strict_application = strict_application
        self._source = source or ActivitySource()
        self.bind = self._source.bind
        self.tables = self._source.tables

    @classmethod
    def from_config(cls, config: TelemetryConfig) -> Self:
        """On the source that is configured."""
        source = import_string(_RECORDED)(config) if config.source == SNAPSHOT else None
        return cls(strict_application=config.strict_application, source=source)

    def computations(self, application: str, days: int = MONTH_DAYS) -> Sequence[Computation]:
        """Profiles that are wide enough."""
        return self._source.profiles(application, days)

    def report_data(
        self, profile: ActivityProfile | None, application: str, days: int = MONTH_DAYS
    ) -> Mapping[str, Any]:
        """The users of the past ``days`` days; without a profile there are none."""
        if profile is None and self._strict_application:
            raise UnknownApplication(application)
        users = profile.users_in_past_days(days) if profile is not None else 0
        return {"application": application, "days": days, "users": users}


class CurrentMau(ActiveUsersProvider):
    """``CURRENT_MAU``: monthly active users, a month being the past 30 days."""

    name = "CURRENT_MAU"
    definition = (
        "Unique users of the application with an activation, whatever its status,"
        " last used in the past 30 days of 24 hours."
    )
    parameters_schema = ApplicationSchema


class UsersInPastDays(ActiveUsersProvider):
    """``USERS_IN_PAST_DAYS``: users active in a window of the caller's choice."""

    name = "USERS_IN_PAST_DAYS"
    definition = (
        "Unique users of the application with an activation, whatever its status,"
        " last used in the past given number of days of 24 hours."
    )
    parameters_schema = ApplicationAndDaysSchema


class UsersByPastDays(ActiveUsersProvider):
    """``USERS_BY_PAST_DAYS``: users active in each window of 1 to 365 days."""

    name = "USERS_BY_PAST_DAYS"
    definition = (
        "For each number of days from 1 to 365, the unique users of the application with an"
        " activation, whatever its status, last used in the past so many days of 24 hours."
    )
    parameters_schema = ApplicationSchema
    data_schema = CurveSchema

    def computations(self, application: str, days: int = MAXIMUM_DAYS) -> Sequence[Computation]:
        """The widest profile."""
        return super().computations(application, days)

    def report_data(
        self, profile: ActivityProfile | None, application: str, days: int = MAXIMUM_DAYS
    ) -> Mapping[str, Any]:
        """The number of users for each window, the first for 1 day."""
        if profile is None:
            raise UnknownApplication(application)
        return {"application": application, "users": profile.users}
