"""What people who log in notice: updates of activations, by a process of their own (pgbench)."""

import math
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from sqlalchemy import Engine

from benchmarks import burdens
from benchmarks.measuring import Figure, Sample, compare, take_turns
from benchmarks.population import ACTIVATION_ID, Population, vacuum
from benchmarks.run import Run
from benchmarks.servers import program

RATE = 2000
_CLIENTS = 4
# The time moves by a microsecond only, so that all windows keep their users.
_SCRIPT = r"""
\set number random(1, {rows})
UPDATE pa_activation SET timestamp_last_used = timestamp_last_used + interval '1 microsecond',
    counter = counter + 1, ctr_data = md5(ctr_data)
WHERE activation_id = {activation_id};
"""
STEADY = ("p50, ms", "p99, ms", "p99 of the worst second, ms")
_FULL_SPEED = "logins a second"
_ALONE = "alone"
_CALLERS = "beside 64 callers, 64 windows, once a second"
_DISTANT = "beside 64 of them who yield, as if elsewhere"

Burden = Callable[[Engine], AbstractContextManager[None]]
_BURDENS: Mapping[str, Burden] = {
    _ALONE: burdens.nothing,
    "beside a busy process that reads no table": burdens.busy_process,
    "during passes without pause": burdens.passes,
    "during a paced pass": burdens.paced_passes,
    _CALLERS: partial(burdens.callers, count=64),
    _DISTANT: partial(burdens.distant_callers, count=64),
    "beside 1 caller of the reference's query": partial(burdens.reference_callers, count=1),
    "beside 8 callers of the reference's query": partial(burdens.reference_callers, count=8),
}


@dataclass(frozen=True)
class Login:
    """One login: the second that it ended in, and how long it took in milliseconds."""

    second: int
    milliseconds: float


def figures(run: Run) -> Iterator[Figure]:
    """The figures at a steady rate and at full speed, against the logins alone."""
    population = run.population(purpose="logins")
    seconds = dict.fromkeys(_BURDENS, 10 if run.full else 4)
    minutes = dict.fromkeys((_CALLERS, _DISTANT), 120 if run.full else 20)
    steady = {**seconds, **minutes}
    shorter = dict.fromkeys(_BURDENS, 10 if run.full else 2)
    for title, rate, times, measures in (
        (f"logins, {RATE:,} a second, ", RATE, steady, STEADY),
        ("logins, full speed, ", None, shorter, (_FULL_SPEED,)),
    ):
        run.say(f"{title}{sum(times.values())} s in each round")
        sides = {name: partial(_measure, population, name, rate, times[name]) for name in _BURDENS}
        samples = take_turns(sides)
        for name in _BURDENS:
            if name != _ALONE:
                yield from compare(samples, name, _ALONE, measures, title)


def log_in(population: Population, seconds: int, rate: int | None) -> Sequence[Login]:
    """Log in for some seconds, at a steady rate a second or, with None, at full speed.

    At a steady rate the time of a login counts from when it was due, so waiting is in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "login.sql"
        script.write_text(_script(population.rows), encoding="utf-8")
        options = ["--rate", str(rate)] if rate else []
        subprocess.run(  # noqa: S603 # a program of the wheel, with arguments of our own
            [
                *(str(program("pgbench")), *_address(population.engine), *options),
                *("--no-vacuum", "--protocol", "prepared", "--client", str(_CLIENTS)),
                *("--time", str(seconds), "--log", "--file", str(script)),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        (log,) = Path(folder).glob("pgbench_log.*")
        return [_login(line) for line in log.read_text(encoding="ascii").splitlines()]


def percentile(logins: Sequence[Login], share: float) -> float:
    """The time in milliseconds that a share of the logins stay within."""
    times = sorted(login.milliseconds for login in logins)
    return times[math.ceil(share * len(times)) - 1]


def worst_second(logins: Sequence[Login]) -> float:
    """The highest p99 that any second had, in milliseconds."""
    ordered = sorted(logins, key=lambda login: login.second)
    seconds = groupby(ordered, key=lambda login: login.second)
    return max(percentile(list(some), 0.99) for _, some in seconds)


def steady_values(logins: Sequence[Login]) -> Sample:
    """What is told of logins at a steady rate, by ``STEADY``."""
    values = (percentile(logins, 0.5), percentile(logins, 0.99), worst_second(logins))
    return dict(zip(STEADY, values, strict=True))


def _measure(population: Population, name: str, rate: int | None, seconds: int) -> Sample:
    if name == _ALONE:
        vacuum(population.engine)
    with _BURDENS[name](population.engine):
        logins = log_in(population, seconds, rate)
    return {**steady_values(logins), _FULL_SPEED: len(logins) / seconds}


def _script(rows: int) -> str:
    return _SCRIPT.format(rows=rows, activation_id=ACTIVATION_ID.format(":number"))


def _address(engine: Engine) -> Sequence[str]:
    url = engine.url
    host = url.query.get("host", url.host)
    return ("--host", str(host), "--username", str(url.username), str(url.database))


def _login(line: str) -> Login:
    _, _, microseconds, _, second, *_ = line.split()
    return Login(second=int(second), milliseconds=int(microseconds) / 1000)
