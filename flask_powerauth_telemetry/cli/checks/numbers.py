"""Checks of numbers: what a pass finds and costs, the zone, and PowerAuth Server's own SQL."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from marshmallow import fields

from flask_powerauth_telemetry.cli.checks.databases import (
    CLOCK_TOLERANCE_SECONDS,
    NOT_COPIED,
    estimated_size,
)
from flask_powerauth_telemetry.cli.checks.findings import Finding, Target, cause_of, duration
from flask_powerauth_telemetry.cli.checks.reports import example_parameters, lengths_of
from flask_powerauth_telemetry.cli.counts import Seen, reference_users, run_pass
from flask_powerauth_telemetry.config.values import SNAPSHOT
from flask_powerauth_telemetry.exceptions import TelemetryError, TooSlow
from flask_powerauth_telemetry.fields import MAXIMUM_DAYS, ApplicationField, load_parameters
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.registry import RegisteredReport
from flask_powerauth_telemetry.reports.activity import WIDTHS, read_profile
from flask_powerauth_telemetry.service import read_clock

WINDOWS = (1, 30, 90, 365)
"""The windows in days that are compared."""

_THREADS = 2
_DRIFT = timedelta(minutes=1)
_QUIET = timedelta(hours=1)
_STEP = timedelta(minutes=15)
_WESTERNMOST = timedelta(hours=-12)
_EASTERNMOST = timedelta(hours=14)


def check_passes(
    target: Target, applications: Sequence[Application], days: int
) -> Iterator[Finding]:
    """How long a pass takes for each application; from the same scans, the zone and the cost."""
    seen: list[Seen] = []
    for application in applications:
        try:
            with ReportContext(target.database, target.state.clock()) as context:
                one = run_pass(context, application, days, target.state.clock)
        except TelemetryError as error:
            mend = f"mend what {target.state.config.key('tables')} names"
            raised = f"{_kinder(target)} Or raise {target.key('statement_timeout')}"
            cure = raised if isinstance(error, TooSlow) else f"See the findings above, or {mend}"
            text = f"{application.name}: {cause_of(error)}"
            yield target.error(text, cure, application=application.name)
            continue
        seen.append(one)
        yield _pass_finding(target, application, days, one)
    if not seen:
        return
    if not any(one.users for one in seen):
        names = ", ".join(application.name for application in applications)
        text = f"0 users in {days} days in each of: {names}"
        yield target.warning(text, NOT_COPIED)
    newest = max((one.newest for one in seen if one.newest), default=None)
    yield _judge_zone(replace(target, check="zone"), newest, target.state.clock())
    if len(seen) == len(applications):
        average = sum(one.seconds for one in seen) / len(seen)
        yield _cost_finding(replace(target, check="cost"), applications, average, days)


def _pass_finding(target: Target, application: Application, days: int, seen: Seen) -> Finding:
    text = f"{application.name}: {days} days in {duration(seen.seconds)}, {seen.users} users"
    facts = {
        "application": application.name,
        "days": days,
        "seconds": round(seen.seconds, 3),
        "users": seen.users,
        "ahead": seen.ahead,
    }
    limit = target.database.time_limit
    if seen.ahead:
        text += f"; {seen.ahead} more activations were used later than now, and don't count"
        cure = "See the line of the zone; if that is right, a clock was wrong, or rows were altered"
        if seen.seconds_ahead <= CLOCK_TOLERANCE_SECONDS:
            return target.note(text, "The clocks differ a little", **facts)
        return target.warning(text, cure, **facts)
    if seen.seconds > limit / 2:
        cure = f"{_kinder(target)} The limit of {limit:g} s is near"
        return target.warning(text, cure, **facts)
    return target.ok(text, **facts)


def _cost_finding(
    target: Target, applications: Sequence[Application], seconds: float, days: int
) -> Finding:
    """What callers can have made of this database, if each pass takes so many ``seconds``."""
    config = target.state.config
    with target.database.connect() as connection:
        about = estimated_size(connection, target.database.tables.pa_activation)
    if not target.reports and target.is_recorded:
        return target.ok(f"{about}reports are recorded: requests cost this database nothing")
    passes = _passes(target, [application.name for application in applications])
    number = sum(times for times, _ in passes)
    shortest = min((keep for _, keep in passes), default=math.inf)
    key = config.key("cache_seconds")
    if shortest == 0:
        text = f"{about}{key} is 0: callers can keep {_THREADS} passes running all the time"
        return target.warning(text, "Set it to 60", passes=number)
    minute = min(seconds * sum(times * 60 / keep for times, keep in passes), _THREADS * 60)
    facts = {"passes": number, "secondsAMinute": round(minute, 3)}
    text = (
        f"{about}at worst {number:,} passes every {shortest:g} s ({key}) for all reports and"
        f" applications: {duration(minute)} of scanning a minute, by the times for {days} days"
    )
    if minute > 60:
        return target.warning(text, f"{_kinder(target)} Or raise {key}", **facts)
    return target.ok(text, **facts)


def _passes(target: Target, names: Sequence[str]) -> Sequence[tuple[int, float]]:
    """What callers can have computed, each as (how many times, the seconds that it is kept).

    Callers may ask for each number of days. What one computation answers is counted once.
    """
    keep_seconds: dict[Hashable, float] = {}
    times: dict[Hashable, int] = {}
    today = read_clock(target.state.clock).date()
    for report in target.reports:
        keep = report.provider.keep_seconds
        keep = target.state.config.cache_seconds if keep is None else keep
        for days in range(1, MAXIMUM_DAYS + 1):
            parameters = example_parameters(report, names, today, days)
            loaded = load_parameters(report.parameters_schema, parameters)
            if loaded.error is None:
                key = report.computations(loaded.values)[0].key
                keep_seconds[key] = min(keep, keep_seconds.get(key, keep))
                times[key] = _choices_of_applications(report, len(names))
    return [(times[key], keep) for key, keep in keep_seconds.items()]


def _choices_of_applications(report: RegisteredReport, count: int) -> int:
    """How many choices of applications, of so many, a caller has."""
    choices = 1
    for field in report.parameters_schema.load_fields.values():
        if isinstance(field, ApplicationField):
            choices *= count
        elif isinstance(field, fields.List) and isinstance(field.inner, ApplicationField):
            fewest, most = lengths_of(field)
            choices *= sum(math.comb(count, size) for size in range(fewest, min(most, count) + 1))
    return choices


def _kinder(target: Target) -> str:
    source = target.state.config.key("source")
    return f"Use a replica, or record reports with {source} = {SNAPSHOT!r}."


def _judge_zone(target: Target, newest: datetime | None, now: datetime) -> Finding:
    """What the newest use tells about the zone.

    ``newest`` is a naive time of the database's clock, None without a use in the past days.
    ``now`` is an aware time after it was read.
    """
    if newest is None:
        return target.note("nothing was used lately, so the zone can't be told")
    here = target.database.wall_clock(now)
    ahead = newest - here
    zone = target.database.timezone
    offset = now.astimezone(zone).utcoffset() or timedelta(0)
    text = (
        f"the newest use is {newest:%Y-%m-%d %H:%M:%S}, now is {here:%Y-%m-%d %H:%M:%S}"
        f" in {zone} ({offset_text(offset)})"
    )
    facts = {
        "newestUse": newest.isoformat(),
        "now": here.isoformat(timespec="microseconds"),
        "aheadSeconds": round(ahead.total_seconds(), 3),
    }
    fitting = fitting_offset(newest, now)
    if ahead > _DRIFT:
        key = target.key("timezone")
        hint = "but no zone fits, so look at its clock and at these rows"
        if fitting:
            hint = f"now it is at {fitting} or more"
        cure = f"Set {key} to the zone of PowerAuth's JVM: {hint}"
        return target.error(f"the zone is wrong: {text}", cure, **facts)
    if ahead >= -_QUIET:
        return target.ok(text, **facts)
    cure = "Fine if nobody logged in since; if people did, this copy is no longer fed"
    if fitting:
        cure += f", or the zone is wrong, and now it is at {fitting} or more"
    return target.note(text, cure, **facts)


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


def check_numbers(target: Target, applications: Sequence[Application]) -> Iterator[Finding]:
    """Compare each application's numbers, as of one instant, for all windows and widths."""
    for application in applications:
        try:
            with ReportContext(target.database, target.state.clock()) as context:
                yield _compare(target, context, application)
        except TelemetryError as error:
            text = f"{application.name}: {cause_of(error)}"
            cure = "Give it more time with --time-limit"
            yield target.error(text, cure, application=application.name)


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
        return target.error(f"{application.name}: {told}", cure, **facts)
    told = ", ".join(f"{users} in {days}" for days, users in reference.items())
    text = f"{application.name}: the same as PowerAuth Server's SQL ({told} days)"
    return target.ok(text, **facts)


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
