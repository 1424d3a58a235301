"""The reports that read PowerAuth's tables, and the table of all further reports."""

from collections.abc import Mapping

FURTHER_REPORTS: Mapping[str, str] = {
    "USERS_BY_PAST_DAYS": "flask_powerauth_telemetry.reports.active_users:UsersByPastDays",
    "USERS_ACROSS_APPLICATIONS": (
        "flask_powerauth_telemetry.reports.across_applications:UsersAcrossApplications"
    ),
    "COMMITTED_USERS_IN_PAST_DAYS": (
        "flask_powerauth_telemetry.reports.committed_users:CommittedUsersInPastDays"
    ),
    "NEW_USERS_IN_PAST_DAYS": "flask_powerauth_telemetry.reports.new_users:NewUsersInPastDays",
    "SIGNATURES_IN_PAST_DAYS": "flask_powerauth_telemetry.reports.signatures:SignaturesInPastDays",
    "SIGNATURES_IN_MONTH": (
        "flask_powerauth_telemetry.history.signatures_in_month:SignaturesInMonth"
    ),
    "USERS_BY_STATUS": "flask_powerauth_telemetry.reports.users_by_status:UsersByStatus",
    "USERS_IN_MONTH": "flask_powerauth_telemetry.history.users_in_month:UsersInMonth",
    "USERS_BY_MONTH": "flask_powerauth_telemetry.history.users_by_month:UsersByMonth",
    "MAU_HISTORY": "flask_powerauth_telemetry.history.mau_history:MauHistory",
}
"""Those that a configuration switches on by name; only these are imported, and made of it."""
