"""Builds the store that application credentials are checked in."""

import logging
from collections.abc import Iterable

from werkzeug.utils import import_string

from flask_powerauth_telemetry.auth.credentials import (
    EVERYONE_ELSE,
    CredentialStore,
    StaticCredentials,
)
from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.loading import create_command, cure_of_missing
from flask_powerauth_telemetry.config.values import INTEGRATION_BIND, PA_INTEGRATION
from flask_powerauth_telemetry.database.tables import integration_table
from flask_powerauth_telemetry.exceptions import ConfigurationError
from flask_powerauth_telemetry.factory.databases import Databases, no_database

logger = logging.getLogger("flask_powerauth_telemetry.auth")


def build_credentials(
    config: TelemetryConfig, given: CredentialStore | None, databases: Databases
) -> CredentialStore:
    """The store given to the constructor, or the one that is configured.

    Raises ``ConfigurationError`` where there is none, or it can't be used.
    """
    known = config.credentials if given is None and isinstance(config.credentials, dict) else None
    if given is not None:
        if not isinstance(given, CredentialStore):
            raise ConfigurationError(
                "credentials=", "has no method authenticate", "Give an object that has one"
            )
        store = given
    elif config.credentials is None:
        key = config.key("credentials")
        cure = cure_of_missing(key, f"Create some with: {create_command(config.name)}")
        raise ConfigurationError(key, "no application credentials are configured", cure)
    elif known is None:
        store = _integration_credentials(config, databases)
    else:
        _check_scoped_principals(config, known)
        store = StaticCredentials(known)
    _warn_of_closed_scopes(config, known)
    return store


def _integration_credentials(config: TelemetryConfig, databases: Databases) -> CredentialStore:
    database = databases.get(INTEGRATION_BIND) or databases.get(None)
    if database is None:
        raise no_database(config, f"credentials are read from {PA_INTEGRATION}")
    kind = import_string("flask_powerauth_telemetry.auth.pa_integration:IntegrationCredentials")
    table = integration_table(database.tables)
    store: CredentialStore = kind(database, table, max_waiting=config.max_waiting)
    return store


def _check_scoped_principals(config: TelemetryConfig, known: Iterable[str]) -> None:
    if unknown := set(config.scopes or ()) - {*known, EVERYONE_ELSE}:
        raise ConfigurationError(
            config.key("scopes"),
            f"{min(unknown)!r} has no credentials",
            f"Name a principal of {config.key('credentials')}, or {EVERYONE_ELSE} for all others",
        )


def _warn_of_closed_scopes(config: TelemetryConfig, known: Iterable[str] | None) -> None:
    """Say which principals see no application, because no scope names them; None: not known."""
    if config.scopes is None or EVERYONE_ELSE in config.scopes:
        return
    unnamed = ["whoever is not named there"]
    if known is not None:
        unnamed = sorted({*known} - {*config.scopes})
    if unnamed:
        logger.warning(
            "%s has no entry %s: no application is seen by %s",
            config.key("scopes"),
            EVERYONE_ELSE,
            ", ".join(unnamed),
        )
