"""At most one computation for each key at a time, on a few threads of our own.

Callers wait for a result, for a limited time; a caller who waits holds nothing. Whoever asks for
what is being computed waits with the others. A failure goes to all who waited and is not kept, but
that a computation was too slow is remembered, so that callers who try again don't start it over
and over. A computation that hangs is ended from outside, and its place given to another.
"""

import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from typing import Any

from flask_powerauth_telemetry.exceptions import ServerFault, TooSlow, Unavailable
from flask_powerauth_telemetry.keeping import Entry, KeptResults
from flask_powerauth_telemetry.places import GRACE_SECONDS, Places, Task


class Postponed(BaseException):
    """Ends an attempt at something of which another task computes a part.

    It is attempted again when the part is there; so nothing waits on a thread of ours. Not an
    ``Exception``, so that a provider doesn't catch it by accident.
    """

    def __init__(self, key: Hashable, part: "Future[Entry]") -> None:
        super().__init__(key)
        self.key = key
        self.part = part


class Computations:
    """Computes, shares and keeps results.

    ``threads`` is the number of computations at one time, ``size`` the number of results that are
    kept. ``clock`` gives the seconds by which results age.
    """

    def __init__(
        self, *, threads: int = 2, size: int = 1024, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._threads = threads
        self._size = size
        self._clock = clock
        self._begin()
        _begin_anew_after_fork(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._results = KeptResults(self._size, self._clock)
        self._tasks: dict[Hashable, Task] = {}
        self._parts: dict[Hashable, Future[Entry]] = {}
        self._places = Places(self._threads, self._lock, self._attempt, self._abandoned)

    def result(
        self,
        key: Hashable,
        compute: Callable[[Task], Any],
        *,
        keep_seconds: float,
        limit: float = math.inf,
    ) -> tuple[Any, bool]:
        """The result for a key, and whether it had been kept.

        Otherwise ``compute`` makes it, on a thread of ours, and this waits for ``limit`` seconds
        and a little grace. Raises what ``compute`` raises; ``TooSlow`` while that is remembered;
        ``Unavailable`` when there is no result in time.
        """
        with self._lock:
            entry = self._results.get(key)
            if entry is not None:
                return entry.value, True
            self._results.refuse_slow(key)
            task = self._task(key, compute, keep_seconds, limit)
            task.waiting += 1
        self._wait(task, limit + GRACE_SECONDS)
        with self._lock:
            self._stop_waiting(task)
            if not task.future.done():
                raise Unavailable(f"there is no result after {limit + GRACE_SECONDS:g} s")
        return _outcome(task), False

    def start(
        self, key: Hashable, compute: Callable[[Task], Any], *, keep_seconds: float, limit: float
    ) -> None:
        """Have something computed if it is not under way, without waiting for it."""
        with self._lock:
            if key not in self._tasks:
                self._task(key, compute, keep_seconds, limit).waiting += 1
            self._places.fill()

    def part(
        self, task: Task, key: Hashable, compute: Callable[[], Any], keep_seconds: float
    ) -> Any:
        """A part of what a task computes, shared with all tasks; on the task's own thread.

        Raises ``Postponed`` while another task computes it.
        """
        with self._lock:
            known = self.kept_part(task, key)
            if known is not None:
                return known
            self._results.refuse_slow(key)
            if task.abandoned:
                raise Unavailable("this computation was given up")
            if key in task.parts:
                raise ServerFault(f"the part {key} needs itself")
            if key in self._parts:
                raise Postponed(key, self._parts[key])
            self._parts[key] = task.parts[key] = Future()
        try:
            entry = Entry(compute(), self._clock() + keep_seconds)
        except BaseException as error:
            self._finish_part(task, key, error)
            raise
        self._finish_part(task, key, entry)
        task.fresh_until = min(task.fresh_until, entry.fresh_until)
        return entry.value

    def kept_part(self, task: Task, key: Hashable) -> Any | None:
        """A part that need not be computed, None when it must be; raises what its task raised."""
        given = task.given.get(key)
        with self._lock:
            if given is not None and not given.cancelled():
                entry: Entry | None = given.result()
            else:
                entry = self._results.get(key)
        if entry is None:
            return None
        task.fresh_until = min(task.fresh_until, entry.fresh_until)
        return entry.value

    def note(self, task: Task, key: Hashable) -> None:
        """Note that a part is asked for, for twice as long as results of the task are kept."""
        with self._lock:
            self._results.note(key, 2 * task.keep_seconds)

    def noted(self, key: Hashable) -> bool:
        """Whether a part was asked for a short while ago, and was not too slow."""
        with self._lock:
            return self._results.noted(key)

    def keep_at_most(self, task: Task, seconds: float) -> None:
        """Keep the result of a task for so many seconds from now at most."""
        task.fresh_until = min(task.fresh_until, self._clock() + seconds)

    def _task(
        self, key: Hashable, compute: Callable[[Task], Any], keep_seconds: float, limit: float
    ) -> Task:
        """The task for a key, begun as soon as there is a place."""
        self._places.fill()  # first, because it may give up this key's own task
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = Task(key, compute, keep_seconds, limit)
            self._places.add(task)
        return task

    def _wait(self, task: Task, seconds: float) -> None:
        """Wait for a task, and see to it that nothing that hangs keeps it from a place."""
        end = time.monotonic() + seconds
        while not task.future.done() and (left := end - time.monotonic()) > 0:
            with self._lock:
                self._places.fill()
                left = min(left, self._places.seconds_left())
            wait([task.future], None if left == math.inf else left)

    def _stop_waiting(self, task: Task) -> None:
        task.waiting -= 1
        if task.future.done():
            return
        if task.waiting == 0 and task.started is None:
            # What nobody waits for is not begun.
            del self._tasks[task.key]
            self._places.withdraw(task)

    def _attempt(self, task: Task) -> None:
        outcome: Entry | BaseException
        try:
            value = task.compute(task)
            outcome = Entry(value, min(self._clock() + task.keep_seconds, task.fresh_until))
        except BaseException as error:  # whoever waits is to have it
            outcome, task.traceback = error, error.__traceback__
        with self._lock:
            if task.abandoned:
                return
            self._places.leave(task)
            if isinstance(outcome, Postponed):
                self._put_off(task, outcome)
            else:
                del self._tasks[task.key]
                self._settle(task.key, task.future, outcome)

    def _put_off(self, task: Task, postponed: Postponed) -> None:
        if task.waiting == 0:
            del self._tasks[task.key]
            return
        task.given[postponed.key] = postponed.part
        postponed.part.add_done_callback(lambda _: self._resume(task))

    def _resume(self, task: Task) -> None:
        with self._lock:
            if self._tasks.get(task.key) is task:
                self._places.add(task)

    def _finish_part(self, task: Task, key: Hashable, outcome: Entry | BaseException) -> None:
        with self._lock:
            future = task.parts.pop(key, None)
            if future is None:  # the task was given up
                return
            del self._parts[key]
            if isinstance(outcome, Postponed):  # by a part of this part; others may now try it
                future.cancel()
            else:
                self._settle(key, future, outcome)

    def _settle(
        self, key: Hashable, future: "Future[Entry]", outcome: Entry | BaseException
    ) -> None:
        if isinstance(outcome, Entry):
            self._results.keep(key, outcome)
            future.set_result(outcome)
            return
        if isinstance(outcome, TooSlow):
            self._results.remember_slow(key, outcome)
        if not isinstance(outcome, Exception):
            outcome = ServerFault(f"{type(outcome).__name__} ended a computation")
        future.set_exception(outcome)

    def _abandoned(self, task: Task, reason: str) -> None:
        self._tasks.pop(task.key, None)
        error = Unavailable(reason)
        for key in list(task.parts):
            self._finish_part(task, key, error)
        self._settle(task.key, task.future, error)


def _outcome(task: Task) -> Any:
    error = task.future.exception()
    if error is None:
        return task.future.result().value
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
