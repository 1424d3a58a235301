"""Checks of tables: where each one that a report reads is, and what it holds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Integer,
    Numeric,
    String,
    Table,
    column,
    literal,
    select,
    text,
)

from flask_powerauth_telemetry.cli.checks.findings import Finding, Target, cause_of
from flask_powerauth_telemetry.cli.checks.reports import refusal_cure
from flask_powerauth_telemetry.config.values import INTEGRATION_BIND, PA_INTEGRATION
from flask_powerauth_telemetry.database.tables import SINCE, TABLE_NAMES, integration_table
from flask_powerauth_telemetry.reports.activity import READ_COLUMNS
from flask_powerauth_telemetry.reports.verifications import columns_of

CLIENT_SECRET = "client_secret"  # noqa: S105 - the name of a column

RELATIONS = (
    " FROM pg_class relation JOIN pg_namespace namespace ON namespace.oid = relation.relnamespace"
)
"""Where PostgreSQL's catalog has tables and views, with their schemas."""

_NAMESAKES = (
    RELATIONS + " WHERE relation.relname = :name AND relation.relkind IN ('r', 'p', 'v', 'm', 'f')"
)
_SCHEMAS = text(f"SELECT namespace.nspname {_NAMESAKES} ORDER BY 1")
_IS_SEEN = text(
    "SELECT bool_or(CASE WHEN CAST(:schema AS text) IS NULL"
    " THEN namespace.nspname = ANY (current_schemas(true))"
    " ELSE namespace.nspname = :schema AND has_schema_privilege(namespace.oid, 'USAGE') END)"
    + _NAMESAKES
)
_USABLE = text(
    "SELECT namespace.nspname || '.' || relation.relname"
    + _NAMESAKES
    + " AND has_schema_privilege(namespace.oid, 'USAGE')"
    " ORDER BY NOT pg_table_is_visible(relation.oid), 1"
)

_OTHER_TYPES: Mapping[type, tuple[type, ...]] = {
    DateTime: (String, Integer, Numeric),
    Integer: (String, DateTime),
}
"""Types of columns that can't be compared with what PowerAuth's columns are compared with."""


def check_tables(target: Target) -> Iterator[Finding]:
    """Whether each table that a report names can be read."""
    read = [(report.name, report.provider.tables) for report in target.reports]
    if target.is_recorded:
        read.append(("flask telemetry snapshot", READ_COLUMNS))
    if reads_credentials(target):
        credentials = {PA_INTEGRATION: ("id", "name", "client_token", CLIENT_SECRET)}
        read.append(("application credentials", credentials))
    readers: dict[tuple[str, Sequence[str]], list[str]] = {}
    for reader, tables in read:
        for name in tables:
            named = tuple(tables[name]) if isinstance(tables, Mapping) else ()
            readers.setdefault((name, named), []).append(reader)
    for (name, columns), names in readers.items():
        yield from _check_table(target, name, columns, ", ".join(names))
    if readers:
        return
    if target.reports:
        yield target.note("no report names a table of this database")
    elif target.bind is None:
        yield target.note("nothing reads this database")
    else:
        key = target.state.config.key("report_binds")
        cure = f"Correct its name, name it in {key}, or take it out"
        yield target.warning("nothing reads this database", cure)


def _check_table(
    target: Target, name: str, columns: Sequence[str], reader: str
) -> Iterator[Finding]:
    if name == PA_INTEGRATION:
        relation = integration_table(target.database.tables)
    elif name in TABLE_NAMES:
        relation = getattr(target.database.tables, name)
    else:
        yield target.note(f"{name} is no table of PowerAuth that reports may read")
        return
    columns = _there(target, relation, columns)
    names = f" ({', '.join(columns)})" if columns else ""
    # Without columns to name, any one that may be read lets this pass.
    chosen: list[ColumnElement[Any]] = [column(one) for one in columns]
    refusal = target.refusal_of(select(*(chosen or [literal(1)])).select_from(relation))
    if refusal is None:
        yield target.ok(f"{relation.fullname}{names} is readable, for {reader}")
        yield from _shadowed(target, relation)
        yield from _types(target, relation, columns)
        return
    text = f"{relation.fullname}{names} is not readable, for {reader}: {cause_of(refusal)}"
    cure = _cure(target, relation, f"Grant SELECT{names} on it")
    yield target.error(text, refusal_cure(target, refusal, cure))


def _there(target: Target, relation: Table, columns: Sequence[str]) -> Sequence[str]:
    """The columns, without those of a later PowerAuth that the table does not have."""
    if SINCE.keys().isdisjoint(columns):
        return columns
    with target.database.connect() as connection:
        found = columns_of(connection, relation)
    return tuple(one for one in columns if one not in SINCE or one in found)


def _cure(target: Target, relation: Table, grant: str) -> str:
    """What to do about a table that can't be read: find it, or ``grant`` what is missing."""
    elsewhere = f"say where it is with {target.state.config.key('tables')}"
    if target.dialect != "postgresql":
        return f"{grant}, and USAGE on its schema; or {elsewhere} or {target.key('schema')}"
    with target.database.connect() as connection:
        schemas = connection.scalars(_SCHEMAS, {"name": relation.name}).all()
        seen = connection.scalar(_IS_SEEN, {"name": relation.name, "schema": relation.schema})
    if not schemas:
        return f"Let {target.key('url')} name PowerAuth's database, or {elsewhere}"
    if seen:
        return grant
    found = f"set {target.key('schema')} to that, {' or '.join(schemas)}"
    return f"{grant}, and USAGE on its schema; {found}, or {elsewhere}"


def _shadowed(target: Target, relation: Table) -> Iterator[Finding]:
    """Whether other schemas have a table of this name, which a connection could find instead."""
    if target.dialect != "postgresql" or relation.schema is not None:
        return
    with target.database.connect() as connection:
        names = connection.scalars(_USABLE, {"name": relation.name}).all()
    if len(names) > 1:
        text = f"{', '.join(names)}: the first is read, by the account's search_path"
        yield target.warning(text, f"Say which one with {target.key('schema')}")


def _types(target: Target, relation: Table, columns: Sequence[str]) -> Iterator[Finding]:
    """Which columns are of another type, and which times have a zone or are dates alone."""
    if target.words.indexes:
        return  # its catalog can't be looked at either
    with target.database.connect() as connection:
        found = columns_of(connection, relation)
    read = columns or relation.c.keys()
    kinds = {name: kind for name, kind in found.items() if name in read}
    times = {
        name: kind for name, kind in kinds.items() if isinstance(relation.c[name].type, DateTime)
    }
    if dates := [name for name, kind in times.items() if isinstance(kind, Date)]:
        text = f"{relation.fullname} ({', '.join(dates)}) holds dates without a time of day"
        cure = "Map the table to a view that has the times; numbers are wrong by up to a day"
        yield target.error(text, cure, columns=dates)
    others = [
        name
        for name, kind in kinds.items()
        for ours, theirs in _OTHER_TYPES.items()
        if isinstance(relation.c[name].type, ours) and isinstance(kind, theirs)
    ]
    if others and target.dialect != "sqlite":  # which keeps anything in a column of any type
        text = f"{relation.fullname} ({', '.join(others)}) holds another type than PowerAuth's"
        cure = f"Map it to a view that casts it, with {target.state.config.key('tables')}"
        yield target.error(text, cure, columns=others)
    zoned = [name for name, kind in times.items() if getattr(kind, "timezone", False) is True]
    if not zoned:
        return
    text = f"{relation.fullname} ({', '.join(zoned)}) holds times with a zone"
    if target.dialect == "postgresql":
        zone = target.database.timezone
        yield target.note(f"{text}, which are compared in {zone}", columns=zoned)
    else:
        cure = "Map the table to a view that casts them to times without one"
        yield target.warning(f"{text}, which the session decides", cure, columns=zoned)


def reads_credentials(target: Target) -> bool:
    """Whether application credentials are read from this database."""
    if target.state.config.credentials != PA_INTEGRATION:
        return False
    return target.bind == (INTEGRATION_BIND if INTEGRATION_BIND in target.state.databases else None)
