"""Users of committed activations that were used, and why the documented number is higher."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import partial
from typing import Any

from marshmallow import fields
from sqlalchemy import ColumnElement, Table, case

from flask_powerauth_telemetry.database.tables import ActivationStatus
from flask_powerauth_telemetry.fields import CountField, DataSchema
from flask_powerauth_telemetry.providers import Computation, ReportProvider
from flask_powerauth_telemetry.reports.active_users import (
    ActiveUsersSchema,
    ApplicationAndDaysSchema,
)
from flask_powerauth_telemetry.reports.activity import passes
from flask_powerauth_telemetry.reports.kinds import Growth, read_growths, users_by_set

_COMMITTED = (ActivationStatus.ACTIVE.value, ActivationStatus.BLOCKED.value)


class Standing(IntEnum):
    """What an activation is good for, a kind; a user has the highest of the user's activations."""

    NEVER_USED = 1  # its last use is its creation, whatever its status
    NOT_COMMITTED = 2  # used, but neither ACTIVE, BLOCKED nor REMOVED
    REMOVED = 4  # used, and REMOVED since
    COMMITTED = 8  # used, and ACTIVE or BLOCKED


class LeftOutSchema(DataSchema):
    """Users left out, each under one reason."""

    removed = CountField()
    not_committed = CountField()
    never_used = CountField()


class CommittedUsersSchema(ActiveUsersSchema):
    """Report data of ``COMMITTED_USERS_IN_PAST_DAYS``."""

    users_left_out = fields.Nested(LeftOutSchema)
    users_in_past_days = CountField()


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

    def computations(self, application: str, days: int) -> Sequence[Computation]:
        """Passes over windows that are wide enough."""
        run = partial(read_growths, [application], standing_of)
        return passes(("committed users", application), run, days)

    def report_data(
        self, growths: Sequence[Growth], application: str, days: int
    ) -> Mapping[str, Any]:
        """The users counted, those left out by reason, and all together."""
        users = dict.fromkeys(Standing, 0)
        for standings, number in users_by_set(growths, days).items():
            users[max(one for one in Standing if one & standings)] += number
        return {
            "application": application,
            "days": days,
            "users": users[Standing.COMMITTED],
            "users_left_out": {
                one.name.lower(): users[one] for one in Standing if one is not Standing.COMMITTED
            },
            "users_in_past_days": sum(users.values()),
        }


def standing_of(activation: Table, _: Sequence[int]) -> ColumnElement[int]:
    """The standing of an activation, whatever its application."""
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
