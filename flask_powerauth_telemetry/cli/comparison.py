"""Our numbers beside PowerAuth Server's, and what may be the reason for a difference."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from flask_powerauth_telemetry.cli.checks.findings import Target
from flask_powerauth_telemetry.cli.checks.numbers import offset_text
from flask_powerauth_telemetry.cli.counts import users_in_windows
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import DAY, WIDTHS, ActivityProfile, read_profile

EQUAL = "equal"
EXPLAINED = "explained"
DIFFERENT = "different"

_ATTEMPTS = 2
_MOST_ZONES = 10

Ask = Callable[[str, int], int]
"""PowerAuth Server's number for an application's name and a number of days."""


@dataclass(frozen=True)
class Comparison:
    """One application's users in one window: ours before, PowerAuth Server's, ours after."""

    application: str
    days: int
    before: int
    server: int
    after: int

    @property
    def verdict(self) -> str:
        """Equal, explained by the seconds between the two answers, or different."""
        if self.before == self.server == self.after:
            return EQUAL
        low, high = sorted((self.before, self.after))
        return EXPLAINED if low <= self.server <= high else DIFFERENT


def compare(
    target: Target, ask: Ask, application: Application, days: Sequence[int]
) -> list[Comparison]:
    """Compare the windows of one application; what differs is asked for once more."""
    for _ in range(_ATTEMPTS):
        before = _profile(target, application, max(days))
        answers = [ask(application.name, window) for window in days]
        after = _profile(target, application, max(days))
        found = [
            Comparison(
                application.name,
                window,
                before.users_in_past_days(window),
                answer,
                after.users_in_past_days(window),
            )
            for window, answer in zip(days, answers, strict=True)
        ]
        if all(one.verdict != DIFFERENT for one in found):
            break
    return found


def _profile(target: Target, application: Application, days: int) -> ActivityProfile:
    width = min(width for width in WIDTHS if width >= days)
    with ReportContext(target.database, target.state.clock()) as context:
        return read_profile(context, application, width)


def hints(
    target: Target, applications: Sequence[Application], compared: Sequence[Comparison]
) -> Iterator[str]:
    """What may be the reason for the differences, if there are any, the likely ones first.

    They are those of the first application that differs: one is enough to find the reason.
    """
    name = next((one.application for one in compared if one.verdict == DIFFERENT), None)
    if name is None:
        return
    windows = [one for one in compared if one.application == name]
    (application,) = (one for one in applications if one.name == name)
    if zones := _fitting_zones(target, application, windows):
        yield (
            f"{name}: in every window our number is PowerAuth Server's in the zone"
            f" {_listed(zones, target.state.clock())}: set {target.key('timezone')} to that of"
            " PowerAuth's JVM"
        )
    others = [one.name for one in applications if _folded(one.name) == _folded(name)]
    if len(others) > 1:
        yield (
            f"{name}: {', '.join(repr(other) for other in others)} differ in case or blanks alone;"
            " on a database that ignores these, PowerAuth Server counts them together"
        )
    if all(one.server == 0 for one in windows):
        yield f"{name}: PowerAuth Server answers 0 for an application that it doesn't know"
    yield (
        f"{name}: is it the PowerAuth Server of this very database,"
        " and is the database no replica that lags behind?"
    )


def _fitting_zones(
    target: Target, application: Application, compared: Sequence[Comparison]
) -> Sequence[str]:
    """The zones in which all windows fit best, UTC first; none if that is ours, or they don't.

    Logins go on meanwhile, so a tenth of all differences may remain.
    """
    own = target.database.timezone
    zones: dict[str, tzinfo] = {name: ZoneInfo(name) for name in _zone_names()} | {str(own): own}
    misses = dict.fromkeys(zones, 0)
    for one in compared:
        with ReportContext(target.database, target.state.clock()) as context:
            now, start = context.now, context.now - one.days * DAY
            windows = {name: (_wall(start, zone), _wall(now, zone)) for name, zone in zones.items()}
            users = users_in_windows(context, application, sorted({*windows.values()}))
        for name, window in windows.items():
            misses[name] += abs(users[window] - one.server)
    least = min(misses.values())
    allowed = sum(abs(one.after - one.server) for one in compared) / 10
    if least > allowed or misses[str(own)] == least:
        return []
    fitting = (name for name in zones if misses[name] == least)
    return sorted(fitting, key=lambda name: (name != "UTC", name))


def _listed(zones: Sequence[str], instant: datetime) -> str:
    """The names of a few zones, or some of many with the offsets of all at an aware instant."""
    if len(zones) <= _MOST_ZONES:
        return " or ".join(zones)
    offsets = {instant.astimezone(ZoneInfo(name)).utcoffset() or timedelta(0) for name in zones}
    ends = dict.fromkeys(offset_text(offset) for offset in (min(offsets), max(offsets)))
    others = f"{len(zones) - _MOST_ZONES} others, at {' to '.join(ends)}"
    return " or ".join([*zones[:_MOST_ZONES], others])


def _zone_names() -> Iterator[str]:
    """The zones of the tz database that are places, and UTC."""
    yield "UTC"
    for name in available_timezones():
        if "/" in name and name.partition("/")[0] not in ("Etc", "SystemV", "posix", "right"):
            yield name


def _wall(instant: datetime, zone: tzinfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def _folded(name: str) -> str:
    return name.casefold().rstrip()
