"""How many statements reach the database for a thousand requests, by mix."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask

from benchmarks.application import HEADERS, PATH, application, request_body
from benchmarks.measuring import Figure, figure
from benchmarks.population import APPLICATIONS
from benchmarks.run import Run
from tests.support.service import basic, recorded_statements

_REQUESTS = 1000
_THREADS = 16
_ROWS = 10_000
_WRONG = {"Authorization": basic("benchmark:wrong")}

_Request = Callable[[int], Mapping[str, Any]]


def _report(days: int, name: str = APPLICATIONS[0]) -> Mapping[str, Any]:
    return {"json": request_body(days, name), "headers": HEADERS}


_MIXES: Mapping[str, tuple[int, _Request]] = {
    "the same report": (200, lambda number: _report(30)),
    "365 different days": (200, lambda number: _report(1 + number % 365)),
    "3 applications": (200, lambda number: _report(30, APPLICATIONS[number % 3])),
    "an unknown application": (400, lambda number: _report(30, "unknown")),
    "1,000 unknown applications": (400, lambda number: _report(30, f"unknown-{number}")),
    "a wrong password": (401, lambda number: {"json": request_body(30), "headers": _WRONG}),
}


def figures(run: Run) -> Iterator[Figure]:
    """The figures; the reference sends one query for each request that it answers."""
    engine = run.population(_ROWS).engine
    for name, (status, of) in _MIXES.items():
        run.say(f"statements for {name}")
        with application(engine, cache_seconds=60) as app, recorded_statements() as statements:
            _send(app, of, status)
        yield figure(
            f"statements for {_REQUESTS:,} requests, {_THREADS} at a time: {name}",
            "a query for each request",
            "statements",
            [len(statements)],
            [_REQUESTS],
        )


def _send(app: Flask, request_of: _Request, status: int) -> None:
    def send(number: int) -> None:
        answer = app.test_client().post(PATH, **request_of(number))
        if answer.status_code != status:
            raise RuntimeError(answer.get_data(as_text=True))

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(send, range(_REQUESTS)))
