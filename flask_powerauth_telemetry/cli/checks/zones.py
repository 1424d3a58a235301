"""Whether the configured time zone is plausible, told from the newest use of an activation."""

from datetime import UTC, datetime, timedelta

from flask_powerauth_telemetry.cli.checks.findings import Finding, Target

_DRIFT = timedelta(minutes=1)
_QUIET = timedelta(hours=1)
_STEP = timedelta(minutes=15)
_WESTERNMOST = timedelta(hours=-12)
_EASTERNMOST = timedelta(hours=14)


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
