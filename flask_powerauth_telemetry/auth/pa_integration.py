"""PowerAuth's own application credentials, the table ``pa_integration``, as a credential store.

The table holds plain-text secrets that open PowerAuth's whole API, so reading it is opt-in. It is
read whole, at most once a minute, and kept as digests: a wrong password costs no query.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Row, Table, select

from flask_powerauth_telemetry.auth.credentials import hex_digest, matches
from flask_powerauth_telemetry.computation import Computations, Task
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.exceptions import TelemetryError, Unavailable
from flask_powerauth_telemetry.text import one_line

logger = logging.getLogger("flask_powerauth_telemetry.auth")

REFRESH_SECONDS = 60
"""How often the table is read."""

VALID_SECONDS = 3_600
"""How long credentials stay valid after a reading while the database is down."""

RETRY_SECONDS = 5
"""When a reading that failed is tried again, where nothing valid is known."""

_LONGEST_READING_SECONDS = 10.0
_LONGEST_REREADING_SECONDS = 2.0

_Integrations = Mapping[str, tuple[str, str]]
"""The principal, and the digest of its secret, by the token."""


class _Reading(NamedTuple):
    at: float
    integrations: _Integrations


class IntegrationCredentials:
    """Credentials in ``pa_integration``: user name ``client_token``, password ``client_secret``.

    The principal is the integration's ``name``, or ``integration:<id>`` where it has none. Raises
    ``Unavailable`` while the database is down and nothing was read for an hour; ``DatabaseFault``
    at once where the table can't be read, as credentials may have been revoked. A request waits
    for a thread that reads, for a limited time, ``max_waiting`` of them at once (0: no limit).
    ``clock`` gives monotonic seconds.
    """

    def __init__(
        self,
        database: Database,
        table: Table,
        *,
        max_waiting: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._table = table
        self._clock = clock
        self._computations = Computations(threads=1, max_waiting=max_waiting, clock=clock)
        self._last: _Reading | None = None
        self._failure: TelemetryError | None = None
        self._next_reading = clock()

    def authenticate(self, username: str, password: str) -> str | None:
        """The principal of a token and its secret, both compared exactly."""
        own = hex_digest(password)
        del password  # what is raised below must not hold it in a frame
        principal, known = self._integrations(username).get(username, (None, ""))
        return principal if matches(own, (known,)) else None

    def _integrations(self, username: str) -> _Integrations:
        now = self._clock()
        if now >= self._next_reading:
            if self._last is not None:  # only this request waits
                self._next_reading = now + REFRESH_SECONDS
            self._read_anew(username)
        return self._valid()

    def _valid(self) -> _Integrations:
        """What was read last, while it is valid; raises why nothing newer can be read."""
        last, failure = self._last, self._failure
        if last is not None and (failure is None or self._outlives(last, failure)):
            return last.integrations
        # Raised by many, it would gather the frames of all of them.
        raise (failure or Unavailable("credentials are being read")).with_traceback(None)

    def _outlives(self, last: _Reading, failure: TelemetryError) -> bool:
        """Whether a reading stays valid after a later one has failed."""
        return isinstance(failure, Unavailable) and self._clock() - last.at < VALID_SECONDS

    def _read_anew(self, username: str) -> None:
        limit = _LONGEST_READING_SECONDS if self._last is None else _LONGEST_REREADING_SECONDS
        try:
            read, _ = self._computations.result(
                {"integrations": self._read},
                keep_seconds=0,
                limit=min(self._database.time_limit, limit),
                caller=username,
            )
        except TelemetryError as error:
            self._database.name_in(error)
            self._failed(error)
            return
        self._last = _Reading(self._clock(), read)
        self._failure = None
        self._next_reading = self._clock() + REFRESH_SECONDS

    def _failed(self, error: TelemetryError) -> None:
        self._failure = error
        seconds = RETRY_SECONDS
        if self._last is not None and self._outlives(self._last, error):
            logger.error(
                "Can't read application credentials from the database %s, using the old ones: %s",
                self._database.name,
                one_line(str(error)),
                extra=self._database.log_extra,
            )
            seconds = REFRESH_SECONDS
        self._next_reading = self._clock() + seconds

    def _read(self, task: Task) -> _Integrations:
        columns = self._table.c
        statement = select(columns.id, columns.name, columns.client_token, columns.client_secret)
        with self._database.connect(task.interrupt_by) as connection:
            return _digested(connection.execute(statement))


def _digested(rows: Iterable[Row[Any]]) -> _Integrations:
    """The integrations that can be used; no frame that stays has a secret of theirs."""
    return {
        row.client_token: (row.name or f"integration:{row.id}", hex_digest(row.client_secret))
        for row in rows
        if _is_text(row.client_token) and _is_text(row.client_secret)
    }


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
