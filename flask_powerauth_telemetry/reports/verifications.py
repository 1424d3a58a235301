"""Signature verifications out of PowerAuth's audit, by kind and by slot of the wall clock."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import (
    Connection,
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
from flask_powerauth_telemetry.providers import ReportContext
from flask_powerauth_telemetry.reports.clock_hours import WallSlots

Kind = tuple[str | None, ...]
"""The type of a signature, and its algorithm where that is recorded."""

_TYPE = "signature_type"
_ALGORITHM = "signature_algorithm"


@dataclass(frozen=True)
class Verifications:
    """How many there were: all and the valid ones by kind, all by slot of the wall clock."""

    totals: Counter[Kind] = field(default_factory=Counter)
    valid: Counter[Kind] = field(default_factory=Counter)
    slots: Counter[int] = field(default_factory=Counter)


def read_verifications(
    context: ReportContext, application_id: int, start: datetime, slots: WallSlots
) -> Verifications:
    """Those of an application in the closed window from an aware ``start`` to now, by one pass."""
    window = (context.database_time(start), context.database_time(context.now))
    statement = signatures_statement(
        context.tables, application_id, window, slots, _kind_columns(context)
    )
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


def _kind_columns(context: ReportContext) -> Sequence[str]:
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
