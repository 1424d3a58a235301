"""``flask telemetry openapi``: the description of the API, for tools that read one."""

import json
from importlib.util import find_spec

import click
from flask import current_app
from werkzeug.utils import import_string

from flask_powerauth_telemetry.cli.instance import Failed, on_instance
from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.state import TelemetryState

_DOCUMENT = "flask_powerauth_telemetry.openapi.document:openapi_document"


@click.command()
@click.option(
    "--server",
    metavar="URL",
    help="The URL or path that the routes are below. Default: the path in this application.",
)
@on_instance
def openapi(state: TelemetryState, *, server: str | None) -> None:
    """Print the OpenAPI document of the API, with every report. Needs the package apispec.

    Exit codes: 0 printed, 2 apispec is not installed, or there is no such instance.
    """
    if find_spec("apispec") is None:
        raise Failed("the package apispec is not installed: pip install apispec")
    document = import_string(_DOCUMENT)(state.registry, server or _path(state.config))
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
