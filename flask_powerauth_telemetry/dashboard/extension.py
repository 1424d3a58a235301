"""The Flask extension of the dashboard."""

from flask import Flask

from flask_powerauth_telemetry.config.keys import DEFAULT_NAME
from flask_powerauth_telemetry.config.values import Refused, UrlPrefixes
from flask_powerauth_telemetry.dashboard.views import create_blueprint
from flask_powerauth_telemetry.exceptions import ConfigurationError
from flask_powerauth_telemetry.state import EXTENSION_KEY, TelemetryState


class PowerAuthTelemetryDashboard:
    """Shows the reports of an instance of ``PowerAuthTelemetry`` as pages of HTML.

    - ``name``: the instance's.
    - ``url_prefix``: the path that the pages are below.

    Raises ``ConfigurationError`` when the instance is not on the application yet, and for a path
    that can't be used.
    """

    def __init__(
        self, app: Flask | None = None, *, name: str = DEFAULT_NAME, url_prefix: str = "/telemetry"
    ) -> None:
        try:
            (self.url_prefix,) = UrlPrefixes().deserialize(url_prefix)
        except Refused as refused:
            raise ConfigurationError("url_prefix=", refused.cause, "Set /telemetry") from refused
        self.name = name
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Mount the pages."""
        state: TelemetryState | None = app.extensions.get(EXTENSION_KEY, {}).get(self.name)
        if state is None:
            raise ConfigurationError(
                "PowerAuthTelemetryDashboard",
                f"the instance {self.name!r} is not on this application",
                "Call init_app of PowerAuthTelemetry first",
            )
        self._refuse_taken(app, state)
        blueprint = create_blueprint(state, self._blueprint_name)
        app.register_blueprint(blueprint, url_prefix=self.url_prefix)

    @property
    def _blueprint_name(self) -> str:
        return f"{self.name}_dashboard"

    def _refuse_taken(self, app: Flask, state: TelemetryState) -> None:
        if self._blueprint_name in app.blueprints:
            raise ConfigurationError(
                "PowerAuthTelemetryDashboard",
                f"the dashboard of {self.name!r} is on this application already",
                "Mount it once",
            )
        for prefix in state.config.url_prefix or ():
            if f"{self.url_prefix}/".startswith(f"{prefix}/"):
                raise ConfigurationError(
                    "url_prefix=",
                    f"{self.url_prefix!r} belongs to the reports",
                    "Choose a path that is not below theirs",
                )
