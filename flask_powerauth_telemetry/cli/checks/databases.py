"""Checks of a database server: whether it answers, its part in replication, clock, indexes."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, func, inspect, literal, select, text
from sqlalchemy.exc import NoSuchTableError

from flask_powerauth_telemetry.cli.checks.findings import Finding, Target, cause_of, duration
from flask_powerauth_telemetry.exceptions import TelemetryError

CLOCK_TOLERANCE_SECONDS = 5


_SIZE = text(
    "SELECT reltuples, relpages * CAST(current_setting('block_size') AS bigint)"
    " FROM pg_class WHERE oid = to_regclass(:name)"
)


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


def check_server(target: Target) -> Iterator[Finding]:
    """Whether reports share the server with logins."""
    if target.dialect == "sqlite":
        yield target.ok("server", "not applicable: SQLite has no server")
        return
    if target.dialect != "postgresql":
        yield target.note("server", "primary or replica: not checked", "Prefer a readable replica")
        return
    with target.database.connect() as connection:
        standby = is_standby(connection)
        if standby:
            delay = setting(connection, "max_standby_streaming_delay")
    if standby:
        yield target.note(
            "server",
            "a standby: reports take nothing from logins;"
            f" it may cancel a report after max_standby_streaming_delay = {delay}",
            "Keep that above the time of a pass",
            standby=True,
        )
    else:
        yield target.note(
            "server",
            "a primary, or a logical replica",
            "If logins run on it, prefer a replica or reports that are recorded",
            standby=False,
        )


def check_clock(target: Target) -> Iterator[Finding]:
    """Whether our clock and the database's show the same time."""
    if target.dialect == "sqlite":
        yield target.ok("clock", "not applicable: SQLite has no clock of its own")
        return
    if target.dialect != "postgresql":
        yield target.note("clock", "not checked on this database")
        return
    clock = target.state.clock
    with target.database.connect() as connection:
        before = clock()
        theirs: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        after = clock()
    ahead = (theirs - (before + (after - before) / 2)).total_seconds()
    facts = {"aheadSeconds": round(ahead, 3)}
    text = f"the database's clock is {duration(abs(ahead))} {'ahead' if ahead > 0 else 'behind'}"
    if abs(ahead) > CLOCK_TOLERANCE_SECONDS:
        yield target.warning("clock", text, "Synchronise both clocks, by NTP for example", **facts)
    else:
        yield target.ok("clock", text, **facts)


def check_indexes(target: Target) -> Iterator[Finding]:
    """Which indexes a pass could use, on the main database."""
    if target.bind is not None:
        return
    activation = target.database.tables.pa_activation
    with target.database.connect() as connection:
        try:
            found = inspect(connection).get_indexes(activation.name, schema=activation.schema)
        except NoSuchTableError:
            found = []
    indexes = [_columns(index) for index in found]
    if not indexes:
        yield target.note("indexes", f"none on {activation.fullname}: it is a view, or not there")
        return
    listed = ", ".join(f"({', '.join(index)})" for index in indexes)
    text = f"{activation.fullname} has indexes on {listed}"
    if any("timestamp_last_used" in index for index in indexes):
        yield target.note(
            "indexes",
            f"{text}; timestamp_last_used is in one",
            "Where PowerAuth itself writes, that slows every authentication down:"
            " keep such an index on a replica",
            indexes=indexes,
        )
    else:
        text += "; a pass reads all activations of an application"
        yield target.ok("indexes", text, indexes=indexes)


def _columns(index: Mapping[str, Any]) -> Sequence[str]:
    """The names of an index's columns, those that it only includes as well."""
    included = index.get("dialect_options", {}).get("postgresql_include") or []
    names = [name or "an expression" for name in index["column_names"]]
    return [*names, *(name for name in included if name not in names)]


def _url_key(target: Target) -> str:
    config = target.state.config
    if target.bind in config.binds:
        return f"{config.key('binds')}[{target.bind!r}]"
    return config.key("database_url") if target.database.ours else "engine="


@dataclass(frozen=True)
class Size:
    """The size of a table as it was last estimated."""

    rows: int
    bytes: int


def estimated_size(connection: Connection, table: Table) -> Size | None:
    """The size of a table, None for a view and for a table that was never analysed."""
    name = connection.dialect.identifier_preparer.format_table(table)
    row = connection.execute(_SIZE, {"name": name}).one_or_none()
    return Size(int(row[0]), int(row[1])) if row is not None and row[0] > 0 else None


def is_standby(connection: Connection) -> bool:
    """Whether the server follows another one by physical replication."""
    return bool(connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one())


def setting(connection: Connection, name: str) -> str:
    """The value of a setting, as this transaction has it."""
    statement = text("SELECT current_setting(:name)")
    return str(connection.execute(statement, {"name": name}).scalar_one())
