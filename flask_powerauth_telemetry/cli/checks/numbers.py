"""Checks of numbers: what a pass finds and costs, the zone, and PowerAuth Server's own SQL."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from flask_powerauth_telemetry.cli.checks.databases import Size, estimated_size
from flask_powerauth_telemetry.cli.checks.findings import Finding, Target, cause_of, duration
from flask_powerauth_telemetry.cli.counts import Seen, reference_users, run_pass
from flask_powerauth_telemetry.config.values import SNAPSHOT
from flask_powerauth_telemetry.exceptions import TelemetryError, TooSlow
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import WIDTHS, read_profile

_THREADS = 2


WINDOWS = (1, 30, 90, 365)
"""The windows in days that are compared."""


_DRIFT = timedelta(minutes=1)
_QUIET = timedelta(hours=1)
_STEP = timedelta(minutes=15)
_WESTERNMOST = timedelta(hours=-12)
_EASTERNMOST = timedelta(hours=14)


def check_passes(
    target: Target, applications: Sequence[Application], days: int
) -> Iterator[Finding]:
    """How long a pass takes for each application; from the same scans, the zone and the cost."""
    newest, total, failed = None, 0.0, False
    for application in applications:
        started = time.monotonic()
        try:
            seen = _passed(target, application, days)
        except TelemetryError as error:
            yield _failed_pass(target, application, error)
            failed = True
            continue
        seconds = time.monotonic() - started
        total += seconds
        newest = max((time for time in (newest, seen.newest) if time), default=None)
        yield _pass_finding(target, application, days, seen, seconds)
    if not applications:
        yield target.note("pass", "there is no application, so there is nothing to measure")
    elif newest is not None or not failed:
        yield judge_zone(target, newest, target.state.clock())
    if applications and not failed:
        yield _cost_finding(target, len(applications), days, total)


def _passed(target: Target, application: Application, days: int) -> Seen:
    with ReportContext(target.database, target.state.clock()) as context:
        return run_pass(context, application, days)


def _pass_finding(
    target: Target, application: Application, days: int, seen: Seen, seconds: float
) -> Finding:
    text = f"{application.name}: {days} days in {duration(seconds)}, {seen.users} users"
    facts = {
        "application": application.name,
        "days": days,
        "seconds": round(seconds, 3),
        "users": seen.users,
    }
    limit = target.database.time_limit
    if seconds > limit / 2:
        cure = f"{_kinder(target)} The limit of {limit:g} s is near"
        return target.warning("pass", text, cure, **facts)
    return target.ok("pass", text, **facts)


def _failed_pass(target: Target, application: Application, error: TelemetryError) -> Finding:
    limit = target.state.config.key("statement_timeout")
    cure = f"{_kinder(target)} Or raise {limit}"
    return target.error(
        "pass",
        f"{application.name}: {cause_of(error)}",
        cure if isinstance(error, TooSlow) else "See the findings above",
        application=application.name,
    )


def _cost_finding(target: Target, applications: int, days: int, total: float) -> Finding:
    config = target.state.config
    key = config.key("cache_seconds")
    size = _size(target)
    about = f"about {size.rows:,} activations, {size.bytes / 1e6:.0f} MB; " if size else ""
    if config.source == SNAPSHOT:
        return target.ok(
            "cost", f"{about}reports are recorded: requests cost this database nothing"
        )
    passes = len(WIDTHS) * applications
    minute = (
        passes * total / applications * 60 / config.cache_seconds if config.cache_seconds else 0
    )
    facts = {"passes": passes, "secondsAMinute": round(minute, 3)}
    text = (
        f"{about}at worst {passes} passes every {config.cache_seconds:g} s ({key}),"
        f" {len(WIDTHS)} widths for each of {applications} applications"
    )
    if not config.cache_seconds:
        text = f"{about}{key} is 0: callers can keep {_THREADS} passes running all the time"
        return target.warning("cost", text, "Set it to 60", **facts)
    text += f": {duration(minute)} of scanning a minute, by the times for {days} days"
    if minute > 60:
        return target.warning("cost", text, f"{_kinder(target)} Or raise {key}", **facts)
    return target.ok("cost", text, **facts)


def _size(target: Target) -> Size | None:
    if target.dialect != "postgresql":
        return None
    with target.database.connect() as connection:
        return estimated_size(connection, target.database.tables.pa_activation)


def _kinder(target: Target) -> str:
    source = target.state.config.key("source")
    return f"Use a replica, or record reports with {source} = {SNAPSHOT!r}."


def judge_zone(target: Target, newest: datetime | None, now: datetime) -> Finding:
    """What the newest use tells about the zone.

    ``newest`` is a naive time of the database's clock, None without a use in the past days.
    ``now`` is an aware time after it was read.
    """
    if newest is None:
        return target.note("zone", "nothing was used lately, so the zone can't be told")
    here = target.database.wall_clock(now)
    ahead = newest - here
    text = (
        f"the newest use is {newest:%Y-%m-%d %H:%M:%S}, now is {here:%Y-%m-%d %H:%M:%S}"
        f" in {_zone(target, now)}"
    )
    facts = {
        "newestUse": newest.isoformat(),
        "now": here.isoformat(timespec="microseconds"),
        "aheadSeconds": round(ahead.total_seconds(), 3),
    }
    fitting = fitting_offset(newest, now)
    if ahead > _DRIFT:
        key = target.state.config.key("database_timezone")
        cure = f"Set {key} to the zone of PowerAuth's JVM: " + (
            f"now it is at {fitting} or more"
            if fitting
            else "but no zone fits, so look at its clock and at these rows"
        )
        return target.error("zone", f"the zone is wrong: {text}", cure, **facts)
    if ahead >= -_QUIET:
        return target.ok("zone", text, **facts)
    cure = "Fine if nobody logged in since"
    if fitting:
        cure += f"; if people did, the zone is wrong, and now it is at {fitting} or more"
    return target.note("zone", text, cure, **facts)


def fitting_offset(newest: datetime, now: datetime) -> str | None:
    """The least offset from UTC, in quarters of an hour, that puts ``newest`` before ``now``.

    None when no zone on earth has it.
    """
    needed = newest - now.astimezone(UTC).replace(tzinfo=None)
    offset = -(-needed // _STEP) * _STEP
    return offset_text(offset) if _WESTERNMOST <= offset <= _EASTERNMOST else None


def offset_text(offset: timedelta) -> str:
    """An offset from UTC, such as UTC+02:00."""
    sign = "-" if offset < timedelta(0) else "+"
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    return f"UTC{sign}{hours:02}:{minutes:02}"


def _zone(target: Target, now: datetime) -> str:
    zone = target.database.timezone
    offset = now.astimezone(zone).utcoffset() or timedelta(0)
    return f"{zone} ({offset_text(offset)})"


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
