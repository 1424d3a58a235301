"""The command ``python -m example_app``."""

import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from socket import socket
from typing import Any

import click
from flask import Flask, url_for
from sqlalchemy.exc import SQLAlchemyError

from example_app.answerable import answerable
from example_app.app import (
    DASHBOARD_PREFIX,
    INSTANCE_PATH,
    LIVE_REPORTS,
    REPORTS,
    USER,
    create_app,
)
from example_app.curl import curl_line
from example_app.health import Probe
from example_app.server import end_on_signals, listen, own_url, start_server
from flask_powerauth_telemetry import ConfigurationError

UNKNOWN_APPLICATION = "YOUR-APPLICATION"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="TCP port to listen on, 0 for any free one.",
)
@click.option(
    "--instance-path",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default=INSTANCE_PATH,
    help="Folder of the example's own database.",
)
@click.option("--database-url", help="A PowerAuth database to read instead; it is only read.")
@click.option("--database-timezone", help="IANA zone of that database's times, UTC by default.")
def main(
    host: str,
    port: int,
    instance_path: Path,
    database_url: str | None,
    database_timezone: str | None,
) -> None:
    """Serve PowerAuth's Telemetry API, over a made-up database of 20,000 activations.

    The database is made at the first start, and anew when it is older than a day. Of a database
    that is given, the further reports are on that it can answer.
    """
    end_on_signals()
    token = secrets.token_urlsafe(32)
    config = _config(token, database_url, database_timezone)
    if database_url and f"FLASK_{REPORTS}" not in os.environ:
        config[REPORTS] = _offered(config, instance_path)
    app = _create_app(config, instance_path)
    application = _application(app)
    listener = _listen(host, port)
    with closing(start_server(app, listener)) as server:
        click.echo(greeting(app, own_url(listener), f"{USER}:{token}", application))
        server.run()


def _config(token: str, database_url: str | None, database_timezone: str | None) -> dict[str, Any]:
    digest = hashlib.sha256(token.encode()).hexdigest()
    given = {
        "POWERAUTH_TELEMETRY_CREDENTIALS": {USER: f"sha256:{digest}"},
        "POWERAUTH_TELEMETRY_DATABASE_URL": database_url,
        "POWERAUTH_TELEMETRY_DATABASE_TIMEZONE": database_timezone,
    }
    return {key: value for key, value in given.items() if value is not None}


def _offered(config: Mapping[str, Any], instance_path: Path) -> Sequence[str]:
    """The further reports that the database given can answer, told on stderr."""
    app = _create_app({**config, REPORTS: LIVE_REPORTS}, instance_path)
    offered = answerable(app, LIVE_REPORTS)
    off = [name for name in LIVE_REPORTS if name not in offered]
    if offered:
        click.echo(f"This database also answers {', '.join(offered)}.", err=True)
    if off:
        click.echo(f"Off are {', '.join(off)}: it can't answer them to this account now.", err=True)
    return offered


def _create_app(config: Mapping[str, Any], instance_path: Path) -> Flask:
    try:
        return create_app(config, instance_path=instance_path)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"Can't make the database in {instance_path}: {error.strerror}."
            " Choose another folder with --instance-path."
        ) from error


def _listen(host: str, port: int) -> socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise click.ClickException(str(error)) from error


def _application(app: Flask) -> str:
    """The name of an application to ask about."""
    try:
        return Probe(app.config).first_application() or UNKNOWN_APPLICATION
    except SQLAlchemyError as error:
        app.logger.warning("The database can't be read now: %s", error)
        return UNKNOWN_APPLICATION


def greeting(app: Flask, url: str, credentials: str, application: str) -> str:
    """What is printed at the start: how to ask for reports, and where the dashboard is."""
    with app.test_request_context(base_url=url):
        report_url = url_for("powerauth_telemetry.report", _external=True)
    mau = {"application": application}
    devices = {"application": application, "days": 30}
    return "\n\n".join(
        [
            f"Serving on {url}, Ctrl-C ends it. Ask for a report:",
            curl_line(report_url, credentials, "CURRENT_MAU", mau),
            curl_line(report_url, credentials, "ACTIVE_DEVICES_BY_PLATFORM", devices),
            f"Or look at {url}{DASHBOARD_PREFIX}/ with user name and token {credentials}",
        ]
    )


if __name__ == "__main__":
    main(prog_name="python -m example_app")
