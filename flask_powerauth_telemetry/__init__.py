"""PowerAuth's Telemetry API as a Flask extension."""

from flask_powerauth_telemetry.auth.credentials import CredentialStore
from flask_powerauth_telemetry.database.tables import ActivationStatus
from flask_powerauth_telemetry.exceptions import ConfigurationError, TelemetryError, Unavailable
from flask_powerauth_telemetry.extension import PowerAuthTelemetry
from flask_powerauth_telemetry.fields import ApplicationField, DaysField
from flask_powerauth_telemetry.providers import (
    Application,
    Computation,
    ReportContext,
    ReportProvider,
    Result,
)

__all__ = [
    "ActivationStatus",
    "Application",
    "ApplicationField",
    "Computation",
    "ConfigurationError",
    "CredentialStore",
    "DaysField",
    "PowerAuthTelemetry",
    "ReportContext",
    "ReportProvider",
    "Result",
    "TelemetryError",
    "Unavailable",
]
