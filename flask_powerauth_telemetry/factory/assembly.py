"""Builds an instance's credential store and its reports from its configuration."""

from collections.abc import Iterable, Iterator

from flask_powerauth_telemetry.auth.credentials import (
    EVERYONE_ELSE,
    CredentialStore,
    StaticCredentials,
)
from flask_powerauth_telemetry.auth.pa_integration import IntegrationCredentials
from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import INTEGRATION_BIND, PA_INTEGRATION
from flask_powerauth_telemetry.database.tables import integration_table
from flask_powerauth_telemetry.exceptions import ConfigurationError
from flask_powerauth_telemetry.factory.databases import Databases, no_database
from flask_powerauth_telemetry.factory.sources import activity_source, history_store
from flask_powerauth_telemetry.history.store import HISTORY_BIND
from flask_powerauth_telemetry.providers import ReportProvider
from flask_powerauth_telemetry.registry import (
    RegisteredReport,
    ReportRegistry,
    load_entry_points,
)
from flask_powerauth_telemetry.reports.active_users import CurrentMau, UsersInPastDays
from flask_powerauth_telemetry.reports.offered import OFFERS, Ingredients, offered_reports


def build_credentials(
    config: TelemetryConfig, given: CredentialStore | None, databases: Databases
) -> CredentialStore:
    """The store that credentials are checked in: the one given, or as configured."""
    if given is not None:
        if not isinstance(given, CredentialStore):
            raise ConfigurationError(
                "credentials=", "has no method authenticate", "Give an object that has one"
            )
        return given
    if config.credentials is None:
        raise ConfigurationError(
            config.key("credentials"),
            "no application credentials are configured",
            "Create some with: flask telemetry create-credential NAME",
        )
    if isinstance(config.credentials, str):
        bind = config.binds.get(INTEGRATION_BIND)
        schema = bind.schema if bind and bind.schema else config.database_schema
        database = databases.get(INTEGRATION_BIND) or databases.get(None)
        if database is None:
            raise no_database(config, f"credentials are read from {PA_INTEGRATION}")
        return IntegrationCredentials(database, integration_table(schema, config.tables))
    _check_scoped_principals(config, config.credentials)
    return StaticCredentials(config.credentials)


def build_registry(
    config: TelemetryConfig, providers: Iterable[ReportProvider], databases: Databases
) -> ReportRegistry:
    """The documented reports, those given, and those that the configuration lets in."""
    registry = ReportRegistry(config.report_binds)
    for provider in (
        *_documented_reports(config),
        *_further_reports(config),
        *providers,
        *_installed_reports(config),
    ):
        _check_bind(config, registry.register(provider), databases)
    if unknown := sorted(set(config.report_binds) - {report.name for report in registry}):
        raise ConfigurationError(
            config.key("report_binds"), f"there is no report {unknown[0]!r}", "Correct its name"
        )
    return registry


def _check_bind(config: TelemetryConfig, report: RegisteredReport, databases: Databases) -> None:
    """Raise ``ConfigurationError`` when the database that a report is to read is not there."""
    if report.bind is None and None not in databases:
        raise no_database(config, f"the report {report.name} reads it")
    if report.bind not in databases:
        raise ConfigurationError(
            config.key("binds"),
            f"the report {report.name} reads the bind {report.bind!r}, which is not there",
            "Add its URL",
        )
    if (report.bind == HISTORY_BIND) != (report.provider.bind == HISTORY_BIND):
        raise ConfigurationError(
            config.key("report_binds"),
            f"{report.name} can't read the bind {report.bind!r}",
            f"{HISTORY_BIND!r} holds recordings: leave it to the reports that read them",
        )


def _check_scoped_principals(config: TelemetryConfig, known: Iterable[str]) -> None:
    unknown = sorted(set(config.scopes) - {*known, EVERYONE_ELSE})
    if unknown:
        raise ConfigurationError(
            config.key("scopes"),
            f"{unknown[0]!r} has no credentials",
            f"Name a principal of {config.key('credentials')}, or {EVERYONE_ELSE} for all others",
        )


def _documented_reports(config: TelemetryConfig) -> Iterator[ReportProvider]:
    source = activity_source(config)
    yield CurrentMau(strict_application=config.strict_application, source=source)
    yield UsersInPastDays(strict_application=config.strict_application, source=source)


def _further_reports(config: TelemetryConfig) -> Iterator[ReportProvider]:
    ingredients = Ingredients(
        activity=activity_source(config),
        history=history_store(config),
        timezone=config.report_timezone,
    )
    try:
        yield from offered_reports(config.reports, ingredients)
    except LookupError as error:
        raise ConfigurationError(
            config.key("reports"), str(error.args[0]), f"Use some of {', '.join(OFFERS)}"
        ) from error


def _installed_reports(config: TelemetryConfig) -> Iterator[ReportProvider]:
    try:
        yield from load_entry_points(config.load_entry_points)
    except LookupError as error:
        raise ConfigurationError(
            config.key("load_entry_points"), str(error), "Install the package or correct the name"
        ) from error
