"""Recording every application while people log in, as ``flask telemetry snapshot`` does it."""

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flask import Flask
from sqlalchemy import Engine

from benchmarks.application import application
from benchmarks.logins import RATE, STEADY, log_in, steady_values
from benchmarks.measuring import PAIRS, SECONDS, Figure, Sample, compare, take_turns
from benchmarks.population import Population, vacuum
from benchmarks.run import Run

_BIG = 10**7
_FEW_PAIRS = 3
_ALONE = "alone"
_BESIDE = "beside the recording"
_RECORDED = "recorded beside logins"
_RECORDED_ALONE = "recorded alone"


def figures(run: Run) -> Iterator[Figure]:
    """What the logins notice of a recording, and what a recording notices of them."""
    rows = _BIG if run.full else run.rows
    population = run.population(rows, purpose="logins")
    seconds = max(1, int(_recorded(population.engine)[SECONDS] / 1000))
    run.say(f"recording {rows:,} rows beside logins, {seconds} s at least")
    sides: dict[str, Callable[[], Sample]] = {
        _ALONE: lambda: _logins(population, seconds),
        _BESIDE: lambda: _beside(population, seconds),
        _RECORDED_ALONE: lambda: _recorded(population.engine),
    }
    samples = take_turns(sides, _FEW_PAIRS if run.full else PAIRS)
    title = f"logins, {RATE:,} a second, {rows:,} rows, "
    yield from compare(samples, _BESIDE, _ALONE, STEADY, title)
    both = {_RECORDED: samples[_BESIDE], _RECORDED_ALONE: samples[_RECORDED_ALONE]}
    yield from compare(both, _RECORDED, _RECORDED_ALONE, [SECONDS], f"{rows:,} rows ")


def _logins(population: Population, seconds: int) -> Sample:
    vacuum(population.engine)
    return steady_values(log_in(population, seconds, RATE))


def _beside(population: Population, seconds: int) -> Sample:
    with ThreadPoolExecutor(1) as executor:
        recorded = executor.submit(_recorded, population.engine)
        logins = log_in(population, seconds, RATE)
        return {**steady_values(logins), **recorded.result()}


def _recorded(engine: Engine) -> Sample:
    """Run the command once, into a new store."""
    with tempfile.TemporaryDirectory() as folder:
        history = f"sqlite:///{Path(folder) / 'history.sqlite'}"
        with application(engine, cache_seconds=0, BINDS={"history": history}) as app:
            start = time.perf_counter()
            _run_command(app)
            return {SECONDS: (time.perf_counter() - start) * 1000}


def _run_command(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["telemetry", "snapshot"])
    if result.exit_code:
        raise RuntimeError(result.output)
