"""The configuration: its keys, and how their values are read."""
