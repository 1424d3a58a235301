"""A provider as a stranger writes it: one file of 30 lines, with nothing else told of it."""

from typing import Any

from marshmallow import Schema, fields, validate
from sqlalchemy import func, select

from flask_powerauth_telemetry import ApplicationField, ReportContext, ReportProvider


class Parameters(Schema):
    application = ApplicationField(metadata={"description": "Whose devices."})
    status = fields.Integer(strict=True, load_default=3, validate=validate.Range(1, 5))


class StrangersDevices(ReportProvider):
    name = "STRANGERS_DEVICES"
    definition = "Activations of the application that have the given status."
    parameters_schema = Parameters
    data_schema = Schema.from_dict(
        {"devices": fields.Integer(required=True, metadata={"description": "Rows counted."})}
    )
    tables = ("pa_application", "pa_activation")

    def generate(self, context: ReportContext, application: str, status: int) -> dict[str, Any]:
        column = context.tables.pa_activation.c
        known = column.application_id == context.application(application).id
        statement = select(func.count()).where(known, column.activation_status == status)
        return {"devices": context.connection.scalar(statement)}
