"""Signature verifications: how many, by type, by hour, and in the busiest hour."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

from marshmallow import Schema, fields
from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    Table,
    case,
    func,
    inspect,
    literal,
    select,
    true,
)
from sqlalchemy.exc import NoSuchTableError

from flask_powerauth_telemetry.database.functions import WholeSlots
from flask_powerauth_telemetry.database.tables import PowerAuthTables, WallClock
from flask_powerauth_telemetry.fields import CountField
from flask_powerauth_telemetry.providers import ReportContext, ReportProvider
from flask_powerauth_telemetry.reports.active_users import ApplicationAndDaysSchema
from flask_powerauth_telemetry.reports.activity import DAY
from flask_powerauth_telemetry.reports.clock_hours import ClockHour, WallSlots, wall_slots

Kind = tuple[str | None, ...]
"""The type of a signature, and its algorithm where that is recorded."""

_TYPE = "signature_type"
_ALGORITHM = "signature_algorithm"
_HOUR_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_MINUTE = timedelta(minutes=1)
_START = attrgetter("start")


class VerificationsSchema(Schema):
    """How many verifications there were: valid and invalid ones make the total."""

    total = CountField()
    valid = CountField()
    invalid = CountField()


class TypeSchema(VerificationsSchema):
    """Those of a type and an algorithm, as the database names them; None for no name."""

    type = fields.String(required=True, allow_none=True)
    algorithm = fields.String(required=True, allow_none=True)


class HourSchema(Schema):
    """An hour: its start in UTC, its verifications, and their mean per second."""

    start = fields.String(required=True)
    verifications = CountField()
    per_second = fields.Float(required=True, data_key="perSecond")


class ByHourSchema(Schema):
    """The verifications of each hour of UTC from ``start`` on, without a gap.

    None stands for an hour that is counted with the one before it.
    """

    start = fields.String(required=True)
    verifications = fields.List(CountField(allow_none=True), required=True)


class SignaturesSchema(VerificationsSchema):
    """Report data of ``SIGNATURES_IN_PAST_DAYS``."""

    application = fields.String(required=True)
    days = fields.Integer(required=True)
    by_type = fields.List(fields.Nested(TypeSchema), required=True, data_key="byType")
    by_hour = fields.Nested(ByHourSchema, required=True, data_key="byHour")
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
    tables: Mapping[str, Sequence[str]] = {
        "pa_application": ("id", "name"),
        "pa_activation": ("activation_id", "application_id"),
        # signature_algorithm is only there since PowerAuth 2.2.
        "pa_signature_audit": ("activation_id", "valid", "signature_type", "timestamp_created"),
    }

    def __init__(self) -> None:
        self._known_kinds: WeakKeyDictionary[Engine, tuple[datetime | None, Sequence[str]]]
        self._known_kinds = WeakKeyDictionary()

    def generate(self, context: ReportContext, application: str, days: int) -> Mapping[str, Any]:
        """All numbers, from one pass over the audit of the window."""
        application_id = context.application(application).id
        start = context.now - days * DAY
        slots = wall_slots(start, context.now, context.database_time)
        kinds = self._kinds(context)
        found = _read_verifications(context, application_id, start, slots, kinds)
        totals = _by_clock_hour(found.slots, slots)
        return {
            "application": application,
            "days": days,
            **_numbers(found.totals.total(), found.valid.total()),
            "by_type": _by_type(found),
            "by_hour": _by_hour(totals, slots, start),
            "busiest_hour": _busiest_hour(totals),
        }

    def _kinds(self, context: ReportContext) -> Sequence[str]:
        """The columns that tell kinds of signatures apart, looked up once a minute."""
        engine = context.connection.engine
        looked_up_at, kinds = self._known_kinds.get(engine, (None, ()))
        if looked_up_at is None or not timedelta(0) <= context.now - looked_up_at < _MINUTE:
            columns = _columns(context.connection, context.tables.pa_signature_audit)
            kinds = (_TYPE, _ALGORITHM) if _ALGORITHM in columns else (_TYPE,)
            self._known_kinds[engine] = (context.now, kinds)
        return kinds


@dataclass(frozen=True)
class Verifications:
    """How many there were: all and the valid ones by kind, all by slot of the wall clock."""

    totals: Counter[Kind] = field(default_factory=Counter)
    valid: Counter[Kind] = field(default_factory=Counter)
    slots: Counter[int] = field(default_factory=Counter)


def _read_verifications(
    context: ReportContext,
    application_id: int,
    start: datetime,
    slots: WallSlots,
    kinds: Sequence[str],
) -> Verifications:
    """Those of an application in the closed window from an aware ``start`` to now, by one pass."""
    window = (context.database_time(start), context.database_time(context.now))
    statement = signatures_statement(context.tables, application_id, window, slots, kinds)
    found = Verifications()
    for slot, total, valid, *kind in context.connection.execute(statement):
        found.totals[tuple(kind)] += total
        found.valid[tuple(kind)] += int(valid)
        found.slots[int(slot)] += total
    return found


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


def _columns(connection: Connection, table: Table) -> frozenset[str]:
    """The names of a table's columns, none where the catalog doesn't list it."""
    try:
        columns = inspect(connection).get_columns(table.name, table.schema)
    except NoSuchTableError:
        return frozenset()
    return frozenset(column["name"] for column in columns)


def _by_type(found: Verifications) -> list[dict[str, Any]]:
    """The verifications of each kind, in the order of the names."""
    return [
        {
            "type": kind[0],
            "algorithm": kind[1] if len(kind) > 1 else None,
            **_numbers(found.totals[kind], found.valid[kind]),
        }
        for kind in sorted(found.totals, key=lambda kind: [name or "" for name in kind])
    ]


def _numbers(total: int, valid: int) -> dict[str, int]:
    return {"total": total, "valid": valid, "invalid": total - valid}


def _by_clock_hour(counts: Counter[int], slots: WallSlots) -> Counter[ClockHour]:
    """The verifications of each hour; those at a time that no clock showed are in none."""
    totals: Counter[ClockHour] = Counter()
    for slot, total in counts.items():
        if hour := slots.hours.get(slot):
            totals[hour] += total
    return totals


def _by_hour(totals: Counter[ClockHour], slots: WallSlots, start: datetime) -> dict[str, Any]:
    """Those of all hours from the one that holds ``start``."""
    hours = sorted({hour for hour in slots.hours.values() if hour.end > start}, key=_START)
    verifications: list[int | None] = []
    for hour in hours:
        verifications += [totals[hour], *[None] * (hour.count - 1)]
    return {"start": hours[0].start.strftime(_HOUR_FORMAT), "verifications": verifications}


def _busiest_hour(totals: Counter[ClockHour]) -> dict[str, Any] | None:
    """The hour with most verifications a second, the earliest of several; None without any."""
    if not totals:
        return None
    busiest = max(sorted(totals, key=_START), key=lambda hour: totals[hour] / hour.seconds)
    return {
        "start": busiest.start.strftime(_HOUR_FORMAT),
        "verifications": totals[busiest],
        "per_second": round(totals[busiest] / busiest.seconds, 6),
    }
