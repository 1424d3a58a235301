"""Builds what an instance is made of, out of its configuration."""
