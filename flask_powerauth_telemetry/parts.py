"""How the contexts of several computations share parts."""

from collections.abc import Callable, Hashable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from flask_powerauth_telemetry.computation import Computations
from flask_powerauth_telemetry.database.errors import fault_of
from flask_powerauth_telemetry.places import Task


class TaskParts:
    """Lets the context of a task share parts with those of other tasks."""

    def __init__(self, computations: Computations, task: Task) -> None:
        self._computations = computations
        self._task = task

    def share(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """The part, computed once for all tasks."""

        def translated() -> Any:
            try:
                return compute()
            except SQLAlchemyError as error:
                raise fault_of(error) from error

        return self._computations.part(self._task, key, translated, self._task.keep_seconds)

    def kept(self, key: Hashable) -> Any | None:
        """The part, if it is there."""
        return self._computations.kept_part(self._task, key)

    def note(self, key: Hashable) -> None:
        """Note that the part is asked for."""
        self._computations.note(self._task, key)

    def noted(self, key: Hashable) -> bool:
        """Whether any task asked for the part a short while ago."""
        return self._computations.noted(key)

    def keep_at_most(self, seconds: float) -> None:
        """Have the result of the task kept no longer."""
        self._computations.keep_at_most(self._task, seconds)

    def interrupt_by(self, interrupt: Callable[[], None] | None) -> None:
        """Have the task ended so when it hangs."""
        self._task.interrupt_by(interrupt)
