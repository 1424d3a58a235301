"""Signature verifications of a window: how many, by type, by hour, and in the busiest hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from marshmallow import fields

from flask_powerauth_telemetry.fields import CountField, DataSchema
from flask_powerauth_telemetry.providers import Computation, ReportContext, ReportProvider
from flask_powerauth_telemetry.reports.active_users import ApplicationAndDaysSchema
from flask_powerauth_telemetry.reports.activity import DAY, passes, window_edges
from flask_powerauth_telemetry.reports.clock_hours import ClockHour, wall_slots
from flask_powerauth_telemetry.reports.verifications import (
    HOUR_FORMAT,
    READ_COLUMNS,
    Audit,
    HourSchema,
    TypeSchema,
    Verifications,
    sum_of,
)

WIDTHS = (1, 7, 30, 90, 365)
"""The windows in days that a pass may cover. Its cost grows with the window, so there are short
ones, too."""


class ByHourSchema(DataSchema):
    """The verifications of each hour of UTC from ``start`` on, without a gap.

    None stands for an hour that is counted with the one before it.
    """

    start = fields.String()
    verifications = fields.List(CountField(allow_none=True))


class SignaturesSchema(DataSchema):
    """Report data of ``SIGNATURES_IN_PAST_DAYS``."""

    application = fields.String()
    days = fields.Integer()
    total = CountField()
    valid = CountField()
    invalid = CountField()
    by_type = fields.List(fields.Nested(TypeSchema))
    by_hour = fields.Nested(ByHourSchema)
    busiest_hour = fields.Nested(HourSchema, allow_none=True)


@dataclass(frozen=True)
class SignatureProfile:
    """The verifications of each day of 24 hours back from ``as_of``, the newest first.

    ``as_of`` is aware, in UTC. ``hours`` are those of all days, the oldest first.
    """

    as_of: datetime
    days: Sequence[Verifications]
    hours: Sequence[ClockHour]


class SignaturesInPastDays(ReportProvider):
    """``SIGNATURES_IN_PAST_DAYS``: what PowerAuth verified, as its audit tells."""

    name = "SIGNATURES_IN_PAST_DAYS"
    definition = (
        "Signature verifications of the application's activations, valid and invalid, that were"
        " recorded in the signature audit in the past given number of days of 24 hours."
    )
    parameters_schema = ApplicationAndDaysSchema
    data_schema = SignaturesSchema
    tables = READ_COLUMNS

    def __init__(self) -> None:
        self._audit = Audit()

    def computations(self, application: str, days: int) -> Sequence[Computation]:
        """Passes over windows that are wide enough."""
        run = partial(_read_profile, self._audit, application)
        return passes(("signatures", application), run, days, WIDTHS)

    def report_data(
        self, profile: SignatureProfile, application: str, days: int
    ) -> Mapping[str, Any]:
        """All numbers of the window."""
        found = sum_of(profile.days[:days])
        start = profile.as_of - days * DAY
        hours = [hour for hour in profile.hours if hour.end > start]
        by_hour: list[int | None] = []
        for hour in hours:
            by_hour += [found.hours[hour], *[None] * (hour.count - 1)]
        start_of_hours = hours[0].start.strftime(HOUR_FORMAT)
        return {
            "application": application,
            "days": days,
            "by_hour": {"start": start_of_hours, "verifications": by_hour},
            **found.report_data(),
        }


def _read_profile(audit: Audit, name: str, width: int, context: ReportContext) -> SignatureProfile:
    application = context.application(name)
    slots = wall_slots(context.now - width * DAY, context.now, context.database_time)
    found = audit.read(context, application.id, window_edges(context, width), slots)
    return SignatureProfile(
        context.now,
        [found.get(bucket, Verifications()) for bucket in range(width)],
        sorted(set(slots.hours.values()), key=lambda hour: hour.start),
    )
