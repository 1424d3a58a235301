"""The users of a calendar month, out of the history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from marshmallow import Schema, fields, validate

from flask_powerauth_telemetry.exceptions import TelemetryError, UnknownApplication
from flask_powerauth_telemetry.fields import ApplicationField
from flask_powerauth_telemetry.history.bounds import Period
from flask_powerauth_telemetry.history.calendar import Month, midnight
from flask_powerauth_telemetry.history.calendar_fields import MonthField
from flask_powerauth_telemetry.history.source import CLOCK_TOLERANCE, newest_of_any
from flask_powerauth_telemetry.history.store import HISTORY_BIND, HistoryStore
from flask_powerauth_telemetry.providers import RECORDED as RECORDED_SOURCE
from flask_powerauth_telemetry.providers import ReportContext, ReportProvider, Result
from flask_powerauth_telemetry.reports.activity import DAY, DEFINITION_VERSION, ActivityProfile

TOLERANCE = timedelta(minutes=5)
"""How far a pass may be from the end of a month and still give its number."""

ROWS_BESIDE = 48
"""How many rows before the end of a month, and how many after it, bounds are taken from."""

RECORDED, BOUNDED, RUNNING, UNKNOWN = "recorded", "bounded", "running", "unknown"
STATES = (RECORDED, BOUNDED, RUNNING, UNKNOWN)
"""What is known of a month: its number, bounds, less as it is not over yet, or nothing."""

_MICROSECOND = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)


class MonthSchema(Schema):
    """Parameters of ``USERS_IN_MONTH``."""

    application = ApplicationField()
    month = MonthField()


class UsersInMonthSchema(Schema):
    """Report data of ``USERS_IN_MONTH``; ``start`` and ``end`` are ``from`` and ``to``."""

    application = fields.String(required=True)
    month = fields.String(required=True)
    users = fields.Integer(required=True, allow_none=True)
    start = fields.AwareDateTime(required=True, data_key="from")
    end = fields.AwareDateTime(required=True, data_key="to")
    complete = fields.Boolean(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    as_of = fields.AwareDateTime(required=True, data_key="asOf")
    seconds_late = fields.Float(required=True, data_key="secondsLate")
    hours_left_out = fields.Float(required=True, data_key="hoursLeftOut")
    lower_bound = fields.Integer(required=True, allow_none=True, data_key="lowerBound")
    upper_bound = fields.Integer(required=True, allow_none=True, data_key="upperBound")


@dataclass(frozen=True)
class _Found:
    """The profiles recorded next before the end of a month, and next from it on; at least one."""

    before: Sequence[ActivityProfile]
    after: Sequence[ActivityProfile]

    def nearest(self, end: datetime) -> ActivityProfile:
        """The one nearest to the end."""
        return min((*self.before[:1], *self.after[:1]), key=lambda one: abs(one.as_of - end))

    def newest(self) -> ActivityProfile:
        """The newest of all."""
        return max((*self.before[:1], *self.after[-1:]), key=lambda one: one.as_of)


class UsersInMonth(ReportProvider):
    """``USERS_IN_MONTH``: the users of a calendar month of ``timezone``, as was recorded."""

    name = "USERS_IN_MONTH"
    definition = (
        "Unique users of the application with an activation, whatever its status, used in a"
        " calendar month, which is its number of days times 24 hours up to the local midnight"
        " that ends it, as recorded at that midnight."
    )
    parameters_schema = MonthSchema
    data_schema = UsersInMonthSchema
    bind = HISTORY_BIND

    def __init__(self, history: HistoryStore, timezone: tzinfo) -> None:
        self._history = history
        self._timezone = timezone

    def generate(self, context: ReportContext, application: str, month: Month) -> Result:
        """The number, or else bounds for it; refuses a month that has not begun."""
        begin = midnight(month.first_day, self._timezone)
        end = midnight(month.following.first_day, self._timezone)
        if begin > context.now:
            raise TelemetryError(f"The month {month} has not begun")
        period = Period(end - month.days * DAY, end)
        found = self._find(context, application, end)
        as_of, users = self._users(context, period, found)
        data = {
            "application": application,
            "month": str(month),
            "start": period.start.astimezone(self._timezone),
            "end": end.astimezone(self._timezone),
            "hours_left_out": (period.start - begin) / _HOUR,
            **users,
        }
        return Result(data, as_of=as_of, source=RECORDED_SOURCE)

    def _find(self, context: ReportContext, application: str, end: datetime) -> _Found:
        """The rows around an instant; raises ``UnknownApplication`` when there are none."""
        connection = context.connection
        self._history.check(connection)
        now = context.now + CLOCK_TOLERANCE
        asked = (connection, application, DEFINITION_VERSION)
        before = self._history.last(*asked, min(end - _MICROSECOND, now), ROWS_BESIDE)
        after = self._history.first(*asked, end, now, ROWS_BESIDE)
        if not before and not after:
            newest_of_any(self._history, context)
            raise UnknownApplication(application)
        return _Found([one.profile for one in before], [one.profile for one in after])

    def _users(
        self, context: ReportContext, period: Period, found: _Found
    ) -> tuple[datetime, Mapping[str, Any]]:
        """The instant of the newest row that it is taken from, and what is known of the number."""
        nearest = found.nearest(period.end)
        late = nearest.as_of - period.end
        data = {
            "as_of": nearest.as_of.astimezone(self._timezone),
            "seconds_late": late.total_seconds(),
        }
        if period.end <= context.now and abs(late) <= TOLERANCE:
            users = nearest.users_in_past_days(period.days)
            return nearest.as_of, {**data, **_known(RECORDED, users)}
        lower = period.lower_bound((*found.before, *found.after))
        upper = period.upper_bound(
            one for one in found.after if not _in_repeated_hour(context, one)
        )
        state = _state(context, period, lower, upper)
        return found.newest().as_of, {**data, **_known(state, None, lower, upper)}


def _state(context: ReportContext, period: Period, *bounds: int | None) -> str:
    if period.end > context.now:
        return RUNNING
    return UNKNOWN if bounds == (None, None) else BOUNDED


def _known(
    state: str, users: int | None, lower: int | None = None, upper: int | None = None
) -> Mapping[str, Any]:
    return {
        "users": users,
        "complete": state == RECORDED,
        "state": state,
        "lower_bound": lower,
        "upper_bound": upper,
    }


def _in_repeated_hour(context: ReportContext, profile: ActivityProfile) -> bool:
    """Whether PowerAuth's clock had shown this time before, an hour ago, in autumn.

    Uses in that first hour look later than this time, so the profile leaves them out.
    """
    return bool(context.database_time(profile.as_of).fold)
