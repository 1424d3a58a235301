"""The chain of an instance's rows: its head, and what shows that rows were altered or are gone.

Each row names the digest of the row before, and the head names the last row's. So neither a row
nor the end of the chain can be changed without a trace, unless all that follows is changed as well.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask_powerauth_telemetry.config.values import Keys
from flask_powerauth_telemetry.history.recording import digest_of, is_genuine

NO_DIGEST = "0" * 64
"""What the first row names as the digest of the row before."""

ChainRow = Mapping[str, Any]


@dataclass(frozen=True)
class Head:
    """How many rows a chain has, and the digest of the last: as text, worth keeping elsewhere."""

    entries: int = 0
    digest: str = NO_DIGEST

    def __str__(self) -> str:
        return f"{self.entries} rows, digest {self.digest}"


@dataclass(frozen=True)
class Break:
    """What is wrong at an entry of a chain; ``row`` is the row, if there is one."""

    entry: object
    cause: str
    row: ChainRow | None = None


@dataclass
class ChainWalk:
    """Goes through the rows of a chain, in order, and tells where it is broken.

    ``read_head`` gives the head as it is, None for none; it is asked before the rows and after
    them, because rows may be added meanwhile. ``expected`` is a head that the chain once had, as
    somebody kept it elsewhere. ``keys`` are those of the seals, which are not looked at without
    any. ``last`` is how far the walk has come.
    """

    read_head: Callable[[], Head | None]
    expected: Head = Head()
    keys: Keys = field(default_factory=Keys)
    last: Head = Head()
    _last_row: ChainRow | None = None
    _last_is_altered: bool = False
    _is_sealed: bool = False

    def breaks(self, rows: Iterable[ChainRow]) -> Iterator[Break]:
        """Every break, one for each row that was altered and for each gap."""
        head = self.read_head() or Head()
        for row in rows:
            yield from self._step(row)
            for end, witness in (
                (head, "the head of the chain"),
                (self.expected, "what is expected"),
            ):
                if self.last.entries == end.entries:
                    yield from self._compare(end.digest, witness)
        yield from _gap(self.last.entries + 1, max(head.entries, self.expected.entries))
        yield from self._end()

    def _step(self, row: ChainRow) -> Iterator[Break]:
        entry = row["entry"]
        if not isinstance(entry, int):  # SQLite takes anything
            yield Break(entry, "was altered", row)
            return
        if entry < 1:
            yield Break(entry, "is no row of the chain, which begins with row 1", row)
            return
        altered = digest_of(row) != row["digest"]
        yield from _gap(self.last.entries + 1, entry - 1)
        if entry == self.last.entries + 1 and not altered:
            yield from self._compare(row["previous"], "the row after it")
        if altered:
            yield Break(entry, "was altered", row)
        else:
            yield from self._check_seal(row)
        self.last = Head(entry, row["digest"])
        self._last_row, self._last_is_altered = row, altered

    def _check_seal(self, row: ChainRow) -> Iterator[Break]:
        seal = row["seal"]
        if seal is None:
            if self._is_sealed:
                yield Break(row["entry"], "has no seal, and a row before it has one", row)
            return
        self._is_sealed = True
        if self.keys.values and not is_genuine(row["digest"], seal, self.keys):
            yield Break(row["entry"], "has a seal that none of the keys made", row)

    def _compare(self, digest: str, witness: str) -> Iterator[Break]:
        """Whether the last row is the one that its witness has seen."""
        if digest != self.last.digest and not self._last_is_altered:
            self._last_is_altered = True
            cause = f"{witness} names another digest of it: one of the two was altered"
            yield Break(self.last.entries, cause, self._last_row)

    def _end(self) -> Iterator[Break]:
        head = self.read_head()
        if self.keys.values and self._last_row is not None and not self._is_sealed:
            cause = (
                "has no seal, as all before it: if the key is new, nothing is recorded by it yet"
            )
            yield Break(self.last.entries, cause, self._last_row)
        if head is None:
            if self.last.entries:
                yield Break(self.last.entries, "the head of the chain is gone", self._last_row)
        elif head.entries < self.last.entries:
            cause = f"the head of the chain says that there are {head.entries} rows"
            yield Break(self.last.entries, cause, self._last_row)


def _gap(first: int, last: int) -> Iterator[Break]:
    if first == last:
        yield Break(first, "is gone")
    elif first < last:
        yield Break(first, f"is gone, and all up to row {last}")
