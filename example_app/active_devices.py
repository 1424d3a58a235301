"""A report of one's own: how many devices are active, by platform."""

from collections.abc import Mapping
from datetime import timedelta

from marshmallow import Schema, fields
from sqlalchemy import func, literal_column, select

from flask_powerauth_telemetry import (
    ActivationStatus,
    ApplicationField,
    DaysField,
    ReportContext,
    ReportProvider,
)


class Parameters(Schema):
    """What a caller sends."""

    application = ApplicationField()
    days = DaysField()


class ReportData(Parameters):
    """What a caller gets: ``platforms`` maps each platform to its number of activations."""

    platforms = fields.Dict(fields.String(), fields.Integer(), required=True)


class ActiveDevicesByPlatform(ReportProvider):
    """``ACTIVE_DEVICES_BY_PLATFORM``, over a window of ``days`` times 24 hours up to now."""

    name = "ACTIVE_DEVICES_BY_PLATFORM"
    definition = "Active activations last used in the past given number of days, by platform."
    parameters_schema = Parameters
    data_schema = ReportData
    tables = ("pa_application", "pa_activation")

    def generate(self, context: ReportContext, application: str, days: int) -> Mapping[str, object]:
        """Count in the database; an activation without a platform is under ``unknown``."""
        column = context.tables.pa_activation.c
        platform = func.coalesce(column.platform, literal_column("'unknown'")).label("platform")
        start = context.database_time(context.now - timedelta(days=days))
        statement = (
            select(platform, func.count().label("devices"))
            .where(column.application_id == context.application(application).id)
            .where(column.activation_status == ActivationStatus.ACTIVE.value)
            .where(column.timestamp_last_used.between(start, context.database_time(context.now)))
            .group_by(platform)
        )
        rows = context.connection.execute(statement)
        platforms = {row.platform: row.devices for row in rows}
        return {"application": application, "days": days, "platforms": platforms}
