"""What each dialect tells of its database; the defaults are for one that is not known."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, DateTime, Dialect, Engine, Executable, exc
from sqlalchemy.types import TypeEngine

from flask_powerauth_telemetry.exceptions import (
    Cancelled,
    DatabaseFault,
    TelemetryError,
    TooSlow,
    Unavailable,
)

SESSION_LABEL = "flask_powerauth_telemetry"
"""What a database's administrator sees of a session, where there is a place for it."""


MISSING_TABLE = "create this table or view, or name the one that is there"
MISSING_COLUMN = "let the table or view have this column"
OTHER_TYPE = "see that the column has the type that PowerAuth gives it"
"""What to do about a table that is not the one that is read."""


@dataclass(frozen=True)
class Limits:
    """What reports may take.

    - ``seconds``: the time of all statements of a report, 0 for no limit.
    - ``workers``: on PostgreSQL, parallel workers beside the session's own process.
    - ``deadline``: when the time is over, in seconds of ``time.monotonic``.
    - ``timezone``: the IANA name of the zone of the database's wall clock.
    - ``ours``: whether the engine is ours; False for one that a host made.
    """

    seconds: float
    workers: int = 0
    deadline: float = math.inf
    timezone: str = "UTC"
    ours: bool = True


@dataclass(frozen=True, kw_only=True)
class Replay:
    """How far a standby has replayed what its primary wrote.

    - ``replayed``, ``received``, ``sent``: positions in the primary's log, in bytes. ``sent`` is
      what the primary's newest message named as its own.
    - ``committed``: when the newest transaction that was replayed ended, aware, by the primary.
    - ``told``: when the primary sent its newest message, aware. None, as ``sent``, where the role
      may not see it.
    - ``receiver``: what identifies the process that receives, None for none.
    - ``silence``: after how many seconds without a message the receiver ends, 0 for never.
    - ``paused``: whether somebody has paused the replay.
    """

    replayed: int
    received: int
    sent: int | None
    committed: datetime | None
    told: datetime | None
    receiver: int | None
    silence: float
    paused: bool


class DatabaseDialect:
    """One kind of database: its SQL, engines, guard, interruption and errors. It has no state."""

    # Drivers

    packages: Mapping[str, str] = {}
    """What to install for a driver, by its name, where it is called otherwise."""

    scheme: str | None = None
    """How a URL begins that names the documented driver."""

    drivers: frozenset[str] | None = None
    """SQLAlchemy's names of the drivers that can be used; None for all that aren't asynchronous."""

    driver: str | None = None
    """The driver that brings SQLAlchemy's dialect, where SQLAlchemy doesn't."""

    # What an operator is told where nothing can be looked at

    server = "primary or replica: not looked at; prefer a readable replica"
    """Whether reports share the server with logins."""

    writing = "what this account could write is not looked at"
    """What keeps a report from writing."""

    indexes = ""
    """Why there are no indexes to look at; nothing where there are some."""

    # SQL of the functions of ``reports.activity``, out of the SQL of their clauses

    wall_clock: TypeEngine[datetime] = DateTime()
    """The type of a column that keeps a time without a zone, to the microsecond."""

    def whole_slots(self, end: str, start: str, seconds: str = "86400") -> str:
        """``WholeSlots``, or days of 24 hours; a database that reports can't read has none."""
        raise NotImplementedError

    def whole_days(self, end: str, start: str) -> str:
        """``WholeDays``."""
        raise NotImplementedError

    # Engines of ours

    engine_options: Mapping[str, Any] = {}
    """Options of ``create_engine`` for an engine that reads; those that are configured win."""

    closing_waits = True
    """Whether closing a connection waits for the network, and may hang."""

    def connect_args(self, url: URL) -> Mapping[str, Any]:
        """Arguments for the driver; those that are configured win."""
        return {}

    def refused_driver(self, dialect: Dialect | type[Dialect]) -> tuple[str, str] | None:
        """The cause and the cure, where reports can't use the driver of SQLAlchemy's dialect."""
        is_known = self.drivers is None or dialect.driver in self.drivers
        if is_known and not dialect.is_async:
            return None
        cure = f"Begin the URL by {self.scheme}://" if self.scheme else "Take another driver"
        kind = "asynchronous driver" if dialect.is_async else "driver"
        return f"reports can't use the {kind} {dialect.driver}", cure

    def refusal(self, url: URL) -> tuple[str, str] | None:
        """The cause and the cure, where no engine of ours can read by this URL."""
        return None

    def file(self, url: URL) -> Path | None:
        """The file that holds the database, if it is one."""
        return None

    def prepare(self, engine: Engine) -> None:
        """Listen to the events of an engine that reads, before it opens its first connection."""

    def begin_schema_change(self, connection: Connection) -> None:
        """Begin the transaction that creates tables, where the driver would begin none."""

    # Connections, those of a host's engine too

    def guard(self, connection: Connection, limits: Limits) -> AbstractContextManager[None]:
        """Hold an idle connection to what reports may do, for the length of a ``with`` block."""
        return nullcontext()

    server_clock: str | None = None
    """The statement for the seconds since 1970 by the server's clock; None where it has none."""

    def replay(self, connection: Connection) -> Replay | None:
        """How far a standby has come; None for what is none."""
        return None

    end_if_waited_for: Callable[[Any], Executable] | None = None
    """What ends the statement of a driver's connection, if somebody waits for its locks.

    To be executed on another connection; it gives true where it did. None: readers hold no locks.
    """

    def interrupt(self, driver: Any) -> None:
        """End the statement that runs on a driver's connection; called from another thread.

        What a driver can't do is left out. Whatever it raises is ignored.
        """

    # Errors

    cures: Mapping[str, str] = {}
    """What to do, by regular expressions that are found in what a driver says."""

    def translate(self, error: exc.SQLAlchemyError) -> TelemetryError:
        """The error to raise in place of one of SQLAlchemy's; its message is for the log.

        ``TooSlow`` for a statement that ran into its time limit, ``Cancelled`` for one that had to
        make room, ``Unavailable`` for what else may be gone at the next try, ``DatabaseFault`` for
        the rest, which somebody must repair.
        """
        cause = error.orig if isinstance(error, exc.DBAPIError) else None
        text = f"{type(error).__name__}: {error if cause is None else self.message(cause)}"
        if cure := self.cure(str(cause), getattr(error, "statement", None) or ""):
            line, end, below = text.partition("\n")
            text = f"{line} ({cure}){end}{below}"
        if cause is not None and self.timed_out(cause):
            return TooSlow(text)
        if cause is not None and self.cancelled(cause):
            return Cancelled(text)
        return Unavailable(text) if self.passes(error, cause) else DatabaseFault(text)

    def cure(self, message: str, statement: str = "") -> str | None:
        """What to do, where a driver's ``message`` tells it: of this statement, or a connection."""
        return next((cure for said, cure in self.cures.items() if re.search(said, message)), None)

    def timed_out(self, cause: BaseException) -> bool:
        """Whether a driver's error is that of a statement that took too long."""
        return False

    def cancelled(self, cause: BaseException) -> bool:
        """Whether it is that of a statement that had to make room for others, or found none."""
        return False

    def passes(self, error: exc.SQLAlchemyError, cause: BaseException | None) -> bool:
        """Whether an error may be gone at the next try; ``cause`` is the driver's, if it is one."""
        if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
            return True
        return isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError)

    def message(self, cause: BaseException) -> str:
        """What a driver says, for the log."""
        return str(cause)


@contextmanager
def held_attribute(driver: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute of a driver's connection, and put back what it was."""
    before = getattr(driver, name)
    setattr(driver, name, value)
    try:
        yield
    finally:
        setattr(driver, name, before)
