"""What reports cost by the number of users, on paper: ``python -m benchmarks.model``.

The constants are measured, and stand with their source in docs/scaling.md. The model is linear in
rows: what makes a row dearer is that the groups don't fit into memory, or the table doesn't.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

ROWS_PER_USER = 1.7
ROW_BYTES = 642
VERIFICATIONS_A_MONTH = 28.5
"""Verifications of a user in a month: 5.7 GB for 100,000 users, of 2,000 bytes each."""

AUDIT_BYTES = 2000
_GROUPS_IN_MEMORY = 2 * 10**6
_TABLE_IN_MEMORY = 2 * 10**7
_IN_MEMORY, _IN_FILES, _FROM_DISK = 0.83, 1.1, 1.75
_AUDIT = 2.7
_USERS = (10**5, 10**6, 10**7, 10**8, 10**9)
_HEADS = (
    "Users",
    "Activations",
    "Table",
    "A pass",
    "One processor, by a pass an hour",
    "Audit of a month",
    "30 days of it",
)
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Cost:
    """What ``users`` users cost on one server: rows, bytes and seconds on one processor."""

    users: int

    @property
    def rows(self) -> int:
        """The activations."""
        return round(self.users * ROWS_PER_USER)

    @property
    def table_bytes(self) -> int:
        """The size of ``pa_activation`` without its indexes."""
        return self.rows * ROW_BYTES

    @property
    def pass_seconds(self) -> float:
        """How long a pass of 365 days takes."""
        return self.rows * microseconds_a_row(self.rows) / 10**6

    @property
    def audit_rows(self) -> int:
        """The verifications of a month."""
        return round(self.users * VERIFICATIONS_A_MONTH)

    @property
    def audit_seconds(self) -> float:
        """How long a report on the verifications of 30 days takes."""
        return self.audit_rows * _AUDIT / 10**6


def microseconds_a_row(rows: int) -> float:
    """What a row costs a pass of 365 days over so many rows."""
    if rows <= _GROUPS_IN_MEMORY:
        return _IN_MEMORY
    return _IN_FILES if rows <= _TABLE_IN_MEMORY else _FROM_DISK


def lines() -> Iterator[str]:
    """The table of docs/scaling.md."""
    for cells in (_HEADS, ("---",) * len(_HEADS), *(_cells(Cost(users)) for users in _USERS)):
        yield f"| {' | '.join(cells)} |"


def _cells(cost: Cost) -> tuple[str, ...]:
    return (
        f"{cost.users:,}",
        f"{cost.rows:,}",
        _size(cost.table_bytes),
        _duration(cost.pass_seconds),
        f"{100 * cost.pass_seconds / 3600:.2g} %",
        f"{cost.audit_rows:,} rows, {_size(cost.audit_rows * AUDIT_BYTES)}",
        _duration(cost.audit_seconds),
    )


def _size(count: float) -> str:
    power = min(len(_UNITS) - 1, int(math.log10(count)) // 3)
    return f"{count / 1000**power:.3g} {_UNITS[power]}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 6000 else f"{seconds / 3600:.2g} h"


if __name__ == "__main__":
    print("\n".join(lines()))  # noqa: T201 # a command
