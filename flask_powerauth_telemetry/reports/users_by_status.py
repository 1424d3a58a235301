"""Users and activations by the status that the activations have now."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import fields
from sqlalchemy import Executable, case, func, select

from flask_powerauth_telemetry.database.tables import ActivationStatus, PowerAuthTables
from flask_powerauth_telemetry.fields import CountField, DataSchema
from flask_powerauth_telemetry.providers import ReportContext, ReportProvider
from flask_powerauth_telemetry.reports.active_users import ApplicationSchema


class StatusSchema(DataSchema):
    """A status, the unique users with an activation in it, and the activations."""

    status = fields.String()
    users = CountField()
    activations = CountField()


class UsersByStatusSchema(DataSchema):
    """Report data of ``USERS_BY_STATUS``."""

    application = fields.String()
    users = CountField()
    activations = CountField()
    by_status = fields.List(fields.Nested(StatusSchema))


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
