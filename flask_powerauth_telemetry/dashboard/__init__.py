"""A dashboard: the reports as pages for people. No other part of the package imports it."""

from flask import Flask
from flask.sansio.app import App
from flask.sansio.blueprints import BlueprintSetupState

from flask_powerauth_telemetry.config.base import Refused
from flask_powerauth_telemetry.config.keys import DEFAULT_NAME
from flask_powerauth_telemetry.config.values import UrlPrefixes
from flask_powerauth_telemetry.dashboard.views import PAGES_KEY, Pages, create_blueprint
from flask_powerauth_telemetry.exceptions import ConfigurationError
from flask_powerauth_telemetry.state import EXTENSION_KEY, TelemetryState


class _UrlPrefix(UrlPrefixes):
    """The only path of the pages."""

    types, must = str, "must be a path"


class PowerAuthTelemetryDashboard:
    """Shows the reports of an instance of ``PowerAuthTelemetry`` as pages of HTML.

    - ``name``: the instance's.
    - ``url_prefix``: the path that the pages are below.

    ``blueprint`` is for a host that registers it itself in place of ``init_app``, with a
    ``url_prefix`` of its own, or exempts it from a rate limit.

    Raises ``ConfigurationError`` when the instance is not on the application yet, and for a path
    that can't be used.
    """

    def __init__(
        self, app: Flask | None = None, *, name: str = DEFAULT_NAME, url_prefix: str = "/telemetry"
    ) -> None:
        try:
            (self.url_prefix,) = _UrlPrefix().deserialize(url_prefix)
        except Refused as refused:
            raise ConfigurationError("url_prefix=", refused.cause, "Set /telemetry") from refused
        self.name = name
        self.blueprint = create_blueprint(name)
        self.blueprint.record(self._prepare)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Mount the pages."""
        if self.name in app.extensions.get(PAGES_KEY, {}):
            raise ConfigurationError(
                "PowerAuthTelemetryDashboard",
                f"the dashboard of {self.name!r} is on this application already",
                "Mount it once",
            )
        self._check(app, self.url_prefix)
        app.register_blueprint(self.blueprint, url_prefix=self.url_prefix)

    def _prepare(self, setup: BlueprintSetupState) -> None:
        state = self._check(setup.app, setup.url_prefix or "")
        setup.app.extensions.setdefault(PAGES_KEY, {})[self.name] = Pages(state)

    def _check(self, app: App, url_prefix: str) -> TelemetryState:
        """The instance's state; raises ``ConfigurationError`` when its pages can't be there."""
        state: TelemetryState | None = app.extensions.get(EXTENSION_KEY, {}).get(self.name)
        if state is None:
            raise ConfigurationError(
                "PowerAuthTelemetryDashboard",
                f"the instance {self.name!r} is not on this application",
                "Call init_app of PowerAuthTelemetry first",
            )
        for prefix in state.config.url_prefix or ():
            if f"{url_prefix}/".startswith(f"{prefix}/"):
                raise ConfigurationError(
                    "url_prefix=",
                    f"{url_prefix!r} belongs to the reports",
                    "Choose a path that is not below theirs",
                )
        return state
