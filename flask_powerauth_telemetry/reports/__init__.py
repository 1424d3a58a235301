"""The reports that read PowerAuth's tables, and the table of all further reports."""

from collections.abc import Mapping

_PLACES = {
    "USERS_BY_PAST_DAYS": "reports.active_users:UsersByPastDays",
    "USERS_ACROSS_APPLICATIONS": "reports.across_applications:UsersAcrossApplications",
    "COMMITTED_USERS_IN_PAST_DAYS": "reports.committed_users:CommittedUsersInPastDays",
    "NEW_USERS_IN_PAST_DAYS": "reports.new_users:NewUsersInPastDays",
    "SIGNATURES_IN_PAST_DAYS": "reports.signatures:SignaturesInPastDays",
    "SIGNATURES_IN_MONTH": "history.signatures_in_month:SignaturesInMonth",
    "USERS_BY_STATUS": "reports.users_by_status:UsersByStatus",
    "USERS_IN_MONTH": "history.users_in_month:UsersInMonth",
    "USERS_BY_MONTH": "history.users_by_month:UsersByMonth",
    "MAU_HISTORY": "history.mau_history:MauHistory",
}

FURTHER_REPORTS: Mapping[str, str] = {
    name: f"flask_powerauth_telemetry.{place}" for name, place in _PLACES.items()
}
"""Those that a configuration switches on by name; only these are imported, and made of it."""
