"""The statement of a month: all that is known of it, what is missing, and what proves it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from importlib.metadata import version
from typing import Any

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.exceptions import TelemetryError, UnknownApplication
from flask_powerauth_telemetry.history.chain import Head
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.history.users_in_month import RECORDED, RUNNING, UNKNOWN
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.reports.activity import DAY
from flask_powerauth_telemetry.reports.calendar import Month
from flask_powerauth_telemetry.service import Clock, read_clock

USERS, DAILY, VERIFICATIONS = "USERS_IN_MONTH", "MAU_HISTORY", "SIGNATURES_IN_MONTH"
REPORTS = (USERS, DAILY, VERIFICATIONS)
"""The reports that a statement is made of, as far as they are switched on."""

DAILY_DAYS = 30
"""The window of the daily numbers, in days."""

Ask = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""Gives the data of a report by its name and raw parameters, or raises ``TelemetryError``."""


@dataclass
class Statement:
    """What is known of a month of an application.

    ``computed_at`` is aware, in the zone of the calendar, whose name is ``zone``. ``definitions``
    are those of the reports that are switched on. ``head`` is the end of the history's chain, None
    without one. ``users``, ``daily`` and ``verifications`` are the data of the three reports, None
    where there are none; ``missing`` has a sentence for all that is missing. ``has_failed`` tells
    that a report had no answer, other than that it knows no such application.
    """

    application: str
    month: str
    zone: str
    computed_at: datetime
    version: str
    definitions: Mapping[str, str]
    head: Head | None = None
    users: Mapping[str, Any] | None = None
    daily: Mapping[str, Any] | None = None
    verifications: Mapping[str, Any] | None = None
    missing: list[str] = field(default_factory=list)
    has_failed: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the number of users is known, and no report has failed."""
        is_there = self.users is not None and self.users["users"] is not None
        return is_there and not self.has_failed

    @property
    def is_bounded(self) -> bool:
        """Whether the number of users or a bound of it is known."""
        users = self.users or {}
        return any(users.get(key) is not None for key in ("users", "lowerBound", "upperBound"))

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "application": self.application,
            "month": self.month,
            "zone": self.zone,
            "users": self.users,
            "usersByDay": self.daily,
            "verifications": self.verifications,
            "missing": self.missing,
            "definitions": dict(self.definitions),
            "computedAt": self.computed_at.isoformat(),
            "version": self.version,
            "history": asdict(self.head) if self.head is not None else None,
        }


def make_statement(
    application: str,
    month: Month,
    ask: Ask,
    *,
    config: TelemetryConfig,
    registry: ReportRegistry,
    databases: Mapping[str | None, Database],
    clock: Clock,
) -> Statement:
    """The statement of a month, out of the reports that ``ask`` gives and the history.

    Raises ``UnknownApplication`` where no report knows the application, and ``TelemetryError`` for
    a month that has not begun.
    """
    zone = config.report_timezone
    statement = Statement(
        application=application,
        month=str(month),
        zone=str(zone),
        computed_at=read_clock(clock).astimezone(zone),
        version=version("flask-powerauth-telemetry"),
        definitions={one.name: one.definition for one in registry if one.name in REPORTS},
        head=_head(config, databases.get(HISTORY_BIND)),
    )
    add_reports(statement, month, ask)
    return statement


def _head(config: TelemetryConfig, history: Database | None) -> Head | None:
    """The end of the history's chain, None where there is no history to be read."""
    if history is None:
        return None
    store = HistoryStore.from_config(config)
    try:
        with history.connect() as connection:
            store.check(connection)
            return store.head(connection)
    except TelemetryError:
        return None


def add_reports(statement: Statement, month: Month, ask: Ask) -> None:
    """Add what the reports tell, and what is missing in it; raises as ``make_statement``."""
    today = statement.computed_at.date()
    if month.first_day > today:
        raise TelemetryError(f"The month {month} has not begun")
    of_month: Mapping[str, Any] = {"month": str(month)}
    last = min(today, month.end - DAY)
    of_days: Mapping[str, Any] = {"from": str(month.first_day), "to": str(last), "days": DAILY_DAYS}
    given: dict[str, Mapping[str, Any]] = {}
    unknown: UnknownApplication | None = None
    for report, parameters in zip(REPORTS, (of_month, of_days, of_month), strict=True):
        if report not in statement.definitions:
            statement.missing.append(f"The report {report} is not switched on.")
            continue
        try:
            given[report] = ask(report, {"application": statement.application, **parameters})
        except UnknownApplication as error:
            unknown = error
            statement.missing.append(f"The report {report} knows no such application.")
        except TelemetryError as error:
            statement.has_failed = True
            statement.missing.append(f"The report {report} failed: {error.message}.")
    if unknown and not given:
        raise unknown
    statement.users, statement.daily, statement.verifications = map(given.get, REPORTS)
    statement.missing += _missing(statement)


def _missing(statement: Statement) -> Iterator[str]:
    users, daily, verifications = statement.users, statement.daily, statement.verifications
    if users is not None and users["state"] == RUNNING:
        yield "The month is not over, so its users are not known yet."
    elif users is not None and users["state"] != RECORDED:
        known = "nothing is" if users["state"] == UNKNOWN else "only bounds are"
        yield (
            "No recording at its end counts exactly the uses of the month,"
            f" so {known} known of its users."
        )
    if daily is not None and (days := daily["missing"]):
        several = "day has" if len(days) == 1 else "days have"
        yield f"{len(days)} {several} no recording: {day_ranges(days)}."
    if verifications is not None:
        yield from _missing_verifications(verifications, statement.computed_at)


def day_ranges(days: Sequence[str]) -> str:
    """Days as text, those in a row by the first and the last of them."""
    found: list[list[date]] = []
    for day in map(date.fromisoformat, days):
        if found and day - found[-1][-1] == DAY:
            found[-1][1:] = [day]
        else:
            found.append([day])
    return ", ".join(" to ".join(map(str, ends)) for ends in found)


def _missing_verifications(found: Mapping[str, Any], computed_at: datetime) -> Iterator[str]:
    if not found["complete"]:
        yield "The month is not over, so more verifications will be counted."
    if days := found["missing"]:
        since = found["auditSince"]
        audit = "is empty" if since is None else f"begins at {since}"
        several = "1 day was" if len(days) == 1 else f"{len(days)} days were"
        yield (
            f"The audit {audit}, so earlier verifications may have been deleted,"
            f" and {several} not recorded: {day_ranges(days)}."
        )
    until = found["auditUntil"]
    expected = datetime.fromisoformat(found["to"]) if found["complete"] else computed_at - DAY
    if until is not None and datetime.fromisoformat(until) < expected:
        yield (
            f"The audit ends at {until}: nothing was verified since, or this copy is no longer fed."
        )
