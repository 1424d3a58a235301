"""What the commands count in PowerAuth's database, beside the reports themselves."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import click
from sqlalchemy import Executable, case, distinct, func, select

from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import DAY
from flask_powerauth_telemetry.service import Clock

Window = tuple[datetime, datetime]
"""A closed window: start and end, naive times of a database's clock."""


_FARTHEST = timedelta(hours=27)
"""No wrong zone puts a use further ahead of now; what lies further may be no time of ours."""


@dataclass(frozen=True)
class Seen:
    """What a pass over an application has seen, and how long it took.

    ``users`` are those that a report would count. ``newest`` is the newest use, a naive time of
    the database's clock, None without one. ``ahead`` are the activations used later than now,
    ``seconds_ahead`` is by how much the newest of them is later.
    """

    users: int
    newest: datetime | None
    ahead: int
    seconds_ahead: float
    seconds: float


class Seconds(click.FloatRange):
    """A time limit in an option, as far as PostgreSQL takes one; NaN passes any other range."""

    def __init__(self, **bounds: Any) -> None:
        super().__init__(0, 2_000_000, **bounds)

    def convert(self, *given: Any) -> float:
        """The seconds; whatever is none is a wrong use of the option."""
        seconds: float = super().convert(*given)
        return self.fail("nan is no number of seconds") if math.isnan(seconds) else seconds


def limited(database: Database, seconds: float | None) -> Database:
    """The database with a time limit of ``seconds`` in place of its own, unless that is None."""
    return database if seconds is None else replace(database, statement_timeout=seconds)


def run_pass(context: ReportContext, application: Application, days: int, clock: Clock) -> Seen:
    """Do the work of a report's pass, and look at uses that lie ahead of now as well."""
    started = time.monotonic()
    start, end, farthest = (
        context.database_time(context.now + distance)
        for distance in (-days * DAY, timedelta(0), _FARTHEST)
    )
    statement = pass_statement(context.tables, application.id, start, end, farthest)
    users, newest, ahead, beyond = context.connection.execute(statement).one()
    seconds = time.monotonic() - started
    if newest is not None and not isinstance(newest, datetime):
        newest = datetime.combine(newest, datetime.min.time())  # of a column of dates
    if newest is not None and newest.tzinfo is not None:
        newest = context.database_time(newest)
    # Logins go on: what is not later than now, when the pass has ended, happened meanwhile.
    after = context.database_time(clock())
    lead = (newest - after).total_seconds() if newest is not None else 0
    if beyond:
        lead = math.inf
    return Seen(int(users), newest, int(ahead) if lead > 0 else 0, lead, seconds)


def pass_statement(
    tables: PowerAuthTables,
    application_id: int,
    start: datetime,
    end: datetime,
    farthest: datetime,
) -> Executable:
    """A row of (users, newest use, activations later than ``end``, those later than ``farthest``).

    Users are grouped and counted as a report's pass does it, up to ``end``. The newest use is none
    later than ``farthest``, because drivers can't read every time that a database can hold.
    """
    activation = tables.pa_activation
    used = activation.c.timestamp_last_used
    by_user = (
        select(
            func.max(case((used <= end, 1), else_=0)).label("active"),
            func.max(case((used <= farthest, used))).label("newest"),
            func.sum(case((used > end, 1), else_=0)).label("ahead"),
            func.sum(case((used > farthest, 1), else_=0)).label("beyond"),
        )
        .where(activation.c.application_id == application_id)
        .where(used >= start)
        .where(activation.c.user_id.is_not(None))
        .group_by(activation.c.user_id)
        .subquery("by_user")
    )
    active, newest, *later = by_user.c
    counts = (func.coalesce(func.sum(column), 0) for column in (active, *later))
    users, ahead, beyond = counts
    return select(users, func.max(newest), ahead, beyond)


def reference_users(context: ReportContext, application: Application, days: int) -> int:
    """The users of a window that ends now, counted the way PowerAuth Server counts them."""
    end = context.database_time(context.now)
    start = context.database_time(context.now - days * DAY)
    statement = reference_statement(context.tables, application.name, start, end)
    return int(context.connection.execute(statement).scalar_one())


def reference_statement(
    tables: PowerAuthTables, name: str, start: datetime, end: datetime
) -> Executable:
    """PowerAuth Server's way to count: a join by the application's name, distinct users."""
    activation, application = tables.pa_activation, tables.pa_application
    return (
        select(func.count(distinct(activation.c.user_id)))
        .join_from(activation, application, activation.c.application_id == application.c.id)
        .where(application.c.name == name)
        .where(activation.c.timestamp_last_used.between(start, end))
    )


def users_in_windows(
    context: ReportContext, application: Application, windows: Sequence[Window]
) -> Mapping[Window, int]:
    """The users of each of these windows; a single pass."""
    statement = windows_statement(context.tables, application.id, windows)
    return dict(zip(windows, context.connection.execute(statement).one(), strict=True))


def windows_statement(
    tables: PowerAuthTables, application_id: int, windows: Sequence[Window]
) -> Executable:
    """One row, the users of each window."""
    activation = tables.pa_activation
    used = activation.c.timestamp_last_used
    inside = [
        func.max(case((used.between(*window), 1), else_=0)).label(f"window_{number}")
        for number, window in enumerate(windows)
    ]
    first, last = min(start for start, _ in windows), max(end for _, end in windows)
    users = (
        select(*inside)
        .where(activation.c.application_id == application_id)
        .where(used.between(first, last))
        .where(activation.c.user_id.is_not(None))
        .group_by(activation.c.user_id)
        .subquery("active_users")
    )
    return select(*(func.coalesce(func.sum(column), 0) for column in users.c))
