"""PowerAuth's Telemetry API as a Flask extension."""

from flask_powerauth_telemetry.credentials import CredentialStore
from flask_powerauth_telemetry.exceptions import ConfigurationError, TelemetryError, Unavailable
from flask_powerauth_telemetry.extension import PowerAuthTelemetry
from flask_powerauth_telemetry.providers.base import Application, ReportContext, ReportProvider
from flask_powerauth_telemetry.providers.fields import ApplicationField, DaysField
from flask_powerauth_telemetry.tables import ActivationStatus

__all__ = [
    "ActivationStatus",
    "Application",
    "ApplicationField",
    "ConfigurationError",
    "CredentialStore",
    "DaysField",
    "PowerAuthTelemetry",
    "ReportContext",
    "ReportProvider",
    "TelemetryError",
    "Unavailable",
]
