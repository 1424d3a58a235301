"""An example: PowerAuth's Telemetry API served over a database that it makes itself."""

from example_app.app import create_app

__all__ = ["create_app"]
