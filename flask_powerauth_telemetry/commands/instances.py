"""Which instance of the extension a command works with."""

from collections.abc import Callable
from typing import Any

import click
from flask import current_app

from flask_powerauth_telemetry.blueprint import EXTENSION_KEY, TelemetryState
from flask_powerauth_telemetry.config import DEFAULT_NAME

instance_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--instance",
    default=DEFAULT_NAME,
    metavar="NAME",
    help="The name= of the instance, if it is not the default.",
)


def state_of(instance: str) -> TelemetryState:
    """What the current application keeps of an instance; an error of usage without one."""
    instances: dict[str, TelemetryState] = current_app.extensions.get(EXTENSION_KEY, {})
    if instance not in instances:
        known = ", ".join(instances) or "none"
        raise click.UsageError(f"The application has no instance {instance!r} (it has: {known}).")
    return instances[instance]
