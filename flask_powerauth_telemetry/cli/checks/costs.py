"""What a pass costs on this database, and what reports can cost a minute at worst."""

import time
from collections.abc import Iterator, Sequence

from flask_powerauth_telemetry.cli.checks.findings import Finding, Target, cause_of, duration
from flask_powerauth_telemetry.cli.checks.postgresql import Size, estimated_size
from flask_powerauth_telemetry.cli.checks.zones import judge_zone
from flask_powerauth_telemetry.cli.counts import Seen, run_pass
from flask_powerauth_telemetry.config.values import SNAPSHOT
from flask_powerauth_telemetry.exceptions import TelemetryError, TooSlow
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import WIDTHS

_THREADS = 2


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
