"""A kept answer against a bare Flask view that authenticates and parses the same body."""

import hashlib
import hmac
import io
from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.test import EnvironBuilder

from benchmarks.application import HEADERS, PATH, TOKEN, USER, application, ask, request_body
from benchmarks.measuring import SECONDS, Figure, compare, take_turns, timed
from benchmarks.run import Run

_CALLS = 500
_KEPT = f"{_CALLS} kept answers"
_BARE = f"{_CALLS} answers of a bare view"
_ROWS = 10_000
_DAYS = 30


def figures(run: Run) -> Iterator[Figure]:
    """The figure; both applications are called as WSGI servers call them."""
    engine = run.population(_ROWS).engine
    run.say("kept answers")
    with application(engine, cache_seconds=3600) as app:
        users = ask(app, _DAYS)
        sides = {_KEPT: timed(_calls(app)), _BARE: timed(_calls(_bare_application(users)))}
        for side in sides.values():
            side()
        samples = take_turns(sides)
    yield from compare(samples, _KEPT, _BARE, [SECONDS])


def _bare_application(users: int) -> Flask:
    app = Flask("bare")
    known = hashlib.sha256(TOKEN.encode()).digest()

    @app.post(PATH)
    def report() -> Response | tuple[str, int]:
        given = request.authorization
        if given is None or given.type != "basic" or given.username != USER:
            return "", 401
        if not hmac.compare_digest(hashlib.sha256(str(given.password).encode()).digest(), known):
            return "", 401
        asked = request.get_json()["requestObject"]
        data = {**asked["parameters"], "users": users}
        return jsonify(status="OK", responseObject={"name": asked["name"], "reportData": data})

    return app


def _calls(app: Flask) -> Callable[[], None]:
    builder = EnvironBuilder(
        path=PATH, method="POST", json=request_body(_DAYS), headers=list(HEADERS.items())
    )
    environment = builder.get_environ()
    body = environment["wsgi.input"].read()

    def call() -> None:
        for _ in range(_CALLS):
            _call(app, environment | {"wsgi.input": io.BytesIO(body)})

    return call


def _call(app: Flask, environment: dict[str, Any]) -> None:
    statuses: list[str] = []

    def start_response(status: str, *_: object) -> Callable[[bytes], object]:
        statuses.append(status)
        return bytes

    answer = app.wsgi_app(environment, start_response)
    b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    if statuses != ["200 OK"]:
        raise RuntimeError(f"answered {statuses}")
