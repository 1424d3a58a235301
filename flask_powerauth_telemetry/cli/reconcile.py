"""``flask telemetry reconcile``: PowerAuth Server's own answers beside ours."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, tzinfo
from typing import IO, Any
from zoneinfo import ZoneInfo, available_timezones

import click

from flask_powerauth_telemetry.cli.checks.findings import Target, cause_of
from flask_powerauth_telemetry.cli.checks.numbers import offset_text
from flask_powerauth_telemetry.cli.counts import Seconds, limited, users_in_windows
from flask_powerauth_telemetry.cli.instance import Failed, main_database, on_instance
from flask_powerauth_telemetry.cli.powerauth_server import CannotAsk, PowerAuthServer
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.fields import MAXIMUM_DAYS
from flask_powerauth_telemetry.history.snapshot import read_applications
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import DAY, WIDTHS, read_profile
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.text import one_line, printable

TOKEN_VARIABLE = "POWERAUTH_SERVER_TOKEN"  # noqa: S105 - the name of a variable

_COLUMNS = "{:<32}{:>6}{:>14}{:>18}{:>14}  {}"
_HEADINGS = ("application", "days", "ours before", "PowerAuth Server", "ours after", "verdict")
_ATTEMPTS = 2
_MOST_ZONES = 10

_DIFFERENT = "different"


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
            return "equal"
        low, high = sorted((self.before, self.after))
        return "explained" if low <= self.server <= high else _DIFFERENT


def _days(text: str) -> Sequence[int]:
    """Windows in days, such as ``7,30,90,365``."""
    try:
        days = sorted({int(part) for part in text.split(",")})
    except ValueError:
        days = []
    if not days or not 1 <= days[0] <= days[-1] <= MAXIMUM_DAYS:
        raise click.BadParameter(f"use whole numbers from 1 to {MAXIMUM_DAYS}, commas between them")
    return days


@click.command()
@click.option(
    "--server", "url", required=True, metavar="URL", help="PowerAuth Server's URL, up to /rest."
)
@click.option(
    "--user", metavar="NAME", help="User name, the client_token. Default: no credentials."
)
@click.option(
    "--token-file",
    type=click.File(encoding="utf-8"),
    help=f"File with the token, the client_secret. Default: ${TOKEN_VARIABLE}, or a prompt.",
)
@click.option(
    "--days",
    type=_days,
    metavar="TEXT",
    default="7,30,90,365",
    show_default=True,
    help="Windows in days.",
)
@click.option(
    "--application", "names", multiple=True, help="Compare this one only; may be repeated."
)
@click.option("--insecure-http", is_flag=True, help="Allow http to other hosts than this one.")
@click.option(
    "--timeout",
    type=Seconds(min_open=True),
    default=60,
    show_default=True,
    help="Seconds to wait for data of PowerAuth Server.",
)
@click.option("--time-limit", type=Seconds(), help="Seconds for our statements. As configured.")
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON, for machines.")
@on_instance
def reconcile(state: TelemetryState, **options: Any) -> None:
    """Ask PowerAuth Server, and show its numbers beside ours.

    Ours are counted anew before and after each of its answers: a number between the two is
    explained by the time that passed.

    Exit codes: 0 equal or explained, 1 different, 2 one of the two can't be asked.
    """
    try:
        user = options["user"]
        server = PowerAuthServer(
            options["url"],
            None if user is None else (user, _token(options["token_file"])),
            timeout=options["timeout"],
            plain_http=options["insecure_http"],
        )
        _reconcile(state, server, options)
    except UnicodeError as error:  # its message has a character of the token
        raise Failed("the user name and the token must be text in UTF-8") from error
    except CannotAsk as error:
        raise Failed(f"PowerAuth Server: {one_line(str(error))}") from error
    except TelemetryError as error:
        raise Failed(f"our database: {cause_of(error)}") from error


def _token(file: IO[str] | None) -> str:
    """The token, from a file, the environment or a prompt; never from the arguments."""
    if file is not None:
        return file.read().rstrip("\r\n")
    given = os.environ.get(TOKEN_VARIABLE)
    return given or str(click.prompt("Token (client_secret)", hide_input=True, err=True))


def _reconcile(state: TelemetryState, server: PowerAuthServer, options: Mapping[str, Any]) -> None:
    target = _target(state, options["time_limit"])
    applications = read_applications(target.database)
    rows: list[Comparison] = []
    json_wanted = options["json_wanted"]
    if not json_wanted:
        click.echo(_COLUMNS.format(*_HEADINGS))
    for application in _chosen(applications, options["names"]):
        found = _compare(target, server, application, options["days"])
        rows += found
        if not json_wanted:
            click.echo("\n".join(_line(row) for row in found))
    told = list(_hints(target, applications, rows))
    exit_code = 1 if any(row.verdict == _DIFFERENT for row in rows) else 0
    if json_wanted:
        compared = [{**asdict(row), "verdict": row.verdict} for row in rows]
        document = {"exitCode": exit_code, "comparisons": compared, "hints": told}
        click.echo(json.dumps(document, indent=2))
    else:
        for hint in told:
            click.echo(f"Hint: {one_line(hint)}")
    raise click.exceptions.Exit(exit_code)


def _target(state: TelemetryState, time_limit: float | None) -> Target:
    """The database of PowerAuth's that the report of the same name reads."""
    bind = state.registry.get("USERS_IN_PAST_DAYS").bind
    if bind == HISTORY_BIND:
        bind = None
    database = state.databases[bind] if bind else main_database(state)
    return Target(state=state, bind=bind, database=limited(database, time_limit))


def _chosen(applications: Sequence[Application], names: Sequence[str]) -> Sequence[Application]:
    if not applications:  # nothing compared is not all equal
        raise Failed("there is no application in our database: see that it is PowerAuth's")
    for name in names:
        if all(application.name != name for application in applications):
            raise Failed(f"there is no application {name!r} in our database")
    return [one for one in applications if not names or one.name in names]


def _line(row: Comparison) -> str:
    verdict = row.verdict.upper() if row.verdict == _DIFFERENT else row.verdict
    numbers = (row.days, row.before, row.server, row.after)
    return _COLUMNS.format(printable(row.application), *numbers, verdict)


def _compare(
    target: Target, server: PowerAuthServer, application: Application, days: Sequence[int]
) -> list[Comparison]:
    """Compare the windows of one application; what differs is asked for once more."""
    for _ in range(_ATTEMPTS):
        before = _ours(target, application, days)
        theirs = [server.users_in_past_days(application.name, window) for window in days]
        after = _ours(target, application, days)
        rows = zip(days, before, theirs, after, strict=True)
        found = [Comparison(application.name, *row) for row in rows]
        if all(one.verdict != _DIFFERENT for one in found):
            break
    return found


def _ours(target: Target, application: Application, days: Sequence[int]) -> Sequence[int]:
    width = min(width for width in WIDTHS if width >= max(days))
    with ReportContext(target.database, target.state.clock()) as context:
        profile = read_profile(context, application, width)
    return [profile.users_in_past_days(window) for window in days]


def _hints(
    target: Target, applications: Sequence[Application], compared: Sequence[Comparison]
) -> Iterator[str]:
    """What may be the reason for the differences, if there are any, the likely ones first.

    They are those of the first application that differs: one is enough to find the reason.
    """
    name = next((one.application for one in compared if one.verdict == _DIFFERENT), None)
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
