"""How many passes one caller can have made: the worst mix of requests that we know of."""

import itertools
import json
import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask

from benchmarks.application import HEADERS, PATH, application
from benchmarks.measuring import Figure, figure
from benchmarks.population import APPLICATIONS
from benchmarks.run import Run
from tests.support.service import recorded_statements

_ROWS = 10_000
_THREADS = 8
_KEPT_SECONDS = 2.0
_REPORTS = ("COMMITTED_USERS_IN_PAST_DAYS", "USERS_ACROSS_APPLICATIONS", "USERS_BY_STATUS")


def figures(run: Run) -> Iterator[Figure]:
    """The figure: passes that reached the database, against the most that ``check`` tells."""
    engine = run.population(_ROWS).engine
    seconds = 60 if run.full else 20
    run.say(f"one caller's worst mix for {seconds} s")
    with application(engine, _KEPT_SECONDS, REPORTS=_REPORTS, MAX_WAITING=6) as app:
        allowed = _passes_told(app) * math.ceil(seconds / _KEPT_SECONDS + 1)
        with recorded_statements() as statements:
            requests = _attack(app, seconds)
    passes = sum("FROM pa_activation" in statement for statement in statements)
    yield figure(
        f"{requests:,} requests of one caller in {seconds} s, {_THREADS} at a time, kept for"
        f" {_KEPT_SECONDS:g} s",
        "the most that check tells",
        "passes",
        [passes],
        [allowed],
    )


def _passes_told(app: Flask) -> int:
    """The passes of ``flask telemetry check``, each time that what is kept is over."""
    output = app.test_cli_runner().invoke(args=["telemetry", "check", "--json"]).stdout
    (cost,) = (one for one in json.loads(output)["findings"] if one["check"] == "cost")
    return int(cost["facts"]["passes"])


def _attack(app: Flask, seconds: float) -> int:
    """How many requests were answered in so many seconds."""
    end = time.monotonic() + seconds
    numbers = itertools.count()

    def send(_: int) -> int:
        sent = 0
        while time.monotonic() < end:
            name, parameters, statuses = _request(next(numbers))
            body = {"requestObject": {"name": name, "parameters": parameters}}
            answer = app.test_client().post(PATH, json=body, headers=HEADERS)
            if answer.status_code not in statuses:
                raise RuntimeError(answer.get_data(as_text=True))
            sent += 1
        return sent

    with ThreadPoolExecutor(_THREADS) as threads:
        return sum(threads.map(send, range(_THREADS)))


def _request(number: int) -> tuple[str, Mapping[str, Any], set[int]]:
    """A report, its parameters and the statuses to expect; too many who wait are sent away."""
    name = APPLICATIONS[number // 5 % len(APPLICATIONS)]
    days = 1 + number * 7 % 365
    several = list(APPLICATIONS[: 2 + number // 5 % 2])
    mix: list[tuple[str, Mapping[str, Any]]] = [
        ("USERS_IN_PAST_DAYS", {"application": name, "days": days}),
        ("COMMITTED_USERS_IN_PAST_DAYS", {"application": name, "days": days}),
        ("USERS_ACROSS_APPLICATIONS", {"applications": several, "days": days}),
        ("USERS_BY_STATUS", {"application": name}),
    ]
    if number % 5 == len(mix):
        return "CURRENT_MAU", {"application": f"unknown-{number}"}, {400, 503}
    return (*mix[number % 5], {200, 503})
