"""PowerAuth's own application credentials, the table ``pa_integration``, as a credential store.

The table holds plain-text secrets that open PowerAuth's whole API, so reading it is opt-in. It is
read whole, at most once a minute, and kept as digests: a wrong password costs no query.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Table, select

from flask_powerauth_telemetry.auth.credentials import DIGEST_PREFIX, digest, matches
from flask_powerauth_telemetry.computation import Computations, Task
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.exceptions import TelemetryError

logger = logging.getLogger("flask_powerauth_telemetry.auth")

REFRESH_SECONDS = 60
_LONGEST_READING_SECONDS = 10.0
_LONGEST_REREADING_SECONDS = 2.0


@dataclass(frozen=True)
class _Integration:
    principal: str
    digest: str


class IntegrationCredentials:
    """Credentials in ``pa_integration``: user name ``client_token``, password ``client_secret``.

    The principal is the integration's ``name``, or ``integration:<id>`` where it has none. While
    the database is down, what was read last stays valid; without that, ``Unavailable`` is raised.
    The table is read on a thread of its own, so that a request waits for a limited time only.
    ``clock`` gives monotonic seconds.
    """

    def __init__(
        self,
        database: Database,
        table: Table,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._table = table
        self._clock = clock
        self._computations = Computations(threads=1, clock=clock)
        self._known: dict[str, _Integration] | None = None
        self._next_reading = 0.0

    def authenticate(self, username: str, password: str) -> str | None:
        """The principal of a token and its secret, both compared exactly."""
        found = self._integrations().get(username)
        known = (found.digest,) if found else ()
        return found.principal if matches(password, known) and found else None

    def _integrations(self) -> dict[str, _Integration]:
        known = self._known
        if known is None:
            return self._read_anew(_LONGEST_READING_SECONDS)
        if self._clock() < self._next_reading:
            return known
        # Only this request waits for it.
        self._next_reading = self._clock() + REFRESH_SECONDS
        try:
            return self._read_anew(_LONGEST_REREADING_SECONDS)
        except TelemetryError as error:
            logger.error("Can't read application credentials, using the old ones: %s", error)
            return known

    def _read_anew(self, limit: float) -> dict[str, _Integration]:
        read: dict[str, _Integration]
        read, _ = self._computations.result(
            {"integrations": self._read},
            keep_seconds=0,
            limit=min(self._database.time_limit, limit),
        )
        self._known = read
        self._next_reading = self._clock() + REFRESH_SECONDS
        return read

    def _read(self, task: Task) -> dict[str, _Integration]:
        columns = self._table.c
        statement = select(columns.id, columns.name, columns.client_token, columns.client_secret)
        with self._database.connect(task.interrupt_by) as connection:
            rows = connection.execute(statement).all()
        return {
            row.client_token: _Integration(
                principal=row.name or f"integration:{row.id}",
                digest=digest(row.client_secret).removeprefix(DIGEST_PREFIX),
            )
            for row in rows
            if row.client_token and row.client_secret
        }
