"""What goes on beside the logins while they are measured."""

import http.client
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from flask import Flask
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.serving import make_server

from benchmarks.application import HEADERS, PATH, application, database_of, request_body, run_pass
from benchmarks.pacing import paced_pass
from benchmarks.reference import reference_count
from flask_powerauth_telemetry.exceptions import TelemetryError

_WIDTH = 365
_CANCEL = (
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()"
)
_COUNTING = "SELECT count(*) FROM generate_series(1, 5000000)"

Work = Callable[[threading.Event], object]


@contextmanager
def nothing(engine: Engine) -> Iterator[None]:
    """The logins alone."""
    yield


@contextmanager
def passes(engine: Engine) -> Iterator[None]:
    """A pass of 365 days, over and over."""
    with application(engine, cache_seconds=0) as app:
        database = database_of(app)
        with repeated(engine, [lambda _: run_pass(database, _WIDTH)]):
            yield


@contextmanager
def paced_passes(engine: Engine) -> Iterator[None]:
    """A paced pass of 365 days, over and over."""
    with application(engine, cache_seconds=0) as app:
        database = database_of(app)
        with repeated(engine, [lambda stop: paced_pass(database, _WIDTH, stop)]):
            yield


@contextmanager
def busy_process(engine: Engine) -> Iterator[None]:
    """A process of the server that keeps a processor busy, and reads no table."""

    def count(_: threading.Event) -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(_COUNTING)

    with repeated(engine, [count]):
        yield


@contextmanager
def reference_callers(engine: Engine, count: int) -> Iterator[None]:
    """Callers who repeat the reference's query for 365 days."""

    def ask(_: threading.Event) -> None:
        with engine.connect() as connection:
            reference_count(connection, _WIDTH)

    with repeated(engine, [ask] * count):
        yield


@contextmanager
def callers(engine: Engine, count: int) -> Iterator[None]:
    """Callers with windows of their own, who ask a process that has just started once a second."""
    with application(engine, cache_seconds=60) as app, _served(app) as port:
        works = [partial(_ask_and_wait, port, days) for days in _windows(count)]
        with repeated(engine, works):
            yield


@contextmanager
def distant_callers(engine: Engine, count: int) -> Iterator[None]:
    """The same, each at a moment of its own; and they and the process yield to all others.

    As if they were on other machines, which this is to stand for. On Linux alone.
    """
    with application(engine, cache_seconds=60) as app, _served(app) as port:
        app.before_request(_yield_to_all)

        def ask(days: int, later: float, stop: threading.Event) -> None:
            _yield_to_all()
            stop.wait(later)
            while not stop.is_set():
                _ask_and_wait(port, days, stop)

        works = [partial(ask, days, n / count) for n, days in enumerate(_windows(count))]
        with repeated(engine, works):
            yield


def _windows(count: int) -> Sequence[int]:
    return [1 + number * 365 // count for number in range(count)]


def _yield_to_all() -> None:
    """Give this thread the lowest priority."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _ask_and_wait(port: int, days: int, stop: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {**HEADERS, "Content-Type": "application/json"}
    connection.request("POST", PATH, json.dumps(request_body(days)), headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200 and not stop.is_set():
        raise RuntimeError(f"answered {answer.status}")
    stop.wait(1)


@contextmanager
def _served(app: Flask) -> Iterator[int]:
    """The port of a server with a thread for each connection."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def repeated(engine: Engine, works: Sequence[Work]) -> Iterator[None]:
    """Each work over and over, on a thread of its own; what still runs at the end is cancelled."""
    stop = threading.Event()
    errors: list[Exception] = []

    def repeat(work: Work) -> None:
        try:
            while not stop.is_set():
                work(stop)
        except (SQLAlchemyError, TelemetryError) as error:
            if not stop.is_set():
                errors.append(error)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        with engine.connect() as connection:
            connection.exec_driver_sql(_CANCEL)
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
