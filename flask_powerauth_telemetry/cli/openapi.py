"""``flask telemetry openapi``: the description of the API, for tools that read one."""

import json

import click
from flask import current_app

from flask_powerauth_telemetry.cli.instance import on_instance
from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.openapi.document import openapi_document
from flask_powerauth_telemetry.state import TelemetryState


@click.command()
@click.option(
    "--server",
    metavar="URL",
    help="The URL or path that the routes are below. Default: the path in this application.",
)
@on_instance
def openapi(state: TelemetryState, *, server: str | None) -> None:
    """Print the OpenAPI document of the API, with every report. Needs the extra openapi.

    Exit codes: 0 printed, 2 the extra is missing, or there is no such instance.
    """
    document = openapi_document(state.registry, server or _path(state.config))
    click.echo(json.dumps(document, indent=2))


def _path(config: TelemetryConfig) -> str:
    """Where the routes of an instance are in the application; / where they can't be found."""
    if config.url_prefix:
        return config.url_prefix[0] or "/"
    own = f"{config.name}.report"
    for rule in current_app.url_map.iter_rules():
        if rule.endpoint == own or rule.endpoint.endswith(f".{own}"):
            return rule.rule.removesuffix("/report") or "/"
    return "/"
