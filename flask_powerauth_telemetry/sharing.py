"""How a context shares parts of its computation with others, or keeps them to itself."""

from collections.abc import Callable, Hashable
from typing import Any, Protocol


class Sharing(Protocol):
    """How a context shares parts of a computation with others."""

    def share(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """What ``compute`` returns, or what it returned for another report."""

    def kept(self, key: Hashable) -> Any | None:
        """What is there for a key without computing it, None otherwise."""

    def note(self, key: Hashable) -> None:
        """Note that something is asked for."""

    def noted(self, key: Hashable) -> bool:
        """Whether something was asked for a short while ago, by any report."""

    def keep_at_most(self, seconds: float) -> None:
        """Tell that the result of this computation is good for so many seconds at most."""

    def interrupt_by(self, interrupt: Callable[[], None] | None) -> None:
        """Tell what ends this computation from outside from now on."""


class NotShared:
    """Shares parts within one context alone."""

    def __init__(self) -> None:
        self._parts: dict[Hashable, Any] = {}

    def share(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """What ``compute`` returned at its first call for a key."""
        if key not in self._parts:
            self._parts[key] = compute()
        return self._parts[key]

    def kept(self, key: Hashable) -> Any | None:
        """What was computed for a key before."""
        return self._parts.get(key)

    def note(self, key: Hashable) -> None:
        """Do nothing: nobody else asks."""

    def noted(self, key: Hashable) -> bool:
        """Nothing was asked for before."""
        return False

    def keep_at_most(self, seconds: float) -> None:
        """Do nothing: the result is not kept."""

    def interrupt_by(self, interrupt: Callable[[], None] | None) -> None:
        """Do nothing: nobody else waits."""
