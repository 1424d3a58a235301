"""What a host's callers notice while ``pa_activation`` is locked: gunicorn with 8 threads."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from sqlalchemy import Engine

from benchmarks.application import HEADERS, PATH, TOKEN, request_body
from benchmarks.measuring import Figure, Sample, compare, take_turns
from benchmarks.population import APPLICATIONS
from benchmarks.run import Run
from flask_powerauth_telemetry import PowerAuthTelemetry
from flask_powerauth_telemetry.auth.credentials import digest
from tests.support.held import eventually
from tests.support.service import basic, url_of

_ROWS = 10_000
_ROUNDS = 5
_SECONDS = 2.0
_CALLERS = 24
_PRINCIPALS = [f"caller-{number}" for number in range(4)]
_LOCKED = f"while {_CALLERS} callers ask for a locked table"
_ALONE = "alone"
_PAGE, _KEPT = "host's page, slowest, ms", "kept answer, slowest, ms"


def host() -> Flask:
    """The host, configured by its environment, with a page of its own."""
    app = Flask(__name__)
    app.config.from_prefixed_env()
    PowerAuthTelemetry(app)
    app.add_url_rule("/page", view_func=lambda: "a page")
    return app


def figures(run: Run) -> Iterator[Figure]:
    """The figures: the slowest of what is asked for two seconds."""
    engine = run.population(_ROWS).engine
    run.say("a host whose table is locked")
    with _served(engine) as port:
        _ask(port, APPLICATIONS[0])
        samples = take_turns(
            {_LOCKED: lambda: _locked(engine, port), _ALONE: lambda: _slowest(port)}, _ROUNDS
        )
    yield from compare(samples, _LOCKED, _ALONE, [_PAGE, _KEPT])


@contextmanager
def _served(engine: Engine) -> Iterator[int]:
    names = ["benchmark", *_PRINCIPALS]
    keys = {
        "DATABASE_URL": url_of(engine),
        "CREDENTIALS": json.dumps({name: digest(TOKEN) for name in names}),
        "CACHE_SECONDS": "3600",
    }
    environment = os.environ | {
        f"FLASK_POWERAUTH_TELEMETRY_{key}": value for key, value in keys.items()
    }
    command = [sys.executable, "-m", "gunicorn", "--threads=8", "--bind=127.0.0.1:0"]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(  # noqa: S603 # arguments of our own
            [*command, "benchmarks.waiting:host()"], env=environment, stderr=log
        )
        try:
            eventually(lambda: "Listening at: " in _text(log.fileno()))
            yield int(_text(log.fileno()).partition("http://127.0.0.1:")[2].split(" ")[0])
        finally:
            server.terminate()
            server.wait()


def _text(descriptor: int) -> str:
    return Path(f"/proc/self/fd/{descriptor}").read_text(encoding="utf-8")


def _locked(engine: Engine, port: int) -> Sample:
    with engine.connect() as locker, ThreadPoolExecutor(_CALLERS) as threads:
        locker.exec_driver_sql("LOCK TABLE pa_activation IN ACCESS EXCLUSIVE MODE")
        asked = [
            threads.submit(_ask, port, APPLICATIONS[1], _PRINCIPALS[number % 4], 503)
            for number in range(_CALLERS)
        ]
        sample = _slowest(port)
        for one in asked:
            one.result()
        return sample


def _slowest(port: int) -> Sample:
    """The slowest of a host's pages, and of kept answers, in some seconds."""
    times: dict[str, list[float]] = {_PAGE: [], _KEPT: []}
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        times[_PAGE].append(_request(port, "GET", "/page", None, 200))
        times[_KEPT].append(_ask(port, APPLICATIONS[0]))
    return {name: max(each) for name, each in times.items()}


def _ask(port: int, name: str, principal: str = "benchmark", status: int = 200) -> float:
    body = json.dumps(request_body(30, name))
    return _request(port, "POST", PATH, body, status, basic(f"{principal}:{TOKEN}"))


def _request(
    port: int, method: str, path: str, body: str | None, status: int, credentials: str = ""
) -> float:
    """Milliseconds until it is answered; raises ``RuntimeError`` for another status."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {**HEADERS, "Authorization": credentials, "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != status:
        raise RuntimeError(f"answered {answer.status}, not {status}")
    return (time.perf_counter() - start) * 1000
