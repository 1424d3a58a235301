"""The people who use the example: rows of PowerAuth's tables, made up but believable.

They are the same at every making, but for their times, which count back from the time of making.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain, count, islice
from random import Random
from typing import Any, TypeVar
from uuid import UUID

Row = dict[str, Any]
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

_SIGNATURES = (
    (
        ("POSSESSION", "PowerAuth-V3"),
        ("POSSESSION_KNOWLEDGE", "PowerAuth-V3"),
        ("POSSESSION_BIOMETRY", "PowerAuth-V3"),
        ("POSSESSION_BIOMETRY", "PowerAuth-V4"),
    ),
    (24, 41, 28, 7),
)
_HISTORIES = {
    _CREATED: (_CREATED,),
    _PENDING_COMMIT: (_CREATED, _PENDING_COMMIT),
    _ACTIVE: (_CREATED, _PENDING_COMMIT, _ACTIVE),
    _BLOCKED: (_CREATED, _PENDING_COMMIT, _ACTIVE, _BLOCKED),
    _REMOVED: (_CREATED, _PENDING_COMMIT, _ACTIVE, _REMOVED),
}

_ANOTHER_APPLICATION = 0.1
_NEVER_USED = 0.03
_MEAN_DAYS_OF_REMOVED = 150
_MEAN_DAYS_OF_USE = 250
_MEAN_MINUTES_TO_COMMIT = 3
_MEAN_DAYS_BETWEEN_USES = 4
_MOST_VERIFICATIONS = 5
_INVALID = 0.021


def activations(now: datetime) -> Iterator[Row]:
    """The 20,000 rows of ``pa_activation``; ``now`` is naive, in UTC, and none is later."""
    random = Random(_SEED)  # noqa: S311 - nothing here is a secret
    users = (_user(random, f"customer-{number:06d}", now) for number in count(1))
    return islice(chain.from_iterable(users), ACTIVATIONS)


def changes(activation: Row) -> Iterator[Row]:
    """The rows of ``pa_activation_history`` of an activation: how its status changed."""
    random = Random(str(activation["activation_id"]))  # noqa: S311 - nothing here is a secret
    status, created = activation["activation_status"], activation["timestamp_created"]
    last_used = activation["timestamp_last_used"]
    minutes = timedelta(minutes=random.expovariate(1 / _MEAN_MINUTES_TO_COMMIT))
    times = {
        _CREATED: created,
        _PENDING_COMMIT: min(created + minutes / 2, last_used),
        _ACTIVE: min(created + minutes, last_used),
        _BLOCKED: last_used,
        _REMOVED: last_used,
    }
    for one in _HISTORIES[status]:
        yield {
            "activation_id": activation["activation_id"],
            "activation_status": one,
            "timestamp_created": times[one],
        }


def verifications(activation: Row) -> Iterator[Row]:
    """The rows of ``pa_signature_audit`` of an activation: what it signed until its last use."""
    random = Random(str(activation["activation_id"]))  # noqa: S311 - nothing here is a secret
    created, time = activation["timestamp_created"], activation["timestamp_last_used"]
    for _ in range(_MOST_VERIFICATIONS):
        if time <= created:
            return
        kind, algorithm = _pick(random, _SIGNATURES)
        yield {
            "activation_id": activation["activation_id"],
            "valid": random.random() > _INVALID,
            "signature_type": kind,
            "signature_algorithm": algorithm,
            "timestamp_created": time,
        }
        time -= timedelta(days=random.expovariate(1 / _MEAN_DAYS_BETWEEN_USES))


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
