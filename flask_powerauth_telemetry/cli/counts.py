"""What the commands count in PowerAuth's database, beside the reports themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Executable, case, distinct, func, select

from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.providers import Application, ReportContext
from flask_powerauth_telemetry.reports.activity import DAY

SHIFTS = range(-12, 15)
"""By how many hours a zone may be wrong."""


@dataclass(frozen=True)
class Seen:
    """What a pass over an application has seen: its users, and the newest use of all.

    ``newest`` is a naive time of the database's clock, None without a use.
    """

    users: int
    newest: datetime | None


def read_applications(database: Database) -> list[Application]:
    """Every application, by name."""
    table = database.tables.pa_application
    with database.connect() as connection:
        rows = connection.execute(select(table.c.id, table.c.name)).all()
    return sorted((Application(row.id, row.name) for row in rows), key=lambda one: one.name)


def limited(database: Database, seconds: float | None) -> Database:
    """The database with a time limit of ``seconds`` in place of its own, unless that is None."""
    return database if seconds is None else replace(database, statement_timeout=seconds)


def run_pass(context: ReportContext, application: Application, days: int) -> Seen:
    """Do the work of a report's pass, and look at uses that lie ahead of now as well."""
    start = context.database_time(context.now - days * DAY)
    statement = pass_statement(context.tables, application.id, start)
    users, newest = context.connection.execute(statement).one()
    return Seen(users, newest)


def pass_statement(tables: PowerAuthTables, application_id: int, start: datetime) -> Executable:
    """A row of (users, newest use): users grouped as a report's pass groups them.

    It has no upper end, unlike a report, so that one scan also tells what lies ahead of now.
    """
    activation = tables.pa_activation
    newest_uses = (
        select(func.max(activation.c.timestamp_last_used).label("newest"))
        .where(activation.c.application_id == application_id)
        .where(activation.c.timestamp_last_used >= start)
        .group_by(activation.c.user_id)
        .subquery("newest_uses")
    )
    return select(func.count(), func.max(newest_uses.c.newest))


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


def shifted_users(context: ReportContext, application: Application, days: int) -> Mapping[int, int]:
    """The users of a window if the database's clock were some hours ahead, by those hours."""
    end = context.database_time(context.now)
    start = context.database_time(context.now - days * DAY)
    statement = shifted_statement(context.tables, application.id, start, end)
    return dict(zip(SHIFTS, context.connection.execute(statement).one(), strict=True))


def shifted_statement(
    tables: PowerAuthTables, application_id: int, start: datetime, end: datetime
) -> Executable:
    """One row, the users of a window moved by each of ``SHIFTS``; a single pass."""
    activation = tables.pa_activation
    used = activation.c.timestamp_last_used
    windows = _moved(start, end)
    inside = [
        func.max(case((used.between(*window), 1), else_=0)).label(f"window_{number}")
        for number, window in enumerate(windows)
    ]
    users = (
        select(*inside)
        .where(activation.c.application_id == application_id)
        .where(used.between(windows[0][0], windows[-1][1]))
        .group_by(activation.c.user_id)
        .subquery("active_users")
    )
    return select(*(func.coalesce(func.sum(column), 0) for column in users.c))


def _moved(start: datetime, end: datetime) -> Sequence[tuple[datetime, datetime]]:
    moves = [timedelta(hours=hours) for hours in SHIFTS]
    return [(start + move, end + move) for move in moves]
