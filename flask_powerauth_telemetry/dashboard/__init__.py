"""A dashboard: the reports as pages for people. No other part of the package imports it."""

from flask_powerauth_telemetry.dashboard.extension import PowerAuthTelemetryDashboard

__all__ = ["PowerAuthTelemetryDashboard"]
