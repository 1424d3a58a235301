"""Checks of a database server: its part in replication, its clock, its indexes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, inspect, select
from sqlalchemy.exc import NoSuchTableError

from flask_powerauth_telemetry.cli.checks.findings import Finding, Target, duration
from flask_powerauth_telemetry.cli.checks.postgresql import is_standby, setting

CLOCK_TOLERANCE_SECONDS = 5


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
