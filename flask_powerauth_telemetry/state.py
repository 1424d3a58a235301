"""What one application keeps of one instance of the extension."""

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Flask

from flask_powerauth_telemetry.auth.basic import ApplicationAuth
from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.errors import known_error
from flask_powerauth_telemetry.exceptions import ServerFault, Unauthorized
from flask_powerauth_telemetry.monitoring.signals import Watch
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.service import Clock, ReportService

EXTENSION_KEY = "powerauth_telemetry"


@dataclass(frozen=True, kw_only=True)
class TelemetryState:
    """What one application keeps of one instance, in ``app.extensions``.

    ``databases`` are those of the binds, the main one under None if there is one. ``clock`` gives
    the time now, aware.
    """

    config: TelemetryConfig
    registry: ReportRegistry
    service: ReportService
    databases: Mapping[str | None, Database]
    auth: ApplicationAuth
    watch: Watch
    clock: Clock

    def current_principal(self) -> Principal:
        """Who the request comes from; whoever watches is told when that can't be established."""
        try:
            return self.auth.current_principal()
        except Exception as error:
            known = known_error(error)
            credentials = self.auth.get_auth() if isinstance(known, Unauthorized) else None
            self.watch.refused(known, user=credentials.username if credentials else None)
            raise

    def close(self) -> None:
        """Close the pooled connections of the engines that are the extension's own."""
        for database in self.databases.values():
            database.close()


def state_of(app: Flask, name: str) -> TelemetryState:
    """The state of the instance ``name``; raises ``ServerFault`` before its ``init_app``."""
    try:
        state: TelemetryState = app.extensions[EXTENSION_KEY][name]
    except KeyError:
        raise ServerFault(f"init_app of the instance {name!r} was not called") from None
    return state
