"""What ``flask telemetry check`` looks at."""
