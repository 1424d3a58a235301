"""The cluster, filled at random around an instant in each of some zones."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.shards.cluster import Cluster, cluster
from tests.support import powerauth
from tests.support.audit import random_changes, random_verifications

# At a change of the clock, at a year's end, and with a leap day behind.
ZONES_AND_INSTANTS = (
    ("UTC", datetime(2028, 3, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ("Europe/Prague", datetime(2026, 10, 25, 14, 0, tzinfo=UTC)),
    ("America/New_York", datetime(2027, 1, 1, 5, 0, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 5, 9, 15, 0, 999_999, tzinfo=UTC)),
)
ACTIVATIONS = 1_000


@pytest.fixture(scope="session")
def sharded() -> Iterator[Cluster]:
    """Two shards that hold the same rows as one database that is not sharded."""
    source = random.Random(6)
    with cluster() as sharded:
        activations, changes, verifications = [], [], []
        for name, instant in ZONES_AND_INSTANTS:
            zone = ZoneInfo(name)
            own = [
                replace(row, activation_id=f"{name[:9]}-{row.activation_id}")
                for row in powerauth.random_activations(7, instant, zone, ACTIVATIONS)
            ]
            activations += own
            changes += random_changes(source, own, instant, zone)
            verifications += random_verifications(source, own, instant, zone, ACTIVATIONS)
        sharded.fill(activations, changes, verifications)
        yield sharded


@pytest.fixture
def healthy(sharded: Cluster) -> Iterator[Cluster]:
    """The same, for a test that breaks a shard."""
    yield sharded
    sharded.heal()
