"""Threads that ask the machinery of computations for results."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from flask_powerauth_telemetry.computation import Computations, Task

LONG = 20.0
"""How long a test waits for what must happen, in seconds."""

LIMIT = 0.3


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Callers:
    """Threads that ask for results."""

    def __init__(self, computations: Computations) -> None:
        self._pool = ThreadPoolExecutor(64)
        self.computations = computations

    def ask(
        self, key: Any, compute: Callable[[Task], Any], keep: float = 60, limit: float = LONG
    ) -> "Future[tuple[Any, bool]]":
        """The future answer to a caller, who waits by the time that this returns."""
        return self.ask_for_any({key: compute}, keep, limit)

    def ask_for_any(
        self, choices: Mapping[Any, Callable[[Task], Any]], keep: float = 60, limit: float = LONG
    ) -> "Future[tuple[Any, bool]]":
        """The same, of a caller whom several computations may answer."""
        before = self._waiting(choices)
        answer = self._pool.submit(
            self.computations.result, choices, keep_seconds=keep, limit=limit
        )
        eventually(lambda: self._waiting(choices) > before or answer.done())
        return answer

    def _waiting(self, keys: Iterable[Any]) -> int:
        tasks = [self.computations._tasks.get(key) for key in keys]
        return sum(task.waiting for task in tasks if task is not None)

    def close(self) -> None:
        self._pool.shutdown()


class Gate:
    """A computation that stays where it is until it is opened."""

    def __init__(self, value: Any = "value") -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()
        self.runs = 0
        self._value = value

    def __call__(self, task: Task | None = None) -> Any:
        self.runs += 1
        self.entered.release()
        assert self.opened.wait(LONG)
        if isinstance(self._value, BaseException):
            raise self._value
        return self._value

    def wait(self) -> None:
        """Wait until it has begun once more."""
        assert self.entered.acquire(timeout=LONG)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def threads_of_ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "telemetry-computation"]


@contextmanager
def callers_of(computations: Computations) -> Iterator[Callers]:
    """Callers, all of whom are answered, and all computations ended, at the end."""
    callers = Callers(computations)
    yield callers
    callers.close()
    eventually(lambda: not threads_of_ours())


def ask_at_once(callers: Callers, key: Any, compute: Callable[[Task], Any], **how: Any) -> Any:
    return callers.computations.result({key: compute}, **{"keep_seconds": 60, "limit": LONG, **how})
