"""The people who use the example: rows of PowerAuth's tables, made up but believable.

They are the same at every making, but for their times, which count back from the time of making.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain, count, islice
from random import Random
from typing import TypeVar
from uuid import UUID

Row = dict[str, object]
Value = TypeVar("Value")

ACTIVATIONS = 20_000
APPLICATIONS: tuple[Row, ...] = (
    {"id": 1, "name": "retail-banking"},
    {"id": 2, "name": "business-banking"},
    {"id": 3, "name": "wealth"},
)

_SEED = 20_000
_CREATED, _PENDING_COMMIT, _ACTIVE, _BLOCKED, _REMOVED = range(1, 6)

# Each is a choice of values, and how many in a hundred have each of them.
_APPLICATION_IDS = (1, 2, 3), (62, 25, 13)
_DEVICES_OF_A_USER = (1, 2, 3), (52, 36, 12)
_STATUSES = (_CREATED, _PENDING_COMMIT, _ACTIVE, _BLOCKED, _REMOVED), (3, 2, 79, 4, 12)
_MEAN_DAYS_SINCE_USE = (3, 40, 300), (65, 25, 10)
_DEVICES = (
    (
        ("ios", "iPhone15,2", "powerauth"),
        ("ios", "iPhone17,1", "powerauth"),
        ("android", "samsung SM-S921B", "powerauth"),
        ("android", "Google Pixel 8", "powerauth"),
        (None, None, "fido2"),
    ),
    (26, 18, 33, 18, 5),
)
_NO_DEVICE_YET = (None, None, "powerauth")

_ANOTHER_APPLICATION = 0.1
_NEVER_USED = 0.03
_MEAN_DAYS_OF_REMOVED = 150
_MEAN_DAYS_OF_USE = 250


def activations(now: datetime) -> Iterator[Row]:
    """The 20,000 rows of ``pa_activation``; ``now`` is naive, in UTC, and none is later."""
    random = Random(_SEED)  # noqa: S311 - nothing here is a secret
    users = (_user(random, f"customer-{number:06d}", now) for number in count(1))
    return islice(chain.from_iterable(users), ACTIVATIONS)


def _user(random: Random, user_id: str, now: datetime) -> Iterator[Row]:
    application_id = _pick(random, _APPLICATION_IDS)
    for device in range(_pick(random, _DEVICES_OF_A_USER)):
        if device and random.random() < _ANOTHER_APPLICATION:
            application_id = _pick(random, _APPLICATION_IDS)
        yield _activation(random, application_id, user_id, now)


def _activation(random: Random, application_id: int, user_id: str, now: datetime) -> Row:
    status = _pick(random, _STATUSES)
    device = _pick(random, _DEVICES)
    platform, device_info, protocol = _NO_DEVICE_YET if status == _CREATED else device
    created, last_used = _times(random, status, now)
    return {
        "activation_id": str(UUID(int=random.getrandbits(128), version=4)),
        "application_id": application_id,
        "user_id": user_id,
        "activation_status": status,
        "platform": platform,
        "device_info": device_info,
        "protocol": protocol,
        "timestamp_created": created,
        "timestamp_last_used": last_used,
    }


def _times(random: Random, status: int, now: datetime) -> tuple[datetime, datetime]:
    """When an activation was created, and when it was last used: then too, if it never was."""
    mean_days = _pick(random, _MEAN_DAYS_SINCE_USE)
    if status == _REMOVED:
        mean_days = _MEAN_DAYS_OF_REMOVED
    last_used = now - timedelta(days=random.expovariate(1 / mean_days))
    if status in (_CREATED, _PENDING_COMMIT) or random.random() < _NEVER_USED:
        return last_used, last_used
    return last_used - timedelta(days=random.expovariate(1 / _MEAN_DAYS_OF_USE)), last_used


def _pick(random: Random, choice: tuple[tuple[Value, ...], tuple[int, ...]]) -> Value:
    values, shares = choice
    return random.choices(values, shares)[0]
