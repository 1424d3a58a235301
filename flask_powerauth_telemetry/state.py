"""What one application keeps of its instances of the extension."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_powerauth_telemetry.auth.basic import ApplicationAuth
from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.loading import Unread, unread_keys
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.service import Clock, ReportService

EXTENSION_KEY = "powerauth_telemetry"
"""Where an application keeps its ``Instances``, in ``app.extensions``."""

logger = logging.getLogger("flask_powerauth_telemetry.config")


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


class Instances(dict[str, TelemetryState]):
    """The states of the instances on one application, by name.

    ``told`` says that the log has the keys that none of them reads. ``checked`` are the keys that
    were there when the last instance was made, if there was nothing to tell of them.
    """

    told = False
    checked: frozenset[str] = frozenset()

    def add(self, state: TelemetryState, values: Mapping[str, Any]) -> None:
        """Add the state of an instance, made from an application's configuration."""
        self[state.config.name] = state
        self.checked = frozenset() if self.unread(values) else frozenset(values)

    def unread(self, values: Mapping[str, Any]) -> Sequence[Unread]:
        """The keys of an application's configuration that no instance reads."""
        return list(unread_keys(values, [state.config for state in self.values()]))

    def tell_unread(self, values: Mapping[str, Any]) -> None:
        """Log them at the first request: only then it is known that no instance follows."""
        for unread in self.unread(values):
            logger.warning("%s", unread)
