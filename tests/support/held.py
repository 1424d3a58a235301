"""A PowerAuth database on which a pass takes as long, or fails, as a test says; timed callers."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from flask import Flask
from sqlalchemy import Engine, text

from tests.support import powerauth
from tests.support.service import NOW, USER, ask

VIEW = "pa_activation_held"
TABLES = {"pa_activation": VIEW}
"""The setting by which a pass reads the view."""

RETAIL = {"application": "retail"}
APPLICATIONS = ("retail", *(f"application-{number}" for number in range(50)))
GRACE_SECONDS = 2.0
"""How much longer than the time limit an answer may take."""

_HELD = (
    "CREATE TABLE held (seconds FLOAT, state TEXT)",
    "INSERT INTO held VALUES (0, NULL)",
    """CREATE FUNCTION hold() RETURNS INTEGER LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
    DECLARE fault RECORD;
    BEGIN
        SELECT * INTO fault FROM held;
        PERFORM pg_sleep(fault.seconds);
        IF fault.state IS NOT NULL THEN
            RAISE EXCEPTION 'injected' USING ERRCODE = fault.state;
        END IF;
        RETURN 1;
    END $$""",
    f"""CREATE VIEW {VIEW} AS WITH once AS MATERIALIZED (SELECT hold() AS held)
    SELECT application_id, user_id, timestamp_last_used FROM pa_activation, once""",
)
# The name is bound, so that this finds neither itself nor is counted as a pass.
_PASSES = (
    "FROM pg_stat_activity WHERE state = 'active' AND position(:view IN query) > 0"
    " AND datname = current_database()"
)


@dataclass(frozen=True)
class Answer:
    """An answer, and the seconds that it took."""

    status: int
    headers: Mapping[str, str]
    body: Any
    seconds: float

    @property
    def users(self) -> int:
        return int(self.body["responseObject"]["reportData"]["users"])


def create_held_database(owner: Engine) -> None:
    """PowerAuth's tables, the view, and a user of retail for each day, one of each other."""
    powerauth.create_schema(owner)
    powerauth.add_applications(owner, APPLICATIONS)
    now = powerauth.wall_clock(NOW, UTC)
    powerauth.add_activations(
        owner,
        [
            powerauth.Activation(f"a-{day}", 1, f"user-{day}", now - timedelta(days=day, hours=-1))
            for day in range(1, 366)
        ]
        + [
            powerauth.Activation(f"b-{number}", number, "user", now)
            for number in range(2, len(APPLICATIONS) + 1)
        ],
    )
    with owner.begin() as connection:
        for statement in _HELD:
            connection.exec_driver_sql(statement)


def hold(owner: Engine, seconds: float = 0, state: str | None = None) -> None:
    """Have each pass from now on take so long, then fail with an SQLSTATE if one is given."""
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE held SET seconds = :seconds, state = :state"),
            {"seconds": seconds, "state": state},
        )


def running_passes(owner: Engine) -> int:
    """The passes that the server is busy with."""
    with owner.connect() as connection:
        statement = text(f"SELECT count(*) {_PASSES}")
        return int(connection.execute(statement, {"view": VIEW}).scalar_one())


def terminate_passes(owner: Engine) -> int:
    """End the sessions that the server is busy with; how many there were."""
    with owner.connect() as connection:
        statement = text(f"SELECT pg_terminate_backend(pid) {_PASSES}")
        return len(connection.execute(statement, {"view": VIEW}).all())


def passes(statements: Sequence[str]) -> int:
    """The passes among recorded statements."""
    return sum(VIEW in statement for statement in statements)


def eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answer_of(
    app: Flask,
    parameters: Mapping[str, object] = RETAIL,
    name: str = "CURRENT_MAU",
    user: tuple[str, str] = USER,
) -> Answer:
    """The answer to one request."""
    started = time.monotonic()
    response = ask(app.test_client(), name, parameters, user=user)
    seconds = time.monotonic() - started
    return Answer(response.status_code, dict(response.headers), response.get_json(), seconds)


class Crowd:
    """Callers who all ask at the same moment, one for each of the parameters."""

    def __init__(
        self, app: Flask, parameters: Sequence[Mapping[str, object]], name: str = "CURRENT_MAU"
    ) -> None:
        self._pool = ThreadPoolExecutor(len(parameters))
        barrier = threading.Barrier(len(parameters))

        def call(own: Mapping[str, object]) -> Answer:
            barrier.wait(20)
            return answer_of(app, own, name)

        self._answers = [self._pool.submit(call, own) for own in parameters]

    def answers(self) -> list[Answer]:
        """The answers, in the order of the parameters."""
        try:
            return [answer.result(60) for answer in self._answers]
        finally:
            self._pool.shutdown()


@contextmanager
def locked(engine: Engine) -> Iterator[Callable[[int], None]]:
    """Lock the activations of a PostgreSQL database; gives what awaits so many who wait."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"

    def await_waiting(count: int) -> None:
        limit = time.monotonic() + 60
        with engine.connect() as connection:
            while connection.exec_driver_sql(waiting).scalar_one() < count:
                assert time.monotonic() < limit, "nobody waits"
                time.sleep(0.05)

    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE pa_activation IN ACCESS EXCLUSIVE MODE")
        yield await_waiting
