"""Engines of our own: one that only reads, and one for a database of ours."""

import os
import weakref
from collections.abc import Mapping
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Engine

from flask_powerauth_telemetry.database.connection import notice_interrupts
from flask_powerauth_telemetry.database.dialects import dialect_named


def create_read_only_engine(url: URL, options: Mapping[str, Any]) -> Engine:
    """An engine of our own; ``options`` are ``create_engine``'s and win over our defaults.

    Raises what ``create_engine`` raises: ``ArgumentError`` or ``TypeError`` for a wrong URL or
    option, ``ImportError`` for a driver that is not installed.
    """
    dialect = dialect_named(url.get_backend_name())
    engine = create_writing_engine(url, {**dialect.engine_options, **options})
    notice_interrupts(engine, dialect)
    dialect.prepare(engine)
    _dispose_after_fork(engine)
    return engine


def create_writing_engine(url: URL, options: Mapping[str, Any]) -> Engine:
    """An engine for a database of ours, by the same ``options``; raises the same."""
    dialect = dialect_named(url.get_backend_name())
    connect_args = {**dialect.connect_args(url), **options.get("connect_args", {})}
    # A check before use, as a server may have closed what a pool keeps; and no values in a log.
    defaults = {"pool_pre_ping": True, "hide_parameters": True}
    # Looked up now, as OpenTelemetry's instrumentation may have replaced it since the import.
    return sqlalchemy.create_engine(url, **{**defaults, **options, "connect_args": connect_args})


def _dispose_after_fork(engine: Engine) -> None:
    """Have a child process open connections of its own, for servers that load before they fork."""
    reference = weakref.ref(engine)

    def dispose() -> None:
        inherited = reference()
        if inherited is not None:
            inherited.dispose(close=False)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=dispose)
