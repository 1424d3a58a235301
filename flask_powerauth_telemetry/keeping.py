"""What is kept of computations: results for a while, that one was too slow, what is asked for.

All are kept for a limited number of keys; those that were not used for longest leave first. Not
safe for several threads by itself.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from flask_powerauth_telemetry.exceptions import TooSlow

SLOW_SECONDS = 60
"""How long "too slow" is remembered at first; each further time twice as long, up to an hour."""

_LONGEST_SLOW_SECONDS = 3_600


@dataclass(frozen=True)
class Entry:
    """A result, and the time in seconds until which it may be used again."""

    value: Any
    fresh_until: float


@dataclass(frozen=True)
class _Slow:
    until: float
    seconds: int


class KeptResults:
    """Results by key, for ``size`` keys at most; ``clock`` gives the seconds by which they age."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._slow: OrderedDict[Hashable, _Slow] = OrderedDict()
        self._noted: OrderedDict[Hashable, float] = OrderedDict()

    def get(self, key: Hashable) -> Entry | None:
        """The result that is kept for a key, None without a fresh one."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() >= entry.fresh_until:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry

    def keep(self, key: Hashable, entry: Entry) -> None:
        """Keep a result while it is fresh, and forget that it was ever slow."""
        self._slow.pop(key, None)
        if entry.fresh_until > self._clock():
            self._put(self._entries, key, entry)

    def note(self, key: Hashable, seconds: float) -> None:
        """Note for so many seconds that something was asked for."""
        self._put(self._noted, key, self._clock() + seconds)

    def noted(self, key: Hashable) -> bool:
        """Whether it was noted a short while ago, and did not turn out to be too slow."""
        now = self._clock()
        slow = self._slow.get(key)
        return now < self._noted.get(key, now) and not (slow and now < slow.until)

    def remember_slow(self, key: Hashable, error: TooSlow) -> None:
        """Remember that computing this was too slow, for twice as long as the time before.

        Not for an error that is remembered already: then only a part of it was too slow.
        """
        if error.remembered:
            return
        before = self._slow.get(key)
        seconds = min(before.seconds * 2, _LONGEST_SLOW_SECONDS) if before else SLOW_SECONDS
        self._put(self._slow, key, _Slow(self._clock() + seconds, seconds))
        error.remembered = True
        error.retry_after = seconds

    def refuse_slow(self, key: Hashable) -> None:
        """Raise ``TooSlow`` while it is remembered for a key."""
        slow = self._slow.get(key)
        if slow is None:
            return
        left = slow.until - self._clock()
        if left > 0:
            raise TooSlow(
                "it was too slow a short while ago", retry_after=math.ceil(left), remembered=True
            )

    def _put(self, store: "OrderedDict[Hashable, Any]", key: Hashable, value: Any) -> None:
        store[key] = value
        store.move_to_end(key)
        while len(store) > self._size:
            store.popitem(last=False)
