"""Checks of what an account of a database may do: read secrets, and write."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import bindparam, func, literal_column, select, text

from flask_powerauth_telemetry.cli.checks.findings import Finding, Target
from flask_powerauth_telemetry.cli.checks.tables import (
    CLIENT_SECRET,
    RELATIONS,
    reads_credentials,
)
from flask_powerauth_telemetry.config.values import INTEGRATION_BIND, PA_INTEGRATION
from flask_powerauth_telemetry.database.tables import integration_table

_SECRET_COLUMNS: Mapping[str, Sequence[str]] = {
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
        yield target.ok("not applicable: who can open an SQLite file can read all of it")
        return
    has_own_bind = INTEGRATION_BIND in target.state.config.binds
    is_own = has_own_bind and target.bind == INTEGRATION_BIND and reads_credentials(target)
    readable = _readable_secrets(target)
    found = [name for name in readable if not (is_own and name.endswith(f".{CLIENT_SECRET}"))]
    if found:
        yield target.warning(
            f"THIS ACCOUNT CAN READ SECRETS: {', '.join(found)}",
            "Give the service an account that can read only the columns it needs:"
            " docs/databases.md, Least privileges",
            columns=found,
        )
    else:
        own = ", but client_secret, which it is for" if is_own else ""
        text = f"this account can't read PowerAuth's keys and secrets{own}"
        yield target.ok(text)
    if reads_credentials(target) and not has_own_bind:
        yield target.warning(
            "application credentials are read by the account of the reports",
            f"Set {target.state.config.key('binds')}[{INTEGRATION_BIND!r}]"
            " to the URL of an account for pa_integration alone",
        )


def _readable_secrets(target: Target) -> Sequence[str]:
    if target.dialect == "postgresql":
        columns = [column for names in _SECRET_COLUMNS.values() for column in names]
        names = {"names": _relations(target), "columns": columns}
        with target.database.connect() as connection:
            return connection.scalars(_READABLE_COLUMNS, names).all()
    tables = target.database.tables
    relations = {"pa_activation": tables.pa_activation, PA_INTEGRATION: integration_table(tables)}
    return [
        f"{name}.{column}"
        for name, columns in _SECRET_COLUMNS.items()
        for column in columns
        if not target.refusal_of(select(literal_column(column)).select_from(relations[name]))
    ]


def check_read_only(target: Target) -> Iterator[Finding]:
    """Whether nothing can be written."""
    if target.dialect == "sqlite":
        how = "the file is opened read-only" if target.database.ours else "as engine= was made"
        yield target.ok(how)
        return
    if target.dialect != "postgresql":
        yield target.note(target.words.writing)
        return
    with target.database.connect() as connection:
        guarded = connection.scalar(select(func.current_setting("transaction_read_only"))) == "on"
        writable = connection.scalars(_WRITABLE_RELATIONS, {"names": _relations(target)}).all()
    if not guarded:
        yield target.error("the transaction is not read-only", "Report this as a bug")
    if writable:
        yield target.warning(
            f"transactions are read-only, but this account could change {', '.join(writable)}",
            "Revoke INSERT, UPDATE, DELETE and TRUNCATE, or use an account without them",
            tables=writable,
        )
    elif guarded:
        yield target.ok("transactions are read-only, and this account can't write")


def _relations(target: Target) -> Sequence[str]:
    """The names of what is read instead of PowerAuth's tables, without a schema."""
    mapped = target.state.config.tables.values()
    return [relation.rpartition(".")[2] for relation in mapped] or ["pa_activation"]
