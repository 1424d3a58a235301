"""What one application keeps of one instance of the extension: data, no behaviour."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask_powerauth_telemetry.auth.basic import ApplicationAuth
from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.service import Clock, ReportService

EXTENSION_KEY = "powerauth_telemetry"
"""Where an application keeps the states of its instances by name, in ``app.extensions``."""


@dataclass(frozen=True, kw_only=True)
class TelemetryState:
    """What one application keeps of one instance.

    ``databases`` are those of the binds, the main one under None if there is one. ``clock`` gives
    the time now, aware. ``tell_refusal`` is told of each request that is refused before a report
    is known: the error, and the name of the principal, None where that is not known.
    """

    config: TelemetryConfig
    registry: ReportRegistry
    service: ReportService
    databases: Mapping[str | None, Database]
    auth: ApplicationAuth
    tell_refusal: Callable[[TelemetryError, str | None], None]
    clock: Clock

    def close(self) -> None:
        """Close the pooled connections of the engines that are the extension's own."""
        for database in self.databases.values():
            database.close()
