"""Signature verifications, as PowerAuth's audit tells: how they are read, counted and shown."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from marshmallow import fields
from sqlalchemy import (
    ColumnElement,
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
from sqlalchemy.types import TypeEngine

from flask_powerauth_telemetry.database.tables import PowerAuthTables, WallClock
from flask_powerauth_telemetry.fields import CountField, DataSchema
from flask_powerauth_telemetry.providers import ReportContext
from flask_powerauth_telemetry.reports.activity import WholeSlots, bucket_of, in_windows
from flask_powerauth_telemetry.reports.clock_hours import ClockHour, WallSlots

Kind = tuple[str | None, ...]
"""The type of a signature, and its algorithm; None where that is not recorded."""

Within = Callable[[ColumnElement[datetime], Sequence[datetime]], ColumnElement[bool]]
"""Whether a time lies between edges, which are naive times, the newest first."""

READ_COLUMNS: Mapping[str, Sequence[str]] = {
    "pa_application": ("id", "name"),
    "pa_activation": ("activation_id", "application_id"),
    "pa_signature_audit": (
        "activation_id",
        "valid",
        "signature_type",
        "signature_algorithm",
        "timestamp_created",
    ),
}
"""All that verifications are counted from, by table; the algorithm where PowerAuth has it."""

HOUR_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_TYPE = "signature_type"
_ALGORITHM = "signature_algorithm"
_MINUTE = timedelta(minutes=1)


class TypeSchema(DataSchema):
    """Verifications of a type and an algorithm, as the database names them; None for no name."""

    type = fields.String(allow_none=True)
    algorithm = fields.String(allow_none=True)
    total = CountField()
    valid = CountField()
    invalid = CountField()


class HourSchema(DataSchema):
    """An hour: its start in UTC, its verifications, and their mean per second."""

    start = fields.String()
    verifications = CountField()
    per_second = fields.Float()


@dataclass(frozen=True)
class Verifications:
    """How many there were in a time: all and the valid ones by kind, all by hour of UTC.

    Those at a time that no clock showed are in no hour.
    """

    totals: Counter[Kind] = field(default_factory=Counter)
    valid: Counter[Kind] = field(default_factory=Counter)
    hours: Counter[ClockHour] = field(default_factory=Counter)

    def total(self) -> int:
        """How many there were."""
        return self.totals.total()

    def report_data(self) -> dict[str, Any]:
        """How many there were, of which types, and in the busiest hour, as reports give it."""
        return {
            **_numbers(self.total(), self.valid.total()),
            "by_type": self._by_type(),
            "busiest_hour": self._busiest_hour(),
        }

    def _by_type(self) -> list[dict[str, Any]]:
        return [
            {"type": kind[0], "algorithm": kind[1], **_numbers(self.totals[kind], self.valid[kind])}
            for kind in sorted(self.totals, key=lambda kind: [name or "" for name in kind])
        ]

    def _busiest_hour(self) -> dict[str, Any] | None:
        """The hour with most verifications a second, the earliest of several; None without any."""
        hours = self.hours
        if not hours:
            return None
        by_start = sorted(hours, key=lambda hour: hour.start)
        busiest = max(by_start, key=lambda hour: hours[hour] / hour.seconds)
        return {
            "start": busiest.start.strftime(HOUR_FORMAT),
            "verifications": hours[busiest],
            "per_second": round(hours[busiest] / busiest.seconds, 6),
        }


def sum_of(parts: Iterable[Verifications]) -> Verifications:
    """The verifications of several times together."""
    found = Verifications()
    for part in parts:
        found.totals.update(part.totals)
        found.valid.update(part.valid)
        found.hours.update(part.hours)
    return found


class Audit:
    """Reads verifications, and knows of each engine by which columns to tell their kinds."""

    def __init__(self) -> None:
        self._known_kinds: WeakKeyDictionary[Engine, tuple[datetime | None, Sequence[str]]]
        self._known_kinds = WeakKeyDictionary()

    def read(
        self,
        context: ReportContext,
        application_id: int,
        edges: Sequence[datetime],
        slots: WallSlots,
        within: Within = in_windows,
    ) -> Mapping[int, Verifications]:
        """The verifications of an application by bucket, as ``bucket_of`` numbers them.

        From one pass over the times that are ``within`` the edges.
        """
        kinds = self._kinds(context)
        statement = signatures_statement(
            context.tables, application_id, edges, slots, kinds, within
        )
        found: dict[int, Verifications] = {}
        for bucket, slot, total, valid, *names in context.connection.execute(statement):
            part = found.setdefault(int(bucket), Verifications())
            kind = (*names, None)[:2]
            part.totals[kind] += total
            part.valid[kind] += int(valid)
            if hour := slots.hours.get(int(slot)):
                part.hours[hour] += total
        return found

    def _kinds(self, context: ReportContext) -> Sequence[str]:
        """The columns that tell kinds of signatures apart, looked up once a minute."""
        engine = context.connection.engine
        looked_up_at, kinds = self._known_kinds.get(engine, (None, ()))
        if looked_up_at is None or not timedelta(0) <= context.now - looked_up_at < _MINUTE:
            columns = columns_of(context.connection, context.tables.pa_signature_audit)
            kinds = (_TYPE, _ALGORITHM) if _ALGORITHM in columns else (_TYPE,)
            self._known_kinds[engine] = (context.now, kinds)
        return kinds


def signatures_statement(
    tables: PowerAuthTables,
    application_id: int,
    edges: Sequence[datetime],
    slots: WallSlots,
    kinds: Sequence[str],
    within: Within = in_windows,
) -> Executable:
    """Rows of (bucket, slot, total, valid, one value for each column that ``kinds`` names)."""
    activation, audit = tables.pa_activation, tables.pa_signature_audit
    created = audit.c.timestamp_created
    verified = (
        select(
            bucket_of(created, edges).label("bucket"),
            WholeSlots(created, literal(slots.origin, WallClock), slots.seconds).label("slot"),
            case((audit.c.valid == true(), 1), else_=0).label("valid"),
            *(audit.c[kind] for kind in kinds),
        )
        .select_from(audit)
        .join(activation, activation.c.activation_id == audit.c.activation_id)
        .where(activation.c.application_id == application_id)
        .where(within(created, edges))
        .subquery("verified")
    )
    groups = [verified.c.bucket, verified.c.slot, *(verified.c[kind] for kind in kinds)]
    bucket, slot, *others = groups
    counts = (func.count().label("total"), func.sum(verified.c.valid).label("valid"))
    return select(bucket, slot, *counts, *others).group_by(*groups)


def columns_of(connection: Connection, table: Table) -> Mapping[str, TypeEngine[Any]]:
    """The types of a table's columns by name, none where the catalog doesn't list it."""
    try:
        columns = inspect(connection).get_columns(table.name, table.schema)
    except NoSuchTableError:
        return {}
    return {column["name"]: column["type"] for column in columns}


def _numbers(total: int, valid: int) -> dict[str, int]:
    return {"total": total, "valid": valid, "invalid": total - valid}
