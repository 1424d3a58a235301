"""Our numbers against the same numbers counted in PowerAuth Server's way, on one database."""

from collections.abc import Iterator, Mapping, Sequence

from flask_powerauth_telemetry.cli.checks.findings import Finding, Target, cause_of
from flask_powerauth_telemetry.cli.counts import reference_users
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import WIDTHS, read_profile

WINDOWS = (1, 30, 90, 365)
"""The windows in days that are compared."""


def check_numbers(target: Target, applications: Sequence[Application]) -> Iterator[Finding]:
    """Compare each application's numbers, as of one instant, for all windows and widths."""
    for application in applications:
        try:
            with ReportContext(target.database, target.state.clock()) as context:
                yield _compare(target, context, application)
        except TelemetryError as error:
            yield target.error(
                "verify",
                f"{application.name}: {cause_of(error)}",
                "Give it more time with --time-limit",
                application=application.name,
            )


def _compare(target: Target, context: ReportContext, application: Application) -> Finding:
    reference = {days: reference_users(context, application, days) for days in WINDOWS}
    differences = list(_differences(context, application, reference))
    facts = {
        "application": application.name,
        "reference": {str(days): users for days, users in reference.items()},
        "differences": differences,
    }
    if differences:
        told = "; ".join(
            f"{row['days']} days: {row['users']} instead of {row['reference']}"
            f" (by the pass of {row['width']} days)"
            for row in differences
        )
        cure = "Don't bill by these reports, and report this as a bug"
        return target.error("verify", f"{application.name}: {told}", cure, **facts)
    told = ", ".join(f"{users} in {days}" for days, users in reference.items())
    return target.ok(
        "verify", f"{application.name}: the same as PowerAuth Server's SQL ({told} days)", **facts
    )


def _differences(
    context: ReportContext, application: Application, reference: Mapping[int, int]
) -> Iterator[Mapping[str, int]]:
    for width in WIDTHS:
        profile = read_profile(context, application, width)
        for days in (days for days in WINDOWS if days <= width):
            users = profile.users_in_past_days(days)
            if users == reference[days]:
                continue
            # Where statements see different snapshots, logins move the number meanwhile.
            bounds = sorted((reference[days], reference_users(context, application, days)))
            if not bounds[0] <= users <= bounds[1]:
                yield {"width": width, "days": days, "users": users, "reference": reference[days]}
