"""The Flask extension."""

import re
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from flask import Flask
from werkzeug.utils import import_string

from flask_powerauth_telemetry.auth.basic import ApplicationAuth
from flask_powerauth_telemetry.auth.credentials import CredentialStore
from flask_powerauth_telemetry.blueprint import Route, create_blueprint
from flask_powerauth_telemetry.config.keys import DEFAULT_NAME, TelemetryConfig
from flask_powerauth_telemetry.config.loading import load_config
from flask_powerauth_telemetry.exceptions import ConfigurationError
from flask_powerauth_telemetry.factory.credentials import build_credentials
from flask_powerauth_telemetry.factory.databases import (
    EngineSource,
    build_databases,
    with_history_bind,
)
from flask_powerauth_telemetry.factory.reports import build_registry
from flask_powerauth_telemetry.monitoring.signals import Watch
from flask_powerauth_telemetry.providers import ReportProvider
from flask_powerauth_telemetry.service import Clock, ReportService, system_clock
from flask_powerauth_telemetry.state import EXTENSION_KEY, Instances, TelemetryState

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class PowerAuthTelemetry:
    """Serves PowerAuth's Telemetry API from a Flask application.

    - ``name``: tells instances of one application apart; the keys of ``name="emea"`` start with
      ``POWERAUTH_TELEMETRY_EMEA_``.
    - ``providers``: report providers to register beside the documented reports.
    - ``engine``: a SQLAlchemy engine, or a callable that returns one, called in an application
      context; instead of ``POWERAUTH_TELEMETRY_DATABASE_URL``.
    - ``credentials``: a ``CredentialStore``; instead of ``POWERAUTH_TELEMETRY_CREDENTIALS``.
    - ``clock``: returns the time now as an aware datetime; the system's clock by default.

    Raises ``ConfigurationError`` or ``InvalidProvider`` when the application can't start so.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        name: str = DEFAULT_NAME,
        providers: Iterable[ReportProvider] = (),
        engine: EngineSource | None = None,
        credentials: CredentialStore | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                "name=", f"{name!r} can't be a name", "Use a to z, digits and underscores"
            )
        self.name = name
        self.blueprint = create_blueprint(name, _further_routes())
        self._providers = list(providers)
        self._engine = engine
        self._credentials = credentials
        self._clock = clock or system_clock
        self._in_use = False
        if app is not None:
            self.init_app(app)

    def register(self, provider: ReportProvider) -> None:
        """Add a report provider; before ``init_app``, or ``ConfigurationError`` is raised."""
        if self._in_use:
            raise ConfigurationError(
                "register()",
                f"{type(provider).__name__} comes after init_app",
                "Register providers before init_app",
            )
        self._providers.append(provider)

    def init_app(self, app: Flask) -> None:
        """Read the configuration, check it, and mount the routes."""
        instances: Instances = app.extensions.setdefault(EXTENSION_KEY, Instances())
        if self.name in instances:
            raise ConfigurationError(
                "init_app", f"{self.name!r} is on this application already", "Use another name="
            )
        try:
            state = self._state(app, instances)
        except ConfigurationError as error:
            error.__context__ = None  # frames of it hold the configuration, and are sent away
            raise error.with_traceback(None) from None
        instances.add(state, app.config)
        self._in_use = True
        app.cli.add_command(import_string("flask_powerauth_telemetry.cli:telemetry"))
        if state.config.url_prefix is not None:
            app.register_blueprint(self.blueprint, url_prefix=state.config.url_prefix[0])

    def close(self, app: Flask) -> None:
        """Close the connections that this instance keeps for an application.

        For the end of a test or a script; a later request opens new ones. Engines that were
        given to the constructor are left alone. Raises ``ConfigurationError`` for an application
        that this instance is not on.
        """
        state: TelemetryState | None = app.extensions.get(EXTENSION_KEY, {}).get(self.name)
        if state is None:
            raise ConfigurationError(
                "close()", f"{self.name!r} is not on this application", "Call init_app first"
            )
        state.close()

    def _state(self, app: Flask, others: Instances) -> TelemetryState:
        watch = Watch(app, self.name)  # first: what follows may write records
        config = with_history_bind(load_config(app.config, self.name), app.instance_path)
        _refuse_taken_prefixes(config, others.values())
        databases = build_databases(app, config, self._engine)
        store = build_credentials(config, self._credentials, databases)
        registry = build_registry(config, self._providers, databases)
        return TelemetryState(
            config=config,
            registry=registry,
            service=ReportService(
                registry,
                databases,
                self._clock,
                keep_seconds=config.cache_seconds,
                cache_size=config.cache_size,
                max_waiting=config.max_waiting,
                observer=watch,
            ),
            databases=databases,
            auth=ApplicationAuth(store, config.scopes),
            tell_refusal=watch.refused,
            clock=self._clock,
        )


def _further_routes() -> Sequence[Route]:
    """The catalogue and the OpenAPI document, where the extra for them is installed."""
    if find_spec("apispec") is None:
        return ()
    routes: Sequence[Route] = import_string("flask_powerauth_telemetry.openapi.routes:ROUTES")
    return routes


def _refuse_taken_prefixes(config: TelemetryConfig, others: Iterable[TelemetryState]) -> None:
    taken = {prefix for other in others for prefix in other.config.url_prefix or ()}
    for prefix in config.url_prefix or ():
        if prefix in taken:
            raise ConfigurationError(
                config.key("url_prefix"),
                f"{prefix!r} belongs to another instance",
                "Give each instance a prefix of its own",
            )
