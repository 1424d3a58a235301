"""The time now, and how results age by it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from flask_powerauth_telemetry.exceptions import ProviderFault

Clock = Callable[[], datetime]
"""Gives the time now, aware."""


def system_clock() -> datetime:
    """The time now, aware, in UTC."""
    return datetime.now(UTC)


def read_clock(clock: Clock) -> datetime:
    """The time that a clock gives, in UTC; raises ``ProviderFault`` for a naive one."""
    now = clock()
    if now.tzinfo is None:
        raise ProviderFault("the clock gave a naive time, it must give an aware one")
    return now.astimezone(UTC)


def ageing_clock(clock: Clock) -> Callable[[], float]:
    """The seconds by which results age.

    As many as have passed, or as many as ``clock`` was moved by, whichever are more: so a result
    never outlives a clock that is set, and still grows old by one that stands still.
    """
    monotonic_start, start = time.monotonic(), clock()

    def seconds() -> float:
        moved = abs((clock() - start).total_seconds())
        return max(time.monotonic() - monotonic_start, moved)

    return seconds
