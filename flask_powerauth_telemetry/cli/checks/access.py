"""Checks of an account: what it can reach, and read."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, false, literal, select

from flask_powerauth_telemetry.cli.checks.findings import Finding, Target, cause_of, duration
from flask_powerauth_telemetry.config.values import INTEGRATION_BIND, PA_INTEGRATION
from flask_powerauth_telemetry.database.tables import TABLE_NAMES, integration_table
from flask_powerauth_telemetry.exceptions import TelemetryError

CLIENT_SECRET = "client_secret"  # noqa: S105 - the name of a column


def check_connection(target: Target) -> Finding:
    """Whether a connection can be opened and used, and how long that takes."""
    started = time.monotonic()
    try:
        with target.database.connect() as connection:
            connection.execute(select(literal(1))).scalar_one()
            version = connection.dialect.server_version_info or ()
    except TelemetryError as error:
        cure = f"Check {_url_key(target)}, the network, and that the server runs"
        return target.error("connection", f"can't connect: {cause_of(error)}", cure)
    seconds = time.monotonic() - started
    server = f"{target.dialect} {'.'.join(str(part) for part in version)}"
    return target.ok(
        "connection", f"connected to {server} in {duration(seconds)}", seconds=round(seconds, 3)
    )


def check_tables(target: Target) -> Iterator[Finding]:
    """Whether each table that a report names can be read."""
    readers: dict[tuple[str, Sequence[str]], list[str]] = {}
    for report in target.state.registry:
        if report.bind == target.bind:
            for read in _read_columns(report.provider.tables):
                readers.setdefault(read, []).append(report.name)
    for (name, columns), reports in readers.items():
        yield _check_table(target, name, columns, ", ".join(reports))
    if reads_credentials(target):
        columns = ("id", "name", "client_token", CLIENT_SECRET)
        yield _check_table(target, PA_INTEGRATION, columns, "application credentials")
    elif not readers:
        yield target.note("tables", "no report names a table of this database")


def _read_columns(tables: Collection[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Each table that a report names, with the columns that it names, if it does."""
    for name in tables:
        yield name, tuple(tables[name]) if isinstance(tables, Mapping) else ()


def _check_table(target: Target, name: str, columns: Sequence[str], reader: str) -> Finding:
    relation = relation_of(target, name)
    if relation is None:
        return target.note("tables", f"{name} is no table of PowerAuth that reports may read")
    names = f" ({', '.join(columns)})" if columns else ""
    # Without columns to name, any one that may be read lets this pass.
    chosen: list[ColumnElement[Any]] = [relation.c[column] for column in columns]
    cause = refusal_of(target, select(*(chosen or [literal(1)])).select_from(relation))
    if cause is None:
        return target.ok("tables", f"{relation.fullname}{names} is readable, for {reader}")
    config = target.state.config
    return target.error(
        "tables",
        f"{relation.fullname}{names} is not readable, for {reader}: {cause}",
        f"Grant SELECT{names} on it, or say where it is with {config.key('tables')}"
        f" or {config.key('database_schema')}",
    )


def reads_credentials(target: Target) -> bool:
    """Whether application credentials are read from this database."""
    if target.state.config.credentials != PA_INTEGRATION:
        return False
    return target.bind == (INTEGRATION_BIND if INTEGRATION_BIND in target.state.databases else None)


def relation_of(target: Target, name: str) -> Table | None:
    """A table as it is mapped, None for one that is not known."""
    if name not in TABLE_NAMES:
        return None
    if name == PA_INTEGRATION:
        config = target.state.config
        bind = config.binds.get(target.name)
        schema = bind.schema if bind and bind.schema else config.database_schema
        return integration_table(schema, config.tables)
    relation: Table = getattr(target.database.tables, name)
    return relation


def refusal_of(target: Target, statement: Select[Any]) -> str | None:
    """Why a statement is refused, None when it runs; it reads no row."""
    try:
        with target.database.connect() as connection:
            connection.execute(statement.where(false())).all()
    except TelemetryError as error:
        return cause_of(error)
    return None


def _url_key(target: Target) -> str:
    config = target.state.config
    if target.bind in config.binds:
        return f"{config.key('binds')}[{target.bind!r}]"
    return config.key("database_url") if target.database.ours else "engine="
