"""Whether memory grows with requests that all differ.

Sends requests to an application in this process, on SQLite: for applications that don't exist,
for windows of 1 to 365 days, for reports of a provider whose parameter is free, and bodies that
are refused. Compares the resident memory after 10,000 and after all, in a process of its own;
Linux only.
"""

import gc
import logging
import resource
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from marshmallow import Schema, fields
from sqlalchemy import create_engine

from benchmarks.measuring import Figure, figure
from benchmarks.run import Run
from flask_powerauth_telemetry import PowerAuthTelemetry, ReportContext, ReportProvider
from flask_powerauth_telemetry.auth.credentials import digest

PATH = "/rest/v3/telemetry/report"
_WARM = 10_000
_REQUESTS = 100_000
_SCHEMA = (
    "CREATE TABLE pa_application (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    "CREATE TABLE pa_activation (application_id INTEGER NOT NULL, user_id TEXT NOT NULL,"
    " timestamp_last_used TEXT NOT NULL)",
    "INSERT INTO pa_application VALUES (1, 'retail')",
)


class Echo(ReportProvider):
    """Gives its parameter back, so that every result is another one, and kept."""

    name = "ECHO"
    definition = "The parameter."
    parameters_schema = Schema.from_dict({"key": fields.String(required=True)})
    data_schema = Schema.from_dict({"key": fields.String(required=True)})

    def generate(self, context: ReportContext, key: str) -> Mapping[str, Any]:
        """The parameter."""
        return {"key": key}


def figures(run: Run) -> Iterator[Figure]:
    """The figure."""
    run.say(f"memory after {_REQUESTS:,} requests that differ")
    with ProcessPoolExecutor(1, get_context("spawn")) as processes:
        first, last = processes.submit(megabytes_after, _REQUESTS).result()
    yield figure(
        f"memory after {_REQUESTS:,} requests that differ",
        f"after {_WARM:,}",
        "MB",
        [last],
        [first],
    )


def request_number(number: int) -> tuple[str, dict[str, object], int]:
    """A report, its parameters, and the status that is expected; others for each number."""
    unknown: dict[str, object] = {"application": f"application-{number}"}
    window: dict[str, object] = {"application": "retail", "days": number // 5 % 365 + 1}
    requests: list[tuple[str, dict[str, object], int]] = [
        ("CURRENT_MAU", unknown, 400),
        ("USERS_IN_PAST_DAYS", window, 200),
        ("ECHO", {"key": f"key-{number}"}, 200),
        ("ECHO", {"key": f"key-{number}" * 20}, 200),
        (f"REPORT_{number}", {}, 400),
    ]
    return requests[number % len(requests)]


def create_app(folder: Path) -> Flask:
    """An application on a SQLite file in a folder, with one PowerAuth application."""
    url = f"sqlite:///{folder / 'powerauth.sqlite'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in _SCHEMA:
            connection.exec_driver_sql(statement)
        use = datetime.now(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        connection.exec_driver_sql("INSERT INTO pa_activation VALUES (1, 'user', ?)", (use,))
    engine.dispose()
    app = Flask("benchmark")
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = url
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = {"billing": digest("a-token")}
    PowerAuthTelemetry(app, providers=[Echo()])
    return app


def send(client: FlaskClient, numbers: range) -> None:
    """Send these requests; raises ``RuntimeError`` for an unexpected answer."""
    for number in numbers:
        name, parameters, status = request_number(number)
        body = {"requestObject": {"name": name, "parameters": parameters}}
        response = client.post(PATH, json=body, auth=("billing", "a-token"))
        if response.status_code != status:
            raise RuntimeError(f"{name}: {response.status_code}, not {status}")


def megabytes_after(requests: int) -> Sequence[float]:
    """The resident memory of this process after 10,000 requests, and after all."""
    logging.getLogger("flask_powerauth_telemetry").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        client = create_app(Path(folder)).test_client()
        send(client, range(_WARM))
        first = _resident_megabytes()
        send(client, range(_WARM, requests))
        return first, _resident_megabytes()


def _resident_megabytes() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6
