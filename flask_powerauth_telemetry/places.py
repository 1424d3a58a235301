"""A few threads that work off tasks, and give up those that hang."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from flask_powerauth_telemetry.keeping import Entry

logger = logging.getLogger("flask_powerauth_telemetry.computation")

HANG_SECONDS = 0.75
"""How much longer than the time limit a computation may take, so that the database can end it."""

GRACE_SECONDS = 1.25
"""How much longer than the time limit a caller waits, so that one may follow what hangs."""


@dataclass(eq=False)
class Task:
    """One computation.

    ``compute`` is given the task and may tell ``interrupt_by`` what ends it from outside.
    ``limit`` is in seconds, infinite for none. ``given`` are parts that other tasks computed,
    ``parts`` those that this one computes. ``fresh_until`` is the least of its parts'. ``started``
    is the monotonic time of its start, None while it waits for a place. ``traceback`` is that of
    what it raised.
    """

    key: Hashable
    compute: Callable[["Task"], Any]
    keep_seconds: float
    limit: float
    future: "Future[Entry]" = field(default_factory=Future)
    waiting: int = 0
    started: float | None = None
    abandoned: bool = False
    fresh_until: float = math.inf
    interrupt: Callable[[], None] | None = None
    traceback: TracebackType | None = None
    given: "dict[Hashable, Future[Entry]]" = field(default_factory=dict)
    parts: "dict[Hashable, Future[Entry]]" = field(default_factory=dict)

    def interrupt_by(self, interrupt: Callable[[], None] | None) -> None:
        """Have this end the task when it hangs; at once when it has been given up already."""
        self.interrupt = interrupt
        if self.abandoned and interrupt is not None:
            interrupt()


class Places:
    """The threads; all methods are called with ``lock`` held.

    ``attempt`` works on a task on one of the threads and calls ``leave`` at its end, ``abandoned``
    is told of a task that was given up, and why.
    """

    def __init__(
        self,
        count: int,
        lock: "threading.RLock",
        attempt: Callable[[Task], None],
        abandoned: Callable[[Task, str], None],
    ) -> None:
        self._count = count
        self._lock = lock
        self._attempt = attempt
        self._abandoned = abandoned
        self._queue: deque[Task] = deque()
        self._running: set[Task] = set()

    def add(self, task: Task) -> None:
        """Have a task attempted when there is a place."""
        self._queue.append(task)
        self.fill()

    def fill(self) -> None:
        """Take the places of tasks that hang, and give free ones to those that wait."""
        for task in list(self._running):
            self.give_up_overdue(task)
        while (task_begun := self._next()) is not None:
            self._begin(task_begun)

    def seconds_left(self) -> float:
        """The time in which none of those that run will be overdue."""
        return max(0.0, min(map(_seconds_left, self._running), default=math.inf))

    def withdraw(self, task: Task) -> None:
        """Have a task that has not begun never begin."""
        if task in self._queue:
            self._queue.remove(task)

    def leave(self, task: Task) -> None:
        """A task's attempt has ended."""
        self._running.discard(task)
        task.started = None

    def give_up_overdue(self, task: Task) -> bool:
        """Give up a task that has run longer than its limit; whether it was one."""
        if _seconds_left(task) > 0:
            return False
        logger.error("A computation hangs and is given up: %s", task.key)
        self._give_up(task, f"the database gave no answer within {task.limit:g} s")
        return True

    def _give_up(self, task: Task, reason: str) -> None:
        task.abandoned = True
        self._running.discard(task)
        self._abandoned(task, reason)
        if task.interrupt is not None:
            try:
                task.interrupt()
            except Exception:
                logger.exception("A computation that hangs can't be ended")

    def _begin(self, task: Task) -> None:
        thread = threading.Thread(
            target=self._work, args=(task,), name="telemetry-computation", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # the system has no thread to give
            self._give_up(task, f"no thread can be started: {error}")

    def _next(self) -> Task | None:
        if not self._queue or len(self._running) >= self._count:
            return None
        task = self._queue.popleft()
        task.started = time.monotonic()
        self._running.add(task)
        return task

    def _work(self, task: Task | None) -> None:
        while task is not None:
            self._attempt(task)
            with self._lock:
                # The place of a task that was given up has gone to another thread.
                task = None if task.abandoned else self._next()


def _seconds_left(task: Task) -> float:
    """How long it is until a task is overdue."""
    if task.started is None:
        return math.inf
    return task.started + task.limit + HANG_SECONDS - time.monotonic()
