"""Users by the status of their activations: the one that each has now, and who is new."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from marshmallow import Schema, fields, validate
from sqlalchemy import Executable, case, func, literal, select

from flask_powerauth_telemetry.database.tables import ActivationStatus, PowerAuthTables, WallClock
from flask_powerauth_telemetry.fields import MAXIMUM_DAYS, CountField
from flask_powerauth_telemetry.providers import Computation, ReportContext, ReportProvider
from flask_powerauth_telemetry.reports.active_users import (
    ActiveUsersSchema,
    ApplicationAndDaysSchema,
    ApplicationSchema,
)
from flask_powerauth_telemetry.reports.activity import bucket_of, users_by_bucket, window_edges


class StatusSchema(Schema):
    """A status, the unique users with an activation in it, and the activations."""

    status = fields.String(required=True)
    users = CountField()
    activations = CountField()


class UsersByStatusSchema(Schema):
    """Report data of ``USERS_BY_STATUS``."""

    application = fields.String(required=True)
    users = CountField()
    activations = CountField()
    by_status = fields.List(fields.Nested(StatusSchema), required=True, data_key="byStatus")


class UsersByStatus(ReportProvider):
    """``USERS_BY_STATUS``: how many users and activations there are, whether used or not."""

    name = "USERS_BY_STATUS"
    definition = (
        "Unique users of the application with an activation, whenever it was last used, and the"
        " activations, by the status that they have now; a user with activations of several"
        " statuses is in each of them."
    )
    parameters_schema = ApplicationSchema
    data_schema = UsersByStatusSchema
    tables: Mapping[str, Sequence[str]] = {
        "pa_application": ("id", "name"),
        "pa_activation": ("application_id", "user_id", "activation_status"),
    }

    def generate(self, context: ReportContext, application: str) -> Mapping[str, Any]:
        """All users and activations, then those of the documented statuses, then of others."""
        statement = statuses_statement(context.tables, context.application(application).id)
        found = [tuple(map(int, row)) for row in context.connection.execute(statement)]
        by_status = {status: counts for status, *counts in found}
        names = {one.value: one.name for one in ActivationStatus}
        others = sorted(by_status.keys() - names.keys())
        return {
            "application": application,
            "users": sum(first for *_, first in found),
            "activations": sum(activations for _, _, activations, _ in found),
            "by_status": [
                {
                    "status": names.get(status, str(status)),
                    "users": users,
                    "activations": activations,
                }
                for status in (*names, *others)
                for users, activations, _ in [by_status.get(status, (0, 0, 0))]
            ],
        }


def statuses_statement(tables: PowerAuthTables, application_id: int) -> Executable:
    """Rows of (status, users, activations, users who have no lower status)."""
    activation = tables.pa_activation
    by_user = (
        select(
            activation.c.user_id, activation.c.activation_status, func.count().label("activations")
        )
        .where(activation.c.application_id == application_id)
        .group_by(activation.c.user_id, activation.c.activation_status)
        .subquery("by_user")
    )
    place = func.row_number().over(
        partition_by=by_user.c.user_id, order_by=by_user.c.activation_status
    )
    # Activations of nobody are activations, and no user's.
    placed = select(by_user, place.label("place")).subquery("placed")
    return select(
        placed.c.activation_status,
        func.count(placed.c.user_id),
        func.sum(placed.c.activations),
        func.count(case((placed.c.place == 1, placed.c.user_id))),
    ).group_by(placed.c.activation_status)


class NewUsersSchema(ActiveUsersSchema):
    """Report data of ``NEW_USERS_IN_PAST_DAYS``; the newest day comes first."""

    users_by_day = fields.List(
        CountField(),
        required=True,
        data_key="usersByDay",
        validate=validate.Length(1, MAXIMUM_DAYS),
    )


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
