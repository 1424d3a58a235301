"""Users of committed activations that were used, and why the documented number is higher."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import ColumnElement, Executable, Table, case, func, select

from flask_powerauth_telemetry.database.tables import ActivationStatus, PowerAuthTables
from flask_powerauth_telemetry.fields import CountField
from flask_powerauth_telemetry.providers import Application, ReportContext, ReportProvider
from flask_powerauth_telemetry.reports.active_users import ApplicationAndDaysSchema
from flask_powerauth_telemetry.reports.activity import DAY

_COMMITTED = (ActivationStatus.ACTIVE.value, ActivationStatus.BLOCKED.value)


class Standing(IntEnum):
    """What an activation is good for; a user has the highest of the user's activations.

    - ``NEVER_USED``: its last use is its creation, whatever its status.
    - ``NOT_COMMITTED``: used, but neither ACTIVE, BLOCKED nor REMOVED.
    - ``REMOVED``: used, and REMOVED since.
    - ``COMMITTED``: used, and ACTIVE or BLOCKED.
    """

    NEVER_USED = 0
    NOT_COMMITTED = 1
    REMOVED = 2
    COMMITTED = 3


class LeftOutSchema(Schema):
    """Users left out, each under one reason."""

    removed = CountField()
    not_committed = CountField(data_key="notCommitted")
    never_used = CountField(data_key="neverUsed")


class CommittedUsersSchema(Schema):
    """Report data of ``COMMITTED_USERS_IN_PAST_DAYS``."""

    application = fields.String(required=True)
    days = fields.Integer(required=True)
    users = CountField()
    users_left_out = fields.Nested(LeftOutSchema, required=True, data_key="usersLeftOut")
    users_in_past_days = CountField(data_key="usersInPastDays")


class CommittedUsersInPastDays(ReportProvider):
    """``COMMITTED_USERS_IN_PAST_DAYS``: users less those who never really used what they have."""

    name = "COMMITTED_USERS_IN_PAST_DAYS"
    definition = (
        "Unique users of the application with an activation that is ACTIVE or BLOCKED, was used"
        " after its creation, and was last used in the past given number of days of 24 hours."
    )
    parameters_schema = ApplicationAndDaysSchema
    data_schema = CommittedUsersSchema
    tables: Mapping[str, Sequence[str]] = {
        "pa_application": ("id", "name"),
        "pa_activation": (
            "application_id",
            "user_id",
            "activation_status",
            "timestamp_created",
            "timestamp_last_used",
        ),
    }

    def generate(self, context: ReportContext, application: str, days: int) -> Mapping[str, Any]:
        """The users counted, those left out by reason, and all together."""
        users = _read_users(context, context.application(application), days)
        return {
            "application": application,
            "days": days,
            "users": users[Standing.COMMITTED],
            "users_left_out": {
                "removed": users[Standing.REMOVED],
                "not_committed": users[Standing.NOT_COMMITTED],
                "never_used": users[Standing.NEVER_USED],
            },
            "users_in_past_days": sum(users.values()),
        }


def _read_users(
    context: ReportContext, application: Application, days: int
) -> Mapping[Standing, int]:
    start = context.database_time(context.now - days * DAY)
    end = context.database_time(context.now)
    users = dict.fromkeys(Standing, 0)
    statement = standings_statement(context.tables, application.id, start, end)
    for standing, number in context.connection.execute(statement):
        users[Standing(int(standing))] += number
    return users


def standings_statement(
    tables: PowerAuthTables, application_id: int, start: datetime, end: datetime
) -> Executable:
    """Rows of (standing, users) of a window; each user has the best standing of its activations.

    ``start`` and ``end`` are naive times of the database's clock; both belong to the window.
    """
    activation = tables.pa_activation
    active_users = (
        select(func.max(_standing(activation)).label("standing"))
        .where(activation.c.application_id == application_id)
        .where(activation.c.timestamp_last_used.between(start, end))
        .group_by(activation.c.user_id)
        .subquery("active_users")
    )
    return select(active_users.c.standing, func.count()).group_by(active_users.c.standing)


def _standing(activation: Table) -> ColumnElement[int]:
    status = activation.c.activation_status
    # Creation writes one instant to both. A use may be written as an earlier time: in autumn the
    # clock goes back.
    never_used = activation.c.timestamp_last_used == activation.c.timestamp_created
    return case(
        (never_used, Standing.NEVER_USED.value),
        (status.in_(_COMMITTED), Standing.COMMITTED.value),
        (status == ActivationStatus.REMOVED.value, Standing.REMOVED.value),
        else_=Standing.NOT_COMMITTED.value,
    )
