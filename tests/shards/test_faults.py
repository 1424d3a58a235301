"""A shard that is gone is a 503 in time, never a count of the rest, and heals."""

import threading
from collections.abc import Iterator, Set

import pytest
from flask import Flask
from sqlalchemy import text

from tests.shards.cluster import DATABASE, Cluster
from tests.support.held import GRACE_SECONDS, RETAIL, Answer, Crowd, answer_of, eventually
from tests.support.service import create_app

LIMIT = 2.0
AT_ONCE = 1.0
CORPORATE = {"application": "corporate"}
"""Another question, as what was too slow is refused for a while."""


def app_on(cluster: Cluster) -> Flask:
    """An application that keeps no result, with a connection in its pool."""
    app = create_app(cluster.reader, CACHE_SECONDS=0, STATEMENT_TIMEOUT=LIMIT)
    assert answer_of(app).status == 200
    return app


def check_unavailable(answer: Answer, seconds: float, retry_after: Set[str]) -> None:
    assert answer.status == 503
    assert answer.headers["Retry-After"] in retry_after
    assert answer.body["responseObject"]["code"] == "ERROR_GENERIC"
    assert set(answer.body["responseObject"]) == {"code", "message"}
    assert answer.seconds < seconds


def test_shard_is_killed_between_requests(healthy: Cluster) -> None:
    app = app_on(healthy)
    before = answer_of(app)
    shard = healthy.shards[0]
    shard.kill()

    for _ in range(2):
        check_unavailable(answer_of(app), AT_ONCE, {"5"})

    shard.start()
    after = answer_of(app)
    assert (after.status, after.body) == (200, before.body)


def test_shard_is_killed_in_mid_query(healthy: Cluster) -> None:
    app = app_on(healthy)
    shard = healthy.shards[0]
    with shard.engine(DATABASE).connect() as lock:
        lock.execute(text("LOCK TABLE pa_activation"))
        crowd = Crowd(app, [RETAIL])
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        eventually(lambda: lock.execute(text(waiting)).scalar_one() == 1)
        shard.kill()
        lock.invalidate()

    check_unavailable(crowd.answers()[0], LIMIT, {"5"})

    shard.start()
    assert answer_of(app).status == 200


def test_shard_takes_too_long(healthy: Cluster) -> None:
    """It stops working, too: the coordinator passes the time limit on."""
    app = app_on(healthy)
    with healthy.shards[0].engine(DATABASE).begin() as lock:
        lock.execute(text("LOCK TABLE pa_activation"))

        check_unavailable(answer_of(app), LIMIT + GRACE_SECONDS, {"60"})

        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        eventually(lambda: lock.execute(text(waiting)).scalar_one() == 0)
    assert answer_of(app, CORPORATE).status == 200


@pytest.mark.parametrize("trigger", [b"", b"START TRANSACTION", b"DECLARE", b"FETCH"])
def test_packets_to_a_shard_vanish(healthy: Cluster, trigger: bytes) -> None:
    """On the connection that the coordinator has: in all it sends, or from a statement on."""
    app = app_on(healthy)
    healthy.proxy.swallow(trigger)
    # Where the coordinator can't even end the shard's transaction, it is given up from outside.
    check_unavailable(answer_of(app), LIMIT + GRACE_SECONDS, {"5", "60"})

    healthy.proxy.resume()

    assert answer_of(app, CORPORATE).status == 200


def test_packets_vanish_while_the_coordinator_connects(healthy: Cluster) -> None:
    app = app_on(healthy)
    healthy.proxy.close_all()
    healthy.proxy.swallow()
    check_unavailable(answer_of(app), LIMIT + GRACE_SECONDS, {"5", "60"})

    healthy.proxy.resume()

    assert answer_of(app, CORPORATE).status == 200


@pytest.fixture(autouse=True)
def _no_computation_is_left() -> Iterator[None]:
    yield
    eventually(
        lambda: all(thread.name != "telemetry-computation" for thread in threading.enumerate())
    )
