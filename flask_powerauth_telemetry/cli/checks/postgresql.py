"""What PostgreSQL's catalog tells any account about itself and about tables; no row is read."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, bindparam, text

# Views and synonyms by other names are found by the names that are configured.
_RELATIONS = (
    " FROM pg_class relation JOIN pg_namespace namespace ON namespace.oid = relation.relnamespace"
)
_OUR_RELATIONS = (
    " (relation.relname LIKE 'pa!_%' ESCAPE '!' OR relation.relname IN :names)"
    " AND relation.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND has_schema_privilege(namespace.oid, 'USAGE')"
)
_READABLE_COLUMNS = text(
    "SELECT namespace.nspname || '.' || relation.relname || '.' || attribute.attname"
    + _RELATIONS
    + " JOIN pg_attribute attribute ON attribute.attrelid = relation.oid WHERE"
    + _OUR_RELATIONS
    + " AND attribute.attname IN :columns AND NOT attribute.attisdropped"
    " AND has_column_privilege(relation.oid, attribute.attnum, 'SELECT') ORDER BY 1"
).bindparams(bindparam("names", expanding=True), bindparam("columns", expanding=True))
_WRITABLE_RELATIONS = text(
    "SELECT namespace.nspname || '.' || relation.relname"
    + _RELATIONS
    + " WHERE"
    + _OUR_RELATIONS
    + " AND (has_any_column_privilege(relation.oid, 'INSERT, UPDATE')"
    " OR has_table_privilege(relation.oid, 'DELETE, TRUNCATE')) ORDER BY 1"
).bindparams(bindparam("names", expanding=True))
_SIZE = text(
    "SELECT reltuples, relpages * CAST(current_setting('block_size') AS bigint)"
    " FROM pg_class WHERE oid = to_regclass(:name)"
)


@dataclass(frozen=True)
class Size:
    """The size of a table as it was last estimated."""

    rows: int
    bytes: int


def readable_columns(
    connection: Connection, relations: Collection[str], columns: Collection[str]
) -> Sequence[str]:
    """Which columns of these names this account can read, as schema.relation.column.

    In PowerAuth's tables in every schema, and in the ``relations`` named.
    """
    names = {"names": list(relations), "columns": list(columns)}
    return connection.execute(_READABLE_COLUMNS, names).scalars().all()


def writable_relations(connection: Connection, relations: Collection[str]) -> Sequence[str]:
    """In which of PowerAuth's tables, and of the ``relations``, this account may change rows."""
    return connection.execute(_WRITABLE_RELATIONS, {"names": list(relations)}).scalars().all()


def is_standby(connection: Connection) -> bool:
    """Whether the server follows another one by physical replication."""
    return bool(connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one())


def setting(connection: Connection, name: str) -> str:
    """The value of a setting, as this transaction has it."""
    statement = text("SELECT current_setting(:name)")
    return str(connection.execute(statement, {"name": name}).scalar_one())


def estimated_size(connection: Connection, table: Table) -> Size | None:
    """The size of a table, None for a view and for a table that was never analysed."""
    name = connection.dialect.identifier_preparer.format_table(table)
    row = connection.execute(_SIZE, {"name": name}).one_or_none()
    return Size(int(row[0]), int(row[1])) if row is not None and row[0] > 0 else None
