"""Whether memory grows with requests that all differ: ``python -m benchmarks.memory``.

Sends requests to an application in this process, on SQLite: for applications that don't exist,
for windows of 1 to 365 days, for reports of a provider whose parameter is free, and bodies that
are refused. Compares the resident memory after 10,000 and after all; Linux only.
"""

import gc
import logging
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import Schema, fields
from sqlalchemy import create_engine

from flask_powerauth_telemetry import PowerAuthTelemetry, ReportContext, ReportProvider
from flask_powerauth_telemetry.auth.credentials import digest

PATH = "/rest/v3/telemetry/report"
WARM = 10_000
ALLOWED_RATIO = 1.05
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
    """Send these requests; raises ``ClickException`` for an unexpected answer."""
    for number in numbers:
        name, parameters, status = request_number(number)
        body = {"requestObject": {"name": name, "parameters": parameters}}
        response = client.post(PATH, json=body, auth=("billing", "a-token"))
        if response.status_code != status:
            raise click.ClickException(f"{name}: {response.status_code}, not {status}")


def resident_bytes() -> int:
    """The resident memory of this process, after a collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4_096


@click.command()
@click.option("--requests", default=100_000, show_default=True, help="How many in all.")
@click.option("--step", default=10_000, show_default=True, help="How often to tell.")
def main(requests: int, step: int) -> None:
    """Print the resident memory as requests are sent; fail if it grew by more than 5 %."""
    logging.getLogger("flask_powerauth_telemetry").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as folder:
        client = create_app(Path(folder)).test_client()
        send(client, range(WARM))
        first = last = resident_bytes()
        click.echo(f"{WARM:>9,} requests  {first / 1e6:7.2f} MB")
        for start in range(WARM, requests, step):
            end = min(start + step, requests)
            send(client, range(start, end))
            last = resident_bytes()
            click.echo(f"{end:>9,} requests  {last / 1e6:7.2f} MB  {last / first:.3f} x")
    if last > first * ALLOWED_RATIO:
        sys.exit(1)


if __name__ == "__main__":
    main()
