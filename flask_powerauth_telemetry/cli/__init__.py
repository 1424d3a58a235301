"""The operator's commands: ``flask telemetry ...``."""
