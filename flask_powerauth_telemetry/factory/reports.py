"""Builds the registry of an instance's reports, each on the database that it reads."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from werkzeug.utils import import_string

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import ConfigurationError
from flask_powerauth_telemetry.factory.databases import Databases, no_database
from flask_powerauth_telemetry.providers import ReportProvider
from flask_powerauth_telemetry.registry import RegisteredReport, ReportRegistry, load_entry_points
from flask_powerauth_telemetry.reports import FURTHER_REPORTS
from flask_powerauth_telemetry.reports.active_users import CurrentMau, UsersInPastDays


def build_registry(
    config: TelemetryConfig, providers: Iterable[ReportProvider], databases: Databases
) -> ReportRegistry:
    """The documented reports, those given, and those that the configuration lets in.

    Raises ``ConfigurationError`` or ``InvalidProvider`` for one that can't be served.
    """
    registry = ReportRegistry(config.report_binds)
    for provider in (*_own_reports(config), *providers, *_installed_reports(config)):
        _check_bind(config, registry.register(provider), databases)
    if unknown := set(config.report_binds) - {report.name for report in registry}:
        raise ConfigurationError(
            config.key("report_binds"), f"there is no report {min(unknown)!r}", "Correct its name"
        )
    return registry


def _own_reports(config: TelemetryConfig) -> Iterator[ReportProvider]:
    yield CurrentMau.from_config(config)
    yield UsersInPastDays.from_config(config)
    for position, name in enumerate(config.reports):
        if name in config.reports[:position]:
            cause = f"the report {name!r} is named twice"
            raise ConfigurationError(config.key("reports"), cause, "Name each once")
        if name not in FURTHER_REPORTS:
            cause = f"there is no further report {name!r}"
            raise ConfigurationError(config.key("reports"), cause, _right_name(name))
        yield import_string(FURTHER_REPORTS[name]).from_config(config)


def _right_name(name: str) -> str:
    upper = name.strip().upper()
    if upper in (CurrentMau.name, UsersInPastDays.name):
        return f"Take it out: {upper} is always served"
    if close := get_close_matches(upper, FURTHER_REPORTS, n=1, cutoff=0.85):
        return f"Did you mean {close[0]}"
    return f"Use some of {', '.join(FURTHER_REPORTS)}"


def _installed_reports(config: TelemetryConfig) -> Iterator[ReportProvider]:
    try:
        yield from load_entry_points(config.load_entry_points)
    except LookupError as error:
        raise ConfigurationError(
            config.key("load_entry_points"), str(error), "Correct the name, or what is installed"
        ) from error


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
