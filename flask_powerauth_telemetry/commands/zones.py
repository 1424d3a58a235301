"""Whether the configured time zone is plausible, told from the newest use of an activation."""

from datetime import UTC, datetime, timedelta

from flask_powerauth_telemetry.commands.findings import Finding, Target

_DRIFT = timedelta(minutes=1)
_QUIET = timedelta(hours=1)
_STEP = timedelta(minutes=15)
_WIDEST = timedelta(hours=26)


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
        cure = f"Set {target.state.config.key('database_timezone')} to the zone of PowerAuth's JVM"
        if abs(ahead) <= _WIDEST:
            cure += f": at least {fitting} now would fit"
        return target.error("zone", f"the zone is wrong: {text}", cure, **facts)
    if ahead >= -_QUIET:
        return target.ok("zone", text, **facts)
    cure = "Fine if nobody logged in since"
    if abs(ahead) <= _WIDEST:
        cure += f"; on a busy system the zone is wrong, one at {fitting} now would fit"
    return target.note("zone", text, cure, **facts)


def fitting_offset(newest: datetime, now: datetime) -> str:
    """The least offset from UTC, in quarters of an hour, that puts ``newest`` before ``now``."""
    needed = newest - now.astimezone(UTC).replace(tzinfo=None)
    return offset_text(-(-needed // _STEP) * _STEP)


def offset_text(offset: timedelta) -> str:
    """An offset from UTC, such as UTC+02:00."""
    sign = "-" if offset < timedelta(0) else "+"
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    return f"UTC{sign}{hours:02}:{minutes:02}"


def _zone(target: Target, now: datetime) -> str:
    zone = target.database.timezone
    offset = now.astimezone(zone).utcoffset() or timedelta(0)
    return f"{zone} ({offset_text(offset)})"
