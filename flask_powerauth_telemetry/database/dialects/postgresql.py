"""PostgreSQL, by psycopg or psycopg2."""

import math
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, Executable, event, text

from flask_powerauth_telemetry.database.dialects.base import (
    MISSING_COLUMN,
    MISSING_TABLE,
    OTHER_TYPE,
    SESSION_LABEL,
    DatabaseDialect,
    Limits,
    Replay,
)
from flask_powerauth_telemetry.exceptions import ProviderFault

_LIBPQ_ARGUMENTS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    # Or a role's own would decide which names can be read.
    "client_encoding": "utf8",
}
# A statement that had to wait for a lock sees what was committed meanwhile. A snapshot of the
# whole transaction would be taken before, and a table that was rewritten would look empty.
_ISOLATION = "READ COMMITTED"
_GUARDED_OPTIONS = frozenset({"isolation_level", "postgresql_readonly", "postgresql_deferrable"})
_QUERY_CANCELED = "57014"  # also raised by statement_timeout
# A conflict with recovery, else of transactions that write, or are serializable; a full disk, too
# little memory, temp_file_limit.
_CANCELLED = frozenset({"40001", "53000", "53100", "53200", "53400"})
_SLACK_SECONDS = 0.1
_DENIED = re.compile(r'permission denied for (?:materialized )?(\w+) "?([^\s"]+)')
_PRIVILEGES = {"sequence": "USAGE and SELECT", "function": "EXECUTE", "database": "CONNECT"}
_CURES = {
    'relation "[^"]*" does not exist': MISSING_TABLE,
    r"column \S+ does not exist": MISSING_COLUMN,
    "operator does not exist|cannot cast type": OTHER_TYPE,
    "password authentication failed|no password supplied": "correct the user or the password"
    " in the URL; write @ : / ? # % there as %40 %3A %2F %3F %23 %25",
    "is not permitted to log in": "give this role LOGIN, or name another one in the URL",
    'role "[^"]*" does not exist': "name a role that is there in the URL, or create it",
    'database "[^"]*" does not exist': "end the URL by the name of a database that is there",
    'schema "[^"]*" does not exist': "create this schema, or configure another one",
    "too many connections for|too many clients|connection slots": "raise this limit, or let"
    " fewer processes read",
    "temporary file size exceeds": "raise temp_file_limit for this role",
    "no pg_hba.conf entry": "let pg_hba.conf of the server allow this host, role and database",
    "server does not support SSL": "switch on SSL on the server, or name the right host and"
    " port in the URL",
    "root certificate file": "name the file of the certificate by sslrootcert in the URL",
    "invalid (?:connection option|sslmode)|invalid (?:URI|dsn)": "correct what follows the ?"
    " in the URL",
}
# What waiting for a lock may take of the time, 3 of 20 s: no pass is too slow because of somebody
# else's lock, which will be gone.
_LOCK_SHARE = 0.15
_SHORTEST_IDLE_SECONDS = 10.0
# What a statement of a report may begin with, after comments: whatever ends the transaction, or
# changes the session, is something else.
_BEGINS_QUERY = re.compile(
    r"(?:[\s(]|--[^\n]*\n|/\*(?:(?!/\*|\*/).)*\*/)*"
    r"(?:SELECT|WITH|VALUES|TABLE|SHOW|EXPLAIN|DECLARE|FETCH|CLOSE|SAVEPOINT|RELEASE"
    r"|ROLLBACK\s+TO)\b",
    re.IGNORECASE | re.DOTALL,
)
_ONE_STATEMENT = re.compile(r"(?:[^;'\"]++|'[^']*+'|\"[^\"]*+\")*+;?\s*")
_HARD_TO_READ = re.compile(r"\\|\$|--|/\*")
# One row always. What the role may not see is NULL, and what was told is no newer than positions.
_REPLAY = """
SELECT pg_wal_lsn_diff(coalesce(pg_last_wal_replay_lsn(), '0/0'), '0/0')::bigint AS replayed,
    pg_wal_lsn_diff(coalesce(pg_last_wal_receive_lsn(), '0/0'), '0/0')::bigint AS received,
    pg_wal_lsn_diff(latest_end_lsn, '0/0')::bigint AS sent,
    pg_last_xact_replay_timestamp() AS committed,
    last_msg_send_time AS told,
    pid AS receiver,
    extract(epoch FROM current_setting('wal_receiver_timeout')::interval)::float AS silence,
    pg_is_wal_replay_paused() AS paused
FROM (SELECT) AS always LEFT JOIN pg_stat_wal_receiver ON true
"""
# Not on a standby, where nobody logs in: what waits there is the replay, which has its own limit.
_END_IF_WAITED_FOR = text("""
SELECT pg_cancel_backend(:pid) WHERE NOT pg_is_in_recovery() AND EXISTS (
    SELECT FROM pg_locks
    WHERE NOT granted AND locktype = 'relation' AND :pid = ANY (pg_blocking_pids(pid))
)
""")
# Ends what a process asked that is gone, and a connection that was closed from outside. Servers on
# some other systems refuse it.
_CLIENT_CHECK = (
    "SELECT set_config('client_connection_check_interval', '1s', true)"
    " WHERE position('linux' IN version()) > 0"
)


class PostgreSQL(DatabaseDialect):
    """PostgreSQL, and what speaks its protocol and its SQL."""

    scheme = "postgresql+psycopg"
    drivers = frozenset({"psycopg", "psycopg2"})
    packages: Mapping[str, str] = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}
    engine_options: Mapping[str, Any] = {
        # The guard's own statement is the check, as a ping can't be interrupted.
        "pool_pre_ping": False,
        # For SQLAlchemy's own first statements: a standby refuses a role's SERIALIZABLE.
        "isolation_level": _ISOLATION,
        # With psycopg2, SQLAlchemy would ask for this type even before it sets the isolation.
        "use_native_hstore": False,
    }
    server_clock = "SELECT extract(epoch FROM clock_timestamp())"
    closing_waits = False
    cures: Mapping[str, str] = _CURES

    def whole_days(self, end: str, start: str) -> str:
        # Subtracting timestamps gives an interval of days and a time below 24 hours. date_part was
        # measured faster than extract, which computes with numeric since PostgreSQL 14.
        return f"date_part('day', {_wall_time(end)} - {_wall_time(start)})"

    def whole_slots(self, end: str, start: str, seconds: str = "86400") -> str:
        # A double holds the microseconds of 285 years exactly.
        return f"floor(date_part('epoch', {_wall_time(end)} - {_wall_time(start)}) / {seconds})"

    def prepare(self, engine: Engine) -> None:
        event.listen(engine, "begin", _begin_read_only)

    def connect_args(self, url: URL) -> Mapping[str, Any]:
        # A pooler may give the next transaction to another session, which knows no statement
        # that was prepared.
        prepared = {"prepare_threshold": None} if url.get_driver_name() == "psycopg" else {}
        ours = {**_LIBPQ_ARGUMENTS, **prepared}
        return {name: ours[name] for name in ours if name not in url.query}

    @contextmanager
    def guard(self, connection: Connection, limits: Limits) -> Iterator[None]:
        # Set on the connection, because SET LOCAL does nothing in a host's autocommit.
        connection.execution_options(isolation_level=_ISOLATION, postgresql_readonly=True)
        guard = _Guard(connection, limits)
        guard.begin()
        event.listen(connection, "commit", guard.undo)
        event.listen(connection, "rollback", guard.end)
        event.listen(connection, "before_cursor_execute", guard.hold)
        event.listen(connection, "set_connection_execution_options", guard.refuse_options)
        yield

    def replay(self, connection: Connection) -> Replay | None:
        if not connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one():
            return None
        return Replay(**connection.exec_driver_sql(_REPLAY).one()._asdict())

    def end_if_waited_for(self, driver: Any) -> Executable:
        # Behind a pooler it is the pooler's number, by which nobody is found to wait.
        return _END_IF_WAITED_FOR.bindparams(pid=driver.info.backend_pid)

    def interrupt(self, driver: Any) -> None:
        # Its drivers' own ways to cancel need the network, which may be the trouble.
        with socket.socket(fileno=os.dup(driver.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)

    def cure(self, message: str, statement: str = "") -> str | None:
        """What to grant, or what of a connection to change."""
        denied = _DENIED.search(message)
        if denied is None:
            return super().cure(message)
        kind, name = denied.groups()
        verb = statement.split(maxsplit=1)[0].upper() if statement.strip() else "SELECT"
        if kind == "schema":
            privileges = "USAGE and CREATE" if verb == "CREATE" else "USAGE"
            return f"grant this account {privileges} on the schema {name}"
        if kind in _PRIVILEGES:
            return f"grant this account {_PRIVILEGES[kind]} on the {kind} {name}"
        if kind not in ("table", "view", "relation"):
            return None
        columns = ", or on the columns that are read" if verb == "SELECT" else ""
        return f"grant this account {verb} on {name}{columns}"

    def timed_out(self, cause: BaseException) -> bool:
        return _state(cause) == _QUERY_CANCELED

    def cancelled(self, cause: BaseException) -> bool:
        return _state(cause) in _CANCELLED


class _Guard:
    """Holds each transaction of a connection to what reports may do, whoever begins it.

    All statements together keep the time limit: one that begins late may take less. Otherwise a
    report of several slow statements would be given up from outside as if it hung, which is not
    remembered as too slow, and be begun again by every caller.
    """

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._connection = connection
        self._limits = limits
        self._held = limits.seconds
        self._has_ended = self._is_busy = False

    def begin(self) -> None:
        """Begin a transaction that only reads, by settings that end with it."""
        settings = _settings(self._connection, self._limits, self._held)
        self._execute("SET TRANSACTION READ ONLY", *settings)

    def undo(self, connection: Connection) -> None:
        """Roll back before a commit, which would leave what set_config sets to later reports."""
        connection.connection.rollback()
        self.end(connection)

    def end(self, _: Connection) -> None:
        """Note that a provider has ended the transaction."""
        self._has_ended = True

    def refuse_options(self, _: Connection, options: Mapping[str, Any]) -> None:
        """Raise ``ProviderFault`` for what would change how transactions begin."""
        if refused := options.keys() & _GUARDED_OPTIONS:
            raise ProviderFault(f"it sets {min(refused)} on its connection, which only reads")

    def hold(self, _: Connection, __: object, statement: str, *others: object) -> None:
        """Before each statement: begin anew after an end, and leave what is left of the time.

        Raises ``ProviderFault`` for what is not one query.
        """
        if self._is_busy:
            return
        if not is_query(statement):
            raise ProviderFault("it runs something else than one query on its connection")
        if self._limits.seconds:
            left = max(self._limits.deadline - time.monotonic(), 0.001)
            is_late = self._held - left > _SLACK_SECONDS
            self._held = left if is_late or self._has_ended else self._held
            if is_late and not self._has_ended:
                self._execute(*_time_limits(left))
        if self._has_ended:
            self._has_ended = False
            self.begin()

    def _execute(self, *statements: str) -> None:
        self._is_busy = True
        try:
            # Only queries can be streamed, whatever the connection is told to do.
            options = {"stream_results": False, "yield_per": None}
            self._connection.exec_driver_sql("; ".join(statements), execution_options=options)
        finally:
            self._is_busy = False


def _begin_read_only(connection: Connection) -> None:
    """Have the driver begin a transaction that only reads, also where no guard is."""
    driver: Any = connection.connection.driver_connection
    if driver.autocommit:
        return
    if connection.dialect.driver == "psycopg":
        driver.read_only = True
    else:
        driver.readonly = True


def _wall_time(time: str) -> str:
    """What the clock of the session's zone shows, also for a column that holds instants.

    Between instants, a change of the clock would be an hour more or less.
    """
    return f"CAST({time} AS TIMESTAMP)"


def is_query(statement: str) -> bool:
    """Whether it is one statement that queries; where that is hard to tell, it is not."""
    if _BEGINS_QUERY.match(statement) is None:
        return False
    if _HARD_TO_READ.search(statement):
        return ";" not in statement.rstrip("; \n")
    return _ONE_STATEMENT.fullmatch(statement) is not None


def _state(cause: BaseException) -> str | None:
    """The SQLSTATE of an error of psycopg, or of psycopg2."""
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)


def _settings(connection: Connection, limits: Limits, seconds: float) -> Iterator[str]:
    version = connection.dialect.server_version_info or ()
    if version >= (14,):
        yield _CLIENT_CHECK
    yield from _time_limits(seconds)
    idle = max(limits.seconds, _SHORTEST_IDLE_SECONDS) if limits.seconds else 0
    yield _local("idle_in_transaction_session_timeout", f"{_milliseconds(idle)}ms")
    if version >= (17,):
        yield _local("transaction_timeout", "0")  # a role's own would end the session
    yield _local("application_name", SESSION_LABEL)
    # A number may depend on these: what a column with a zone is compared by, to how many digits
    # it is sent, and rows that a policy would leave out, which are an error this way.
    yield _local("timezone", limits.timezone)
    yield _local("extra_float_digits", "1")
    yield _local("row_security", "off")
    yield _local("plan_cache_mode", "force_custom_plan")
    # None by default, so that a pass takes one core, and no files for its groups:
    # docs/performance.md has the figures.
    yield _local("max_parallel_workers_per_gather", str(limits.workers))
    yield _local("work_mem", "64MB")
    if version >= (18,):
        yield _local("effective_io_concurrency", "0")


def _time_limits(seconds: float) -> Iterator[str]:
    yield _local("statement_timeout", f"{_milliseconds(seconds)}ms")
    yield _local("lock_timeout", f"{_milliseconds(_LOCK_SHARE * seconds)}ms")


def _local(name: str, value: str) -> str:
    """Set it to the end of the transaction, since behind a pooler the session is another's next."""
    return f"SET LOCAL {name} = '{value}'"


def _milliseconds(seconds: float) -> int:
    """Rounded up, because 0 would mean no limit."""
    return math.ceil(seconds * 1000)
