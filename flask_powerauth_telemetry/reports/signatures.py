"""Signature verifications: how many, by type, and in the busiest hour."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from marshmallow import Schema, fields, validate
from sqlalchemy import (
    Connection,
    Executable,
    Row,
    Table,
    case,
    func,
    inspect,
    literal,
    select,
    true,
)
from sqlalchemy.exc import NoSuchTableError

from flask_powerauth_telemetry.providers.active_users import ApplicationAndDaysSchema
from flask_powerauth_telemetry.providers.activity import DAY
from flask_powerauth_telemetry.providers.base import ReportContext, ReportProvider
from flask_powerauth_telemetry.reports.clock_hours import ClockHour, WallSlots, wall_slots
from flask_powerauth_telemetry.tables import PowerAuthTables, WallClock
from flask_powerauth_telemetry.whole_days import WholeSlots

_TYPE = "signature_type"
_ALGORITHM = "signature_algorithm"
_HOUR_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def _count() -> fields.Integer:
    return fields.Integer(required=True, strict=True, validate=validate.Range(0))


class VerificationsSchema(Schema):
    """How many verifications there were: valid and invalid ones make the total."""

    total = _count()
    valid = _count()
    invalid = _count()


class TypeSchema(VerificationsSchema):
    """Those of a type and an algorithm, as the database names them; None for no name."""

    type = fields.String(required=True, allow_none=True)
    algorithm = fields.String(required=True, allow_none=True)


class HourSchema(Schema):
    """An hour: its start in UTC, its verifications, and their mean per second."""

    start = fields.String(required=True)
    verifications = _count()
    per_second = fields.Float(required=True, data_key="perSecond")


class SignaturesSchema(VerificationsSchema):
    """Report data of ``SIGNATURES_IN_PAST_DAYS``."""

    application = fields.String(required=True)
    days = fields.Integer(required=True, strict=True)
    by_type = fields.List(fields.Nested(TypeSchema), required=True, data_key="byType")
    busiest_hour = fields.Nested(HourSchema, required=True, allow_none=True, data_key="busiestHour")


class SignaturesInPastDays(ReportProvider):
    """``SIGNATURES_IN_PAST_DAYS``: what PowerAuth verified, as its audit tells."""

    name = "SIGNATURES_IN_PAST_DAYS"
    definition = (
        "Signature verifications of the application's activations, valid and invalid, that were"
        " recorded in the signature audit in the past given number of days of 24 hours."
    )
    parameters_schema = ApplicationAndDaysSchema
    data_schema = SignaturesSchema
    tables = ("pa_application", "pa_activation", "pa_signature_audit")

    def generate(self, context: ReportContext, application: str, days: int) -> Mapping[str, Any]:
        """All numbers, from one pass over the audit of the window."""
        application_id = context.application(application).id
        start = context.now - days * DAY
        slots = wall_slots(start, context.now, context.database_time)
        statement = signatures_statement(
            context.tables,
            application_id,
            (context.database_time(start), context.database_time(context.now)),
            slots,
            _kinds(context),
        )
        rows = context.connection.execute(statement).all()
        return {
            "application": application,
            "days": days,
            **_summed(rows),
            "by_type": _by_type(rows),
            "busiest_hour": _busiest_hour(rows, slots),
        }


def signatures_statement(
    tables: PowerAuthTables,
    application_id: int,
    window: tuple[datetime, datetime],
    slots: WallSlots,
    kinds: Sequence[str],
) -> Executable:
    """Rows of (slot, total, valid, one value for each column that ``kinds`` names).

    ``window`` is the start and the end of a closed window, naive times of the database's clock.
    """
    activation, audit = tables.pa_activation, tables.pa_signature_audit
    created = audit.c.timestamp_created
    start, end, origin = (literal(time, WallClock) for time in (*window, slots.origin))
    verified = (
        select(
            WholeSlots(created, origin, slots.seconds).label("slot"),
            case((audit.c.valid == true(), 1), else_=0).label("valid"),
            *(audit.c[kind] for kind in kinds),
        )
        .select_from(audit)
        .join(activation, activation.c.activation_id == audit.c.activation_id)
        .where(activation.c.application_id == application_id)
        .where(created.between(start, end))
        .subquery("verified")
    )
    groups = [verified.c.slot, *(verified.c[kind] for kind in kinds)]
    slot, *others = groups
    counts = (func.count().label("total"), func.sum(verified.c.valid).label("valid"))
    return select(slot, *counts, *others).group_by(*groups)


def _kinds(context: ReportContext) -> Sequence[str]:
    """The columns that tell kinds of signatures apart, in this version of PowerAuth."""
    audit = context.tables.pa_signature_audit
    columns = context.share(
        ("columns", audit.fullname), lambda: _columns(context.connection, audit)
    )
    return (_TYPE, _ALGORITHM) if _ALGORITHM in columns else (_TYPE,)


def _columns(connection: Connection, table: Table) -> frozenset[str]:
    """The names of a table's columns, none where the catalog doesn't list it."""
    try:
        columns = inspect(connection).get_columns(table.name, table.schema)
    except NoSuchTableError:
        return frozenset()
    return frozenset(column["name"] for column in columns)


def _summed(rows: Iterable[Row[Any]]) -> dict[str, int]:
    total = valid = 0
    for row in rows:
        total += row.total
        valid += int(row.valid)
    return {"total": total, "valid": valid, "invalid": total - valid}


def _by_type(rows: Iterable[Row[Any]]) -> list[dict[str, Any]]:
    """The verifications of each type and algorithm, in the order of their names."""
    groups: dict[tuple[str | None, str | None], list[Row[Any]]] = {}
    for row in rows:
        key = (row._mapping[_TYPE], row._mapping.get(_ALGORITHM))
        groups.setdefault(key, []).append(row)
    ordered = sorted(groups, key=lambda key: tuple(name or "" for name in key))
    return [
        {"type": kind, "algorithm": algorithm, **_summed(groups[kind, algorithm])}
        for kind, algorithm in ordered
    ]


def _busiest_hour(rows: Iterable[Row[Any]], slots: WallSlots) -> dict[str, Any] | None:
    """The hour with most verifications a second, the earliest of several; None without any."""
    totals: Counter[ClockHour] = Counter()
    for row in rows:
        if hour := slots.hours.get(int(row.slot)):
            totals[hour] += row.total
    if not totals:
        return None
    in_order = sorted(totals, key=attrgetter("start"))
    busiest = max(in_order, key=lambda hour: totals[hour] / hour.seconds)
    return {
        "start": busiest.start.strftime(_HOUR_FORMAT),
        "verifications": totals[busiest],
        "per_second": round(totals[busiest] / busiest.seconds, 6),
    }
