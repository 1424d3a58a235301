"""Checks of a database: whether it answers, its part in replication, clock, indexes, recordings."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, func, inspect, literal, select, text
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

from flask_powerauth_telemetry.cli.checks.findings import Finding, Target, cause_of, duration
from flask_powerauth_telemetry.config.values import SNAPSHOT
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.dialects.base import Replay
from flask_powerauth_telemetry.exceptions import DatabaseFault, TelemetryError
from flask_powerauth_telemetry.history.instants import seconds_behind_server
from flask_powerauth_telemetry.history.recording import Recording
from flask_powerauth_telemetry.history.source import CLOCK_TOLERANCE
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.service import read_clock

CLOCK_TOLERANCE_SECONDS = 5
LAG_SECONDS = 10
"""How old the last transaction may be that a standby replayed, while there are more."""

# Cures that checks of other modules give, too.
NOT_COPIED = "See that this is PowerAuth's database, and that all of it was copied"
VERIFY = "Look what else is wrong: flask telemetry snapshot --verify"
RECORD = "Run: flask telemetry snapshot, and see that its schedule works"
GRANT = "Have what it names created, or granted to the account of this database"

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
        key = target.key("url")
        if target.words.cure(str(error)):  # the error tells it
            cure = f"The URL is in {key}"
        else:
            cure = f"Check {key}, the network, and that the server runs"
        return target.error(f"can't connect: {cause_of(error)}", cure)
    seconds = time.monotonic() - started
    server = f"{target.dialect} {'.'.join(str(part) for part in version)}"
    return target.ok(f"connected to {server} in {duration(seconds)}", seconds=round(seconds, 3))


def check_server(target: Target) -> Iterator[Finding]:
    """Whether reports share the server with logins, and how far a standby is behind."""
    if target.dialect == "sqlite":
        yield target.ok(target.words.server)
        return
    if target.dialect != "postgresql":
        yield target.note(target.words.server)
        return
    with target.database.connect() as connection:
        replay = dialect_named(connection.dialect.name).replay(connection)
        behind = seconds_behind_server(connection, target.state.clock) or 0.0
        delay = connection.scalar(select(func.current_setting("max_standby_streaming_delay")))
    if replay is None:
        cure = "If logins run on it, prefer a replica or reports that are recorded"
        yield target.note("a primary, or a logical replica", cure, standby=False)
        return
    now = read_clock(target.state.clock) + timedelta(seconds=behind)
    yield _judge_standby(target, replay, now, delay)


def _judge_standby(target: Target, replay: Replay, now: datetime, delay: object) -> Finding:
    behind = max(replay.received - replay.replayed, 0)
    age, when = None, "never"
    if replay.committed is not None:
        age = (now - replay.committed).total_seconds()
        when = f"{age:.0f} s ago, at {replay.committed.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    text = (
        f"a standby, with {behind:,} bytes received and not replayed;"
        f" the last transaction was replayed {when}"
    )
    facts = {"standby": True, "bytesBehind": behind, "secondsSinceReplay": age}
    is_old = age is None or age > LAG_SECONDS
    if replay.paused:
        fault, cure = "its replay is paused", "On it, run: SELECT pg_wal_replay_resume()"
    elif behind and is_old:
        fault, cure = "it lags", "See what holds the replay up: a query, or the disk"
    elif is_old and replay.receiver is None:
        fault, cure = "it receives nothing", "See that it reaches its primary"
    else:
        cure = f"Keep max_standby_streaming_delay = {delay} above a pass, which it may cancel then"
        return target.note(text, cure, **facts)
    cure = f"Numbers are those of that time. {cure}"
    return target.warning(f"{text}; {fault}", cure, **facts)


def check_clock(target: Target) -> Iterator[Finding]:
    """Whether our clock and the database's show the same time."""
    with target.database.connect() as connection:
        ahead = seconds_behind_server(connection, target.state.clock)
    if ahead is None:
        yield target.ok("not applicable: this database has no clock of its own")
        return
    facts = {"aheadSeconds": round(ahead, 3)}
    text = f"the database's clock is {duration(abs(ahead))} {'ahead' if ahead > 0 else 'behind'}"
    if abs(ahead) > CLOCK_TOLERANCE_SECONDS:
        yield target.warning(text, "Synchronise both clocks, by NTP for example", **facts)
    else:
        yield target.ok(text, **facts)


def check_indexes(target: Target) -> Iterator[Finding]:
    """Which indexes a pass could use."""
    if not target.is_scanned:
        return
    if target.words.indexes:
        yield target.note(target.words.indexes)
        return
    activation = target.database.tables.pa_activation
    with target.database.connect() as connection:
        try:
            found = inspect(connection).get_indexes(activation.name, schema=activation.schema)
        except NoSuchTableError:
            found = []
    indexes = [_columns_of(index) for index in found]
    if not indexes:
        yield target.note(f"none on {activation.fullname}: it is a view, or not there")
        return
    listed = ", ".join(f"({', '.join(index)})" for index in indexes)
    text = f"{activation.fullname} has indexes on {listed}"
    if any("timestamp_last_used" in index for index in indexes):
        yield target.note(
            f"{text}; timestamp_last_used is in one",
            "Where PowerAuth itself writes, that slows every authentication down:"
            " keep such an index on a replica",
            indexes=indexes,
        )
    else:
        text += "; a pass reads all activations of an application"
        yield target.ok(text, indexes=indexes)


def _columns_of(index: Mapping[str, Any]) -> Sequence[str]:
    """The names of an index's columns, those that it only includes as well."""
    included = index.get("dialect_options", {}).get("postgresql_include") or []
    names = [name or "an expression" for name in index["column_names"]]
    return [*names, *(name for name in included if name not in names)]


def check_history(target: Target) -> Iterator[Finding]:
    """Whether the newest recording of each application is young enough to answer from."""
    config = target.state.config
    store = HistoryStore.from_config(config)
    now = read_clock(target.state.clock)
    until = now + CLOCK_TOLERANCE
    try:
        with target.database.connect() as connection:
            store.check(connection)
            as_of = store.newest_of_any(connection, until).profile.as_of
            if config.source != SNAPSHOT:
                text = f"the newest recording is of {as_of:%Y-%m-%d %H:%M:%S} UTC"
                yield target.note(f"{text}, for the reports of months")
                return
            for name in target.application_names():
                yield _judge_age(target, name, store.newest(connection, name, until), now)
    except TelemetryError as error:
        yield target.error(error.message, history_cure(error))


def history_cure(error: TelemetryError) -> str:
    """What to do about a refusal of the history's database, or rows that are missing or damaged."""
    if isinstance(error.__cause__, SQLAlchemyError):
        return GRANT
    return VERIFY if isinstance(error, DatabaseFault) else RECORD


def _judge_age(target: Target, name: str, newest: Recording | None, now: datetime) -> Finding:
    if newest is None:
        return target.error(f"{name}: nothing is recorded of it", RECORD, application=name)
    config = target.state.config
    as_of = newest.profile.as_of
    age = (now - as_of).total_seconds()
    recorded = f"{as_of:%Y-%m-%d %H:%M:%S} UTC, {age / 3600:.1f} h old"
    text = f"{name}: the newest recording is of {recorded}"
    facts = {"application": name, "age_seconds": round(age)}
    if age <= config.max_age:
        return target.ok(text, **facts)
    if config.serve_stale:
        return target.warning(f"{text}, and is still answered from", RECORD, **facts)
    return target.error(f"{text}: too old to answer from", RECORD, **facts)


def estimated_size(connection: Connection, table: Table) -> str:
    """The size of a table as PostgreSQL estimated it last, before other words; or nothing."""
    if connection.dialect.name != "postgresql":
        return ""
    name = connection.dialect.identifier_preparer.format_table(table)
    row = connection.execute(_SIZE, {"name": name}).one_or_none()
    if row is None or row[0] <= 0:  # a view, or never analysed
        return ""
    return f"about {int(row[0]):,} activations in {max(1, round(row[1] / 1e6))} MB; "
