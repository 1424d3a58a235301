"""Our numbers beside PowerAuth Server's, and what may be the reason for a difference."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_powerauth_telemetry.cli.checks.numbers import offset_text
from flask_powerauth_telemetry.cli.counts import SHIFTS, shifted_users
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import WIDTHS, ActivityProfile, read_profile
from flask_powerauth_telemetry.service import Clock

EQUAL = "equal"
EXPLAINED = "explained"
DIFFERENT = "different"

_ATTEMPTS = 2

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
    database: Database, clock: Clock, ask: Ask, application: Application, days: Sequence[int]
) -> list[Comparison]:
    """Compare the windows of one application; what differs is asked for once more."""
    for _ in range(_ATTEMPTS):
        before = _profile(database, clock, application, max(days))
        answers = [ask(application.name, window) for window in days]
        after = _profile(database, clock, application, max(days))
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


def _profile(
    database: Database, clock: Clock, application: Application, days: int
) -> ActivityProfile:
    width = min(width for width in WIDTHS if width >= days)
    with ReportContext(database, clock()) as context:
        return read_profile(context, application, width)


def hints(
    database: Database,
    clock: Clock,
    applications: Sequence[Application],
    differing: Sequence[Comparison],
    timezone_key: str,
) -> Iterator[str]:
    """What may be the reason for the differences of one application, the likely ones first."""
    name = differing[0].application
    (application,) = (one for one in applications if one.name == name)
    hours = _fitting_hours(database, clock, application, differing)
    if hours is not None:
        yield (
            f"{name}: our number is PowerAuth Server's when the zone is moved by {hours:+} h:"
            f" set {timezone_key} to one that is at {_moved_offset(database, clock(), hours)} now"
        )
    others = [one.name for one in applications if _folded(one.name) == _folded(name)]
    if len(others) > 1:
        yield (
            f"{name}: {', '.join(repr(other) for other in others)} differ in case or blanks alone;"
            " on a database that ignores these, PowerAuth Server counts them together"
        )
    if all(one.server == 0 for one in differing):
        yield f"{name}: PowerAuth Server answers 0 for an application that it doesn't know"
    yield (
        f"{name}: is it the PowerAuth Server of this very database,"
        " and is the database no replica that lags behind?"
    )


def _fitting_hours(
    database: Database, clock: Clock, application: Application, differing: Sequence[Comparison]
) -> int | None:
    """By how many hours to move the zone, so that all windows fit best; None if they don't.

    Logins go on meanwhile, so a tenth of all differences may remain.
    """
    misses = dict.fromkeys(SHIFTS, 0)
    for one in differing:
        with ReportContext(database, clock()) as context:
            users = shifted_users(context, application, one.days)
        for hours in SHIFTS:
            misses[hours] += abs(users[hours] - one.server)
    best = min(SHIFTS, key=lambda hours: (misses[hours], abs(hours)))
    allowed = sum(abs(one.after - one.server) for one in differing) / 10
    return best if best != 0 and misses[best] <= allowed else None


def _moved_offset(database: Database, now: datetime, hours: int) -> str:
    offset = now.astimezone(database.timezone).utcoffset() or timedelta(0)
    return offset_text(offset + timedelta(hours=hours))


def _folded(name: str) -> str:
    return name.casefold().rstrip()
