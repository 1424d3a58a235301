"""New users: how many became active in an application for the first time, day by day."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from marshmallow import fields, validate
from sqlalchemy import Executable, func, literal, select

from flask_powerauth_telemetry.database.tables import ActivationStatus, PowerAuthTables, WallClock
from flask_powerauth_telemetry.fields import MAXIMUM_DAYS, CountField
from flask_powerauth_telemetry.providers import Computation, ReportContext, ReportProvider
from flask_powerauth_telemetry.reports.active_users import (
    ActiveUsersSchema,
    ApplicationAndDaysSchema,
)
from flask_powerauth_telemetry.reports.activity import bucket_of, users_by_bucket, window_edges


class NewUsersSchema(ActiveUsersSchema):
    """Report data of ``NEW_USERS_IN_PAST_DAYS``; the newest day comes first."""

    users_by_day = fields.List(CountField(), validate=validate.Length(1, MAXIMUM_DAYS))


class NewUsersInPastDays(ReportProvider):
    """``NEW_USERS_IN_PAST_DAYS``: users whose first activation became active in the window."""

    name = "NEW_USERS_IN_PAST_DAYS"
    definition = (
        "Unique users of the application whose first activation there to become active did so,"
        " by the history of activations, in the past given number of days of 24 hours."
    )
    parameters_schema = ApplicationAndDaysSchema
    data_schema = NewUsersSchema
    tables: Mapping[str, Sequence[str]] = {
        "pa_application": ("id", "name"),
        "pa_activation": ("activation_id", "application_id", "user_id"),
        "pa_activation_history": ("activation_id", "activation_status", "timestamp_created"),
    }

    def computations(self, application: str, days: int) -> Sequence[Computation]:
        """The one pass over the history, which has to be read as a whole for any window.

        A user is new once, so the numbers of its days add up to those of every window.
        """
        return [Computation(("new users", application), partial(_read_new_users, application))]

    def report_data(
        self, new_users: Sequence[int], application: str, days: int
    ) -> Mapping[str, Any]:
        """The new users of each day of the window, and of all of them."""
        by_day = new_users[:days]
        users = sum(by_day)
        return {"application": application, "days": days, "users": users, "users_by_day": by_day}


def _read_new_users(name: str, context: ReportContext) -> Sequence[int]:
    """The new users of each of the past 365 days of 24 hours, the newest day first."""
    application = context.application(name)
    edges = window_edges(context, MAXIMUM_DAYS)
    statement = new_users_statement(context.tables, application.id, edges)
    return users_by_bucket(context, statement, MAXIMUM_DAYS)


def new_users_statement(
    tables: PowerAuthTables, application_id: int, edges: Sequence[datetime]
) -> Executable:
    """Rows of (bucket, users): bucket 0 holds the users who are new in the newest day, and so on.

    ``edges`` are those of ``window_edges``.
    """
    activation, history = tables.pa_activation, tables.pa_activation_history
    became_active = history.c.timestamp_created
    first = func.min(became_active)
    start, end = (literal(edge, WallClock) for edge in (edges[-1], edges[0]))
    # A change of its name writes an activation's status again, and so does unblocking it: the
    # earliest row with a status is the one that counts.
    newcomers = (
        select(bucket_of(first, edges).label("bucket"))
        .select_from(activation)
        .join(history, history.c.activation_id == activation.c.activation_id)
        .where(activation.c.application_id == application_id)
        .where(history.c.activation_status == ActivationStatus.ACTIVE.value)
        .where(became_active <= end)
        .where(activation.c.user_id.is_not(None))
        .group_by(activation.c.user_id)
        .having(first >= start)
        .subquery("newcomers")
    )
    return select(newcomers.c.bucket, func.count()).group_by(newcomers.c.bucket)
