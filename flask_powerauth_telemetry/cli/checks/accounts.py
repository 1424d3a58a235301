"""Checks of what an account of a database may do: read secrets, and write."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    bindparam,
    literal_column,
    select,
    table,
    text,
)

from flask_powerauth_telemetry.cli.checks.databases import setting
from flask_powerauth_telemetry.cli.checks.findings import Finding, Target
from flask_powerauth_telemetry.cli.checks.reports import refusal_of
from flask_powerauth_telemetry.cli.checks.tables import (
    CLIENT_SECRET,
    RELATIONS,
    reads_credentials,
    relation_of,
)
from flask_powerauth_telemetry.config.values import INTEGRATION_BIND, PA_INTEGRATION

SECRET_COLUMNS: Mapping[str, Sequence[str]] = {
    "pa_activation": (
        "server_private_key_base64",
        "ctr_data",
        "activation_otp",
        "shared_secret",
        "biometric_factor_key",
        "knowledge_factor_key",
    ),
    PA_INTEGRATION: (CLIENT_SECRET,),
}
"""Keys, counters and secrets, which an account for reports should not be able to read."""


# Views and synonyms by other names are found by the names that are configured.
_OUR_RELATIONS = (
    " (relation.relname LIKE 'pa!_%' ESCAPE '!' OR relation.relname IN :names)"
    " AND relation.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND has_schema_privilege(namespace.oid, 'USAGE')"
)
_READABLE_COLUMNS = text(
    "SELECT namespace.nspname || '.' || relation.relname || '.' || attribute.attname"
    + RELATIONS
    + " JOIN pg_attribute attribute ON attribute.attrelid = relation.oid WHERE"
    + _OUR_RELATIONS
    + " AND attribute.attname IN :columns AND NOT attribute.attisdropped"
    " AND has_column_privilege(relation.oid, attribute.attnum, 'SELECT') ORDER BY 1"
).bindparams(bindparam("names", expanding=True), bindparam("columns", expanding=True))
_WRITABLE_RELATIONS = text(
    "SELECT namespace.nspname || '.' || relation.relname"
    + RELATIONS
    + " WHERE"
    + _OUR_RELATIONS
    + " AND (has_any_column_privilege(relation.oid, 'INSERT, UPDATE')"
    " OR has_table_privilege(relation.oid, 'DELETE, TRUNCATE')) ORDER BY 1"
).bindparams(bindparam("names", expanding=True))


def check_secrets(target: Target) -> Iterator[Finding]:
    """Whether the account is unable to read keys and secrets."""
    if target.dialect == "sqlite":
        yield target.ok("secrets", "not applicable: who can open an SQLite file can read all of it")
        return
    is_own = _is_own_integration(target)
    readable = _readable_secrets(target)
    found = [name for name in readable if not (is_own and name.endswith(f".{CLIENT_SECRET}"))]
    if found:
        yield target.warning(
            "secrets",
            f"THIS ACCOUNT CAN READ SECRETS: {', '.join(found)}",
            "Give the service an account that can read only the columns it needs:"
            " docs/databases.md, Least privileges",
            columns=found,
        )
    else:
        own = ", but client_secret, which it is for" if is_own else ""
        text = f"this account can't read PowerAuth's keys and secrets{own}"
        yield target.ok("secrets", text)
    if reads_credentials(target) and INTEGRATION_BIND not in target.state.config.binds:
        yield target.warning(
            "secrets",
            "application credentials are read by the account of the reports",
            f"Set {target.state.config.key('binds')}[{INTEGRATION_BIND!r}]"
            " to the URL of an account for pa_integration alone",
        )


def _readable_secrets(target: Target) -> Sequence[str]:
    if target.dialect == "postgresql":
        columns = [column for names in SECRET_COLUMNS.values() for column in names]
        with target.database.connect() as connection:
            return readable_columns(connection, _relations(target), columns)
    return [
        f"{name}.{column}"
        for name, columns in SECRET_COLUMNS.items()
        for column in columns
        if refusal_of(target, _select_column(target, name, column)) is None
    ]


def _select_column(target: Target, name: str, column: str) -> Select[Any]:
    known = relation_of(target, name)
    relation = table(known.name, schema=known.schema) if known is not None else table(name)
    return select(literal_column(column)).select_from(relation)


def _is_own_integration(target: Target) -> bool:
    """Whether it is the account that is for reading credentials alone."""
    own = target.bind == INTEGRATION_BIND and INTEGRATION_BIND in target.state.config.binds
    return own and reads_credentials(target)


def check_read_only(target: Target) -> Iterator[Finding]:
    """Whether nothing can be written."""
    if target.dialect == "sqlite":
        how = "the file is opened read-only" if target.database.ours else "as engine= was made"
        yield target.ok("read-only", how)
        return
    if target.dialect != "postgresql":
        yield target.note("read-only", target.words.writing)
        return
    with target.database.connect() as connection:
        guarded = setting(connection, "transaction_read_only") == "on"
        writable = list(writable_relations(connection, _relations(target)))
    if not guarded:
        yield target.error("read-only", "the transaction is not read-only", "Report this as a bug")
    if writable:
        yield target.warning(
            "read-only",
            f"transactions are read-only, but this account could change {', '.join(writable)}",
            "Revoke INSERT, UPDATE, DELETE and TRUNCATE, or use an account without them",
            tables=writable,
        )
    elif guarded:
        yield target.ok("read-only", "transactions are read-only, and this account can't write")


def _relations(target: Target) -> Sequence[str]:
    """The names of what is read instead of PowerAuth's tables, without a schema."""
    mapped = target.state.config.tables.values()
    return [relation.rpartition(".")[2] for relation in mapped] or ["pa_activation"]


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
