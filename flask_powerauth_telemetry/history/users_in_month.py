"""The users of a calendar month, out of the history.

A month is known when a profile was recorded at its end. Otherwise there are bounds for its users,
from profiles recorded at other instants. A profile tells how many users' last use, as of its own
instant, lies in the past so many whole days. Each user who was active in a month has a last use at
its start or later, as of any later instant. Windows are rounded to whole days the way that keeps
a bound true.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from marshmallow import fields, validate

from flask_powerauth_telemetry.exceptions import TelemetryError, UnknownApplication
from flask_powerauth_telemetry.fields import DataSchema
from flask_powerauth_telemetry.history.recording import TOLERANCE
from flask_powerauth_telemetry.history.source import CLOCK_TOLERANCE, RecordedReport
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.providers import RECORDED as RECORDED_SOURCE
from flask_powerauth_telemetry.providers import ReportContext, Result
from flask_powerauth_telemetry.reports.activity import DAY, ActivityProfile
from flask_powerauth_telemetry.reports.calendar import Month, MonthSchema, midnight

ROWS_BESIDE = 48
"""How many rows before the end of a month, and how many after it, bounds are taken from."""

RECORDED, BOUNDED, RUNNING, UNKNOWN = "recorded", "bounded", "running", "unknown"
STATES = (RECORDED, BOUNDED, RUNNING, UNKNOWN)
"""What is known of a month: its number, bounds, less as it is not over yet, or nothing."""

_HOUR = timedelta(hours=1)


class UsersInMonthSchema(DataSchema):
    """Report data of ``USERS_IN_MONTH``; ``start`` and ``end`` are ``from`` and ``to``."""

    application = fields.String()
    month = fields.String()
    users = fields.Integer(allow_none=True)
    start = fields.AwareDateTime(data_key="from")
    end = fields.AwareDateTime(data_key="to")
    complete = fields.Boolean()
    state = fields.String(validate=validate.OneOf(STATES))
    as_of = fields.AwareDateTime()
    seconds_late = fields.Float()
    hours_left_out = fields.Float()
    lower_bound = fields.Integer(allow_none=True)
    upper_bound = fields.Integer(allow_none=True)


class UsersInMonth(RecordedReport):
    """``USERS_IN_MONTH``: the users of a calendar month of ``timezone``, as was recorded."""

    name = "USERS_IN_MONTH"
    definition = (
        "Unique users of the application with an activation, whatever its status, used in a"
        " calendar month, which is its number of days times 24 hours up to the local midnight"
        " that ends it, as recorded at that midnight."
    )
    parameters_schema = MonthSchema
    data_schema = UsersInMonthSchema

    def generate(self, context: ReportContext, application: str, month: Month) -> Result:
        """The number, or else bounds for it; refuses a month that has not begun."""
        if midnight(month.first_day, self._timezone) > context.now:
            raise TelemetryError(f"The month {month} has not begun")
        self._history.check(context.connection)
        period = month_period(month, self._timezone)
        found = find_profiles(self._history, context, application, period)
        known = known_of_month(month, self._timezone, found, context)
        used = found.nearest(period.end) if known["complete"] else found.newest()
        data = {"application": application, **known}
        return Result(data, as_of=used.as_of, source=RECORDED_SOURCE)


@dataclass(frozen=True)
class Period:
    """A closed interval between two aware instants."""

    start: datetime
    end: datetime

    @property
    def days(self) -> int:
        """Its length in whole days of 24 hours."""
        return (self.end - self.start) // DAY

    def lower_bound(self, profiles: Iterable[ActivityProfile]) -> int | None:
        """The best number of users that were active for sure; None without a fitting profile."""
        numbers = []
        for profile in profiles:
            since_start = min((profile.as_of - self.start) // DAY, len(profile.users))
            since_end = max(-((self.end - profile.as_of) // DAY), 0)
            if since_start >= max(since_end, 1):
                later = profile.users_in_past_days(since_end) if since_end else 0
                numbers.append(profile.users_in_past_days(since_start) - later)
        return max(numbers, default=None)

    def upper_bound(self, profiles: Iterable[ActivityProfile]) -> int | None:
        """The best number that the active users don't exceed; None without a later profile."""
        numbers = []
        for profile in profiles:
            since_start = -((self.start - profile.as_of) // DAY)
            if profile.as_of >= self.end and since_start <= len(profile.users):
                numbers.append(profile.users_in_past_days(since_start))
        return min(numbers, default=None)


@dataclass(frozen=True)
class Found:
    """The profiles recorded next before the end of a month, and next from it on; at least one."""

    before: Sequence[ActivityProfile]
    after: Sequence[ActivityProfile]

    def nearest(self, end: datetime) -> ActivityProfile:
        """The one nearest to the end."""
        return min((*self.before[:1], *self.after[:1]), key=lambda one: abs(one.as_of - end))

    def newest(self) -> ActivityProfile:
        """The newest of all."""
        return max((*self.before[:1], *self.after[-1:]), key=lambda one: one.as_of)


def month_period(month: Month, zone: tzinfo) -> Period:
    """The month's number of days up to the midnight in a zone that ends it."""
    end = midnight(month.end, zone)
    return Period(end - month.days * DAY, end)


def find_profiles(
    history: HistoryStore, context: ReportContext, application: str, period: Period
) -> Found:
    """The profiles beside a month's end; ``UnknownApplication`` where no other one is.

    Raises ``Unavailable`` when nothing was ever recorded, ``DatabaseFault`` for a damaged row.
    """
    now, end = context.now + CLOCK_TOLERANCE, period.end
    asked = (context.connection, application)
    before = history.last(*asked, min(end - datetime.resolution, now), ROWS_BESIDE)
    after = history.within(*asked, [(end, now)], ROWS_BESIDE)
    if not before and not after:
        history.newest_of_any(context.connection, now)
        raise UnknownApplication(application)
    if not any(gives_number(one.profile, period, context) for one in (*before, *after)):
        # Bounds are made of several rows, and the name may have been another application's.
        last = (after or before)[0].application
        before, after = (
            [one for one in rows if one.application == last] for rows in (before, after)
        )
    return Found([one.profile for one in before], [one.profile for one in after])


def gives_number(profile: ActivityProfile, period: Period, context: ReportContext) -> bool:
    """Whether a profile tells the users of a month."""
    is_near = abs(profile.as_of - period.end) <= TOLERANCE
    return is_near and is_whole(profile, context) and not _repeated(period.start, context)


def is_whole(profile: ActivityProfile, context: ReportContext) -> bool:
    """Whether it holds all users: not in the hour that PowerAuth's clock shows again in autumn.

    Then uses of the hour before look later than the profile, which leaves them out.
    """
    return not context.database_time(profile.as_of).fold


def _repeated(edge: datetime, context: ReportContext) -> timedelta:
    """By how much a window may be off whose aware edge is amid what PowerAuth's clock shows twice.

    It is 0 at the beginning and at the end of that, too.
    """
    apart = []
    for instant in (edge - datetime.resolution, edge):
        shown = context.database_time(instant)
        earlier, later = (context.instant(shown.replace(fold=fold)) for fold in (0, 1))
        apart.append(later - earlier)
    return min(apart)


def known_of_month(
    month: Month, zone: tzinfo, found: Found, context: ReportContext
) -> Mapping[str, Any]:
    """All that profiles tell of a month: the fields of ``UsersInMonthSchema`` for one."""
    period = month_period(month, zone)
    nearest = found.nearest(period.end)
    late = nearest.as_of - period.end
    users = lower = upper = None
    is_over = period.end <= context.now
    if is_over and gives_number(nearest, period, context):
        state, users = RECORDED, nearest.users_in_past_days(period.days)
    else:
        at_start, at_end = (_repeated(edge, context) for edge in (period.start, period.end))
        surely_in = Period(period.start + at_start, period.end - at_end)
        maybe_in = Period(period.start - at_start, period.end)
        lower = surely_in.lower_bound((*found.before, *found.after))
        upper = maybe_in.upper_bound(one for one in found.after if is_whole(one, context))
        if lower is not None and upper is not None and lower > upper:
            lower = upper = None  # activations were deleted in between: neither is true for sure
        known = lower is not None or upper is not None
        state = (BOUNDED if known else UNKNOWN) if is_over else RUNNING
    return {
        "month": str(month),
        "users": users,
        "start": period.start.astimezone(zone),
        "end": period.end.astimezone(zone),
        "complete": users is not None,
        "state": state,
        "as_of": nearest.as_of.astimezone(zone),
        "seconds_late": late.total_seconds(),
        "hours_left_out": (period.start - midnight(month.first_day, zone)) / _HOUR,
        "lower_bound": lower,
        "upper_bound": upper,
    }
