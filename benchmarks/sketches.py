"""What counting by sketches costs and how wrong it is: ``python -m benchmarks.sketches``.

ClickHouse's engine runs in this process, by chdb, on one thread. Users are made up from a seed for
each set. So nothing here needs a server, and nothing is measured of one.
"""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import click
from chdb.session import Session

EXACT = "uniqExact"
SKETCHES = ("uniqHLL12", "uniqCombined(12)", "uniqCombined(17)", "uniqCombined64(17)", "uniq")
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)
BIG = 10**7
_ROWS = 4 * 10**7
_FEWEST_SETS, _MOST_SETS = 30, 200
DAYS = 365

_USERS = "concat('user-', toString(seed), '-', leftPad(toString(number % {users}), 9, '0'))"
_ERRORS = """
SELECT {columns} FROM (
    SELECT seed, {estimates} FROM (
        SELECT intDiv(number, {users}) + {first} AS seed, {user} AS user_id
        FROM numbers({rows})
    ) GROUP BY seed
)"""
# Each user comes on a few days of the year, so the days overlap as those of logins do.
_DAYS = """
CREATE TABLE days ENGINE = Memory AS
SELECT day, {states} FROM (
    SELECT concat('user-', toString(number % {users})) AS user_id,
        toUInt16(cityHash64(number) % {days}) AS day
    FROM numbers({users} * {visits})
) GROUP BY day"""


@dataclass(frozen=True)
class Error:
    """How wrong an estimate is over many sets, in per cent of the exact count."""

    sketch: str
    users: int
    sets: int
    bias: float
    mean: float
    worst: float


@dataclass(frozen=True)
class Cost:
    """Seconds for one count, and the bytes of its state."""

    sketch: str
    users: int
    seconds: float
    state_bytes: int


@dataclass(frozen=True)
class Merge:
    """A year's count out of its daily sketches."""

    sketch: str
    users: int
    error: float
    seconds: float
    state_bytes: int


class Engine:
    """ClickHouse's engine on one thread."""

    def __init__(self) -> None:
        self._session = Session()
        self._session.query("SET max_threads = 1")

    def run(self, statement: str) -> None:
        """Run a statement that gives nothing."""
        self._session.query(statement)

    def row(self, statement: str) -> Sequence[float]:
        """The only row of a statement."""
        values = json.loads(str(self._session.query(statement, "JSONCompactEachRow")))
        return [float(value) for value in values]


def errors(engine: Engine, users: int, sketches: Sequence[str] = SKETCHES) -> Iterator[Error]:
    """The errors over as many sets of users as fit into the rows of a run."""
    sets = min(_MOST_SETS, max(_FEWEST_SETS, _ROWS // users))
    names = [f"e{number}" for number in range(len(sketches))]
    estimates = ", ".join(
        f"100 * ({sketch}(user_id) - {users}) / {users} AS {name}"
        for sketch, name in zip(sketches, names, strict=True)
    )
    columns = ", ".join(f"avg({n}), avg(abs({n})), max(abs({n}))" for n in names)
    found: list[float] = list(
        engine.row(
            _ERRORS.format(
                columns=columns,
                estimates=estimates,
                users=users,
                user=_USERS.format(users=users),
                rows=users * sets,
                first=0,
            )
        )
    )
    for place, sketch in enumerate(sketches):
        yield Error(sketch, users, sets, *found[3 * place : 3 * place + 3])


def costs(engine: Engine, users: int, sketches: Sequence[str]) -> Iterator[Cost]:
    """What one count over a table in memory takes."""
    engine.run("DROP TABLE IF EXISTS users")
    engine.run(
        "CREATE TABLE users ENGINE = Memory AS SELECT 0 AS seed,"
        f" {_USERS.format(users=users)} AS user_id FROM numbers({users})"
    )
    for sketch in sketches:
        seconds = min(_seconds(engine, f"SELECT {sketch}(user_id) FROM users") for _ in range(3))
        name, _, precision = sketch.partition("(")
        state = (
            f"SELECT length(toString({name}State{'(' if precision else ''}{precision}(user_id)))"
        )
        (size,) = engine.row(f"{state} FROM users")
        yield Cost(sketch, users, seconds, int(size))


def merges(
    engine: Engine, users: int, sketches: Sequence[str], visits: int = 12
) -> Iterator[Merge]:
    """A year's users out of one state for each day."""
    states = ", ".join(
        f"{_with(sketch, 'State')}(user_id) AS s{number}" for number, sketch in enumerate(sketches)
    )
    engine.run("DROP TABLE IF EXISTS days")
    engine.run(_DAYS.format(states=states, users=users, visits=visits, days=DAYS))
    for number, sketch in enumerate(sketches):
        merged = f"SELECT {_with(sketch, 'Merge')}(s{number}) FROM days"
        seconds = min(_seconds(engine, merged) for _ in range(3))
        (count,) = engine.row(merged)
        (size,) = engine.row(f"SELECT sum(length(toString(s{number}))) FROM days")
        yield Merge(sketch, users, 100 * (count - users) / users, seconds, int(size))


def _with(sketch: str, combinator: str) -> str:
    name, bracket, rest = sketch.partition("(")
    return f"{name}{combinator}{bracket}{rest}"


def _seconds(engine: Engine, statement: str) -> float:
    start = time.perf_counter()
    engine.row(statement)
    return time.perf_counter() - start


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@click.command
@click.option("--most", default=BIG, show_default=True, help="Users of the biggest set.")
def sketches(most: int) -> None:
    """Measure, and print three tables."""
    engine = Engine()
    sizes = [size for size in SIZES if size <= most]
    click.echo("Errors, in per cent of the exact count\n")
    heads = ("sketch", "users", "sets", "bias", "mean", "worst")
    rows = [
        (e.sketch, f"{e.users:,}", str(e.sets), *(f"{v:.3f}" for v in (e.bias, e.mean, e.worst)))
        for users in sizes
        for e in errors(engine, users)
    ]
    click.echo(_table(heads, rows))
    click.echo("\nOne count on one thread, and its state\n")
    costed = [c for users in sizes for c in costs(engine, users, (EXACT, *SKETCHES))]
    click.echo(
        _table(
            ("count", "users", "ms", "bytes"),
            [
                (c.sketch, f"{c.users:,}", f"{1000 * c.seconds:.1f}", f"{c.state_bytes:,}")
                for c in costed
            ],
        )
    )
    click.echo(f"\nA year out of {DAYS} daily states\n")
    merged = [m for users in sizes[1:4] for m in merges(engine, users, (EXACT, *SKETCHES))]
    click.echo(
        _table(
            ("count", "users", "error, %", "ms", "bytes of all days"),
            [
                (
                    m.sketch,
                    f"{m.users:,}",
                    f"{m.error:.3f}",
                    f"{1000 * m.seconds:.1f}",
                    f"{m.state_bytes:,}",
                )
                for m in merged
            ],
        )
    )


if __name__ == "__main__":
    sketches()
