"""Bounds for the users of a period, from profiles recorded at other instants than its end.

A profile tells how many users' last use, as of its own instant, lies in the past so many whole
days. Each user who was active in the period has a last use at its start or later, as of any later
instant. Windows are rounded to whole days the way that keeps the bound true.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from flask_powerauth_telemetry.reports.activity import DAY, ActivityProfile


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
        bounds = [self._at_least(profile) for profile in profiles]
        return max((bound for bound in bounds if bound is not None), default=None)

    def upper_bound(self, profiles: Iterable[ActivityProfile]) -> int | None:
        """The best number that the active users don't exceed; None without a later profile."""
        bounds = [self._at_most(profile) for profile in profiles]
        return min((bound for bound in bounds if bound is not None), default=None)

    def _at_least(self, profile: ActivityProfile) -> int | None:
        since_start = min((profile.as_of - self.start) // DAY, len(profile.users))
        if since_start < 1:
            return None
        users = profile.users_in_past_days(since_start)
        if profile.as_of <= self.end:
            return users
        since_end = -((self.end - profile.as_of) // DAY)
        if since_end > since_start:
            return None
        return users - profile.users_in_past_days(since_end)

    def _at_most(self, profile: ActivityProfile) -> int | None:
        since_start = -((self.start - profile.as_of) // DAY)
        if profile.as_of < self.end or since_start > len(profile.users):
            return None
        return profile.users_in_past_days(since_start)
