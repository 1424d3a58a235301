"""The further reports that come with the package; a configuration switches them on by name."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo

from flask_powerauth_telemetry.history.mau_history import MauHistory
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.history.users_by_month import UsersByMonth
from flask_powerauth_telemetry.history.users_in_month import UsersInMonth
from flask_powerauth_telemetry.providers import ReportProvider
from flask_powerauth_telemetry.reports.across_applications import UsersAcrossApplications
from flask_powerauth_telemetry.reports.activity import ActivitySource
from flask_powerauth_telemetry.reports.committed_users import CommittedUsersInPastDays
from flask_powerauth_telemetry.reports.curve import UsersByPastDays
from flask_powerauth_telemetry.reports.new_users import NewUsersInPastDays
from flask_powerauth_telemetry.reports.signatures import SignaturesInPastDays


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What further reports are made with.

    ``activity`` is where the documented reports take profiles from, ``history`` the store of what
    was recorded, ``timezone`` the zone whose calendar days and months reports go by.
    """

    activity: ActivitySource
    history: HistoryStore
    timezone: tzinfo


OFFERS: Mapping[str, Callable[[Ingredients], ReportProvider]] = {
    UsersByPastDays.name: lambda given: UsersByPastDays(given.activity),
    UsersAcrossApplications.name: lambda given: UsersAcrossApplications(),
    CommittedUsersInPastDays.name: lambda given: CommittedUsersInPastDays(),
    NewUsersInPastDays.name: lambda given: NewUsersInPastDays(),
    SignaturesInPastDays.name: lambda given: SignaturesInPastDays(),
    UsersInMonth.name: lambda given: UsersInMonth(given.history, given.timezone),
    UsersByMonth.name: lambda given: UsersByMonth(given.history, given.timezone),
    MauHistory.name: lambda given: MauHistory(given.history, given.timezone),
}
"""How each report is made."""


def offered_reports(names: Iterable[str], given: Ingredients) -> Iterator[ReportProvider]:
    """The reports of these names; raises ``LookupError`` for one that is not offered."""
    for name in names:
        if name not in OFFERS:
            raise LookupError(f"there is no further report {name!r}")
        yield OFFERS[name](given)
