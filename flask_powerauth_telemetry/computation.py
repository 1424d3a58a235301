"""One computation for many callers, on a few threads of our own, and what is kept of them.

There is at most one task for each key. Callers wait for its result, for a limited time; a caller
who waits holds nothing, and no task waits for another. A failure goes to all who waited and is not
kept, but that a computation was too slow is remembered, so that callers who try again don't start
it over and over. A computation that hangs is ended from outside, and its place given to another.
"""

import logging
import math
import os
import sys
import threading
import time
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import TracebackType
from typing import Any

from flask_powerauth_telemetry.exceptions import Cancelled, ServerFault, TooSlow, Unavailable

logger = logging.getLogger("flask_powerauth_telemetry.computation")

HANG_SECONDS = 0.75
"""How much longer than the time limit a computation may take, so that the database can end it."""

GRACE_SECONDS = 1.25
"""How much longer than the time limit a caller waits, so that one may follow what hangs."""

SLOW_SECONDS = 60
"""How long "too slow" is remembered at first; each further time twice as long, up to an hour."""

KEPT_BYTES = 16 * 2**20
"""How many bytes of results a process keeps for an instance, by the estimate of ``size_of``."""

_LONGEST_SLOW_SECONDS = 3_600
_CHEAP_SECONDS = 0.1
_HOLD_NOTHING = frozenset({str, bytes, int, float, bool, type(None)})

Interrupt = Callable[[], None]


@dataclass(frozen=True)
class Perishable:
    """A result that may be kept for ``seconds`` from the start of its computation at most."""

    value: Any
    seconds: float


@dataclass(eq=False)
class Task:
    """One computation under way.

    ``compute`` is given the task and may tell ``interrupt_by`` what ends it from outside.
    ``limit`` is in seconds, infinite for none. ``started`` is the monotonic time of its start,
    None while it waits for a place. It runs in a copy of the ``context`` of the caller who began
    it. ``traceback`` is that of what it raised.
    """

    key: Hashable
    compute: "Compute"
    keep_seconds: float
    limit: float
    future: "Future[Any]" = field(default_factory=Future)
    waiting: int = 0
    started: float | None = None
    abandoned: bool = False
    interrupt: Interrupt | None = None
    context: Context = field(default_factory=copy_context)
    traceback: TracebackType | None = None

    def interrupt_by(self, interrupt: Interrupt | None) -> None:
        """Have this end the task when it hangs; at once when it has been given up already."""
        self.interrupt = interrupt
        if self.abandoned and interrupt is not None:
            interrupt()

    def seconds_left(self) -> float:
        """How long it is until the task is overdue."""
        if self.started is None:
            return math.inf
        return self.started + self.limit + HANG_SECONDS - time.monotonic()


Compute = Callable[[Task], Any]


@dataclass(kw_only=True, eq=False)
class Computations:
    """Computes, shares and keeps results.

    ``threads`` is the number of computations at one time, ``size`` the number of results that are
    kept. ``max_waiting`` is how many may wait at one time, each caller with half of the places at
    most; 0 for no limit. ``clock`` gives the seconds by which results age.
    """

    threads: int = 2
    size: int = 1024
    max_waiting: int = 0
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._begin()
        _begin_anew_after_fork(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._kept = _Kept(self.size, self.clock)
        self._tasks: dict[Hashable, Task] = {}
        self._queue: deque[Task] = deque()
        self._running: set[Task] = set()
        self._waiting: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """How many callers wait now."""
        with self._lock:
            return self._waiting.total()

    def result(
        self,
        choices: Mapping[Hashable, Compute],
        *,
        keep_seconds: float,
        limit: float = math.inf,
        caller: str = "",
    ) -> tuple[Any, bool]:
        """A result for any of the keys, and whether it had been kept.

        ``choices`` may all answer this caller, the cheapest first, each wider than the one before.
        A result that is kept for any of them is taken if it is less than ``keep_seconds`` old. Or
        this joins the task that is under way for one of them. Or else it starts the first; or the
        last that callers needed themselves a short while ago, unless that was too slow.

        Waits for ``limit`` seconds and a little grace. Raises what a computation raises;
        ``TooSlow`` while that is remembered; ``Unavailable`` when there is no result in time, and
        at once while too many wait, or too many of the same ``caller``.
        """
        with self._lock:
            entry = self._kept.find(choices, keep_seconds)
            if entry is not None:
                return entry.value, True
            self._refuse_crowd(caller)
            task = self._join(choices, keep_seconds, limit)
            task.waiting += 1
            self._waiting[caller] += 1
        try:
            self._wait(task, limit + GRACE_SECONDS)
        finally:  # a host's own time limit may end it, by whatever it raises
            with self._lock:
                self._stop_waiting(task, caller)
        if not task.future.done():
            raise Unavailable(f"there is no result after {limit + GRACE_SECONDS:g} s")
        return _outcome(task), False

    def _refuse_crowd(self, caller: str) -> None:
        """Raise ``Unavailable`` when one caller more would wait than may."""
        most = self.max_waiting
        if most and (self.waiting >= most or self._waiting[caller] >= max(1, most // 2)):
            raise Unavailable(f"{self.waiting} callers wait already")

    def _join(self, choices: Mapping[Hashable, Compute], keep_seconds: float, limit: float) -> Task:
        """A task under way, or a new one, which begins as soon as there is a place."""
        self._fill()  # first, because it may give up a task of these keys
        for key in choices:
            if (task := self._tasks.get(key)) is not None:
                task.keep_seconds = max(task.keep_seconds, keep_seconds)
                return task
        key = self._kept.choose(choices)
        task = self._tasks[key] = Task(key, choices[key], keep_seconds, limit)
        self._queue.append(task)
        self._fill()
        return task

    def _wait(self, task: Task, seconds: float) -> None:
        """Wait for a task, and see to it that nothing that hangs keeps it from a place."""
        end = time.monotonic() + seconds
        while not task.future.done() and (left := end - time.monotonic()) > 0:
            with self._lock:
                self._fill()
                overdue = min((one.seconds_left() for one in self._running), default=math.inf)
                left = min(left, max(0.0, overdue))
            wait([task.future], None if left == math.inf else left)

    def _stop_waiting(self, task: Task, caller: str) -> None:
        self._waiting[caller] -= 1
        if not self._waiting[caller]:
            del self._waiting[caller]
        task.waiting -= 1
        if task.waiting == 0 and task in self._queue:  # what nobody waits for is not begun
            self._queue.remove(task)
            del self._tasks[task.key]

    def _fill(self) -> None:
        """Take the places of tasks that hang, and give free ones to those that wait."""
        for task in [one for one in self._running if one.seconds_left() <= 0]:
            # Told as by the caller who began it, not by the one who happens to see it.
            told = task.context.copy()
            told.run(logger.error, "A computation hangs and is given up: %s", task.key)
            self._give_up(task, f"the database gave no answer within {task.limit:g} s")
        while (begun := self._next()) is not None:
            thread = threading.Thread(
                target=self._work, args=(begun,), name="telemetry-computation", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # the system has no thread to give
                self._give_up(begun, f"no thread can be started: {error}")

    def _next(self) -> Task | None:
        """The task that begins now, if there is one and a place for it."""
        if not self._queue or len(self._running) >= self.threads:
            return None
        task = self._queue.popleft()
        task.started = time.monotonic()
        self._running.add(task)
        return task

    def _give_up(self, task: Task, reason: str) -> None:
        task.abandoned = True
        self._end(task)
        task.future.set_exception(Unavailable(reason))
        if task.interrupt is not None:
            try:
                task.interrupt()
            except Exception:
                logger.exception("A computation that hangs can't be ended")

    def _end(self, task: Task) -> None:
        self._running.discard(task)
        del self._tasks[task.key]

    def _work(self, task: Task | None) -> None:
        """Compute one task after the other, on a thread of its own."""
        while task is not None:
            outcome = task.context.run(self._attempt, task)
            with self._lock:
                if task.abandoned:  # its place has gone to another thread
                    return
                self._end(task)
                self._settle(task, outcome)
                task = self._next()

    def _attempt(self, task: Task) -> "_Entry | BaseException":
        try:
            begun, started = self.clock(), time.monotonic()
            value, stale_at = task.compute(task), math.inf
            if isinstance(value, Perishable):
                value, stale_at = value.value, begun + value.seconds
            is_cheap = time.monotonic() - started < _CHEAP_SECONDS
            return _Entry(value, self.clock(), stale_at, size_of((task.key, value)), is_cheap)
        except BaseException as error:  # whoever waits is to have it
            task.traceback = error.__traceback__
            return error

    def _settle(self, task: Task, outcome: "_Entry | BaseException") -> None:
        if isinstance(outcome, _Entry):
            self._kept.keep(task.key, outcome, task.keep_seconds)
            task.future.set_result(outcome.value)
            return
        if isinstance(outcome, TooSlow) or (
            isinstance(outcome, Cancelled) and self._kept.was_cancelled(task.key)
        ):
            outcome.retry_after = self._kept.remember_slow(task.key)
        if not isinstance(outcome, Exception):
            outcome = ServerFault(f"{type(outcome).__name__} ended a computation")
        task.future.set_exception(outcome)


@dataclass(frozen=True)
class _Entry:
    """A result, when it was made, when it is stale, both in seconds, and its size in bytes.

    ``is_cheap`` tells that it took no time to speak of.
    """

    value: Any
    made_at: float
    stale_at: float
    size: int
    is_cheap: bool


class _Kept:
    """Results, that one was too slow, and what is asked for: each for a limited number of keys.

    What was cheap leaves first, so that nobody pushes out a profile by asking for other things;
    then what was not used for longest. Not safe for several threads by itself.
    """

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._bytes = 0
        self._first_stale_at = math.inf
        self._slow: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()
        self._cancelled: OrderedDict[Hashable, bool] = OrderedDict()
        self._asked: OrderedDict[Hashable, float] = OrderedDict()

    def find(self, keys: Collection[Hashable], keep_seconds: float) -> _Entry | None:
        """A fresh result for any of the keys; notes that the first is asked for."""
        now = self._clock()
        if now >= self._first_stale_at:
            self._drop_stale(now)
        # The hash will do for a hint, and holds no long key.
        self._put(self._asked, hash(next(iter(keys))), now + 2 * keep_seconds)
        for key in keys:
            entry = self._entries.get(key)
            if entry is not None and now < min(entry.stale_at, entry.made_at + keep_seconds):
                self._entries.move_to_end(key)
                return entry
        return None

    def choose(self, keys: Collection[Hashable]) -> Hashable:
        """The key to compute; raises ``TooSlow`` while that is remembered for it."""
        now = self._clock()
        first, *wider = keys
        for key in reversed(wider):
            if now < self._asked.get(hash(key), now) and now >= self._slow_until(key):
                return key
        left = self._slow_until(first) - now
        if left > 0:
            raise TooSlow("it was too slow a short while ago", retry_after=math.ceil(left))
        return first

    def keep(self, key: Hashable, entry: _Entry, seconds: float) -> None:
        """Keep a result for so long, while it is fresh, and forget that it was ever slow."""
        self._slow.pop(key, None)
        self._cancelled.pop(key, None)
        self._drop(key)
        stale_at = min(entry.stale_at, entry.made_at + seconds)
        if stale_at <= entry.made_at or entry.size > KEPT_BYTES:
            return
        self._entries[key] = replace(entry, stale_at=stale_at)
        self._bytes += entry.size
        self._first_stale_at = min(self._first_stale_at, stale_at)
        while len(self._entries) > self._size or self._bytes > KEPT_BYTES:
            cheap = (key for key, entry in self._entries.items() if entry.is_cheap)
            self._drop(next(cheap, next(iter(self._entries))))

    def remember_slow(self, key: Hashable) -> int:
        """Remember that this was too slow, twice as long as the time before; the seconds."""
        before = self._slow.get(key)
        seconds = min(2 * before[1], _LONGEST_SLOW_SECONDS) if before else SLOW_SECONDS
        self._put(self._slow, key, (self._clock() + seconds, seconds))
        return seconds

    def was_cancelled(self, key: Hashable) -> bool:
        """Whether this was cancelled before, since its last result; notes that it is now."""
        before = key in self._cancelled
        self._put(self._cancelled, key, True)
        return before

    def _slow_until(self, key: Hashable) -> float:
        return self._slow.get(key, (-math.inf, 0))[0]

    def _drop_stale(self, now: float) -> None:
        for key in [key for key, entry in self._entries.items() if now >= entry.stale_at]:
            self._drop(key)
        stale_times = (entry.stale_at for entry in self._entries.values())
        self._first_stale_at = min(stale_times, default=math.inf)

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        self._bytes -= entry.size if entry is not None else 0

    def _put(self, store: "OrderedDict[Hashable, Any]", key: Hashable, value: Any) -> None:
        store[key] = value
        store.move_to_end(key)
        while len(store) > self._size:
            store.popitem(last=False)


def size_of(value: Any) -> int:
    """About how many bytes an object takes, with all that its containers and attributes hold.

    Each object counts once. What other objects hold in C is not seen, or in slots, but for data
    classes. It looks no further than ``KEPT_BYTES``, and gives more than that where an object
    can't be looked into.
    """
    try:
        return sum(map(sys.getsizeof, _held(value)))
    except Exception:
        return KEPT_BYTES + 1


def read_once(value: Any) -> Iterator[Any] | None:
    """An iterator that an object is or holds, as far as ``size_of`` looks; None without one."""
    with suppress(Exception):
        return next((one for one in _held(value) if isinstance(one, Iterator)), None)
    return None


def _held(value: Any) -> Iterator[Any]:
    """An object, and all that its containers and attributes hold, each once."""
    seen: set[int] = set()
    found = 0
    left = [value]
    while left and found <= KEPT_BYTES:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            found += sys.getsizeof(one)
            yield one
            if type(one) not in _HOLD_NOTHING:
                left += _parts(one)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield from value
    if isinstance(value, type):
        return
    if hasattr(value, "__dict__"):
        yield vars(value)
    elif is_dataclass(value):
        yield from (getattr(value, one.name) for one in fields(value))


def _outcome(task: Task) -> Any:
    error = task.future.exception()
    if error is None:
        return task.future.result()
    try:
        # Raised to many, it would gather the frames of all of them, and be logged with them.
        raise error.with_traceback(task.traceback)
    finally:
        del error


def _begin_anew_after_fork(computations: Computations) -> None:
    """Have a child process, which has none of the threads, begin with nothing."""
    reference = weakref.ref(computations)

    def begin_anew() -> None:
        inherited = reference()
        if inherited is not None:
            inherited._begin()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin_anew)
