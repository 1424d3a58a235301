"""Somebody who follows the documentation."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine

from flask_powerauth_telemetry.state import EXTENSION_KEY, TelemetryState
from tests.support import powerauth
from tests.support.service import CREDENTIALS, USER, url_of

USERS = 412
_states: list[TelemetryState] = []
"""What has connections to close after a test."""


def close_later(app: Flask) -> None:
    """Close the connections of an application after the test."""
    _states.extend(app.extensions.get(EXTENSION_KEY, {}).values())


@pytest.fixture
def reader_environment(
    sqlite: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """What a reader of the documentation has set up: a database, credentials, an own folder."""
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail", "corporate"])
    used = powerauth.wall_clock(datetime.now(UTC) - timedelta(days=2), UTC)
    powerauth.add_activations(
        sqlite,
        [powerauth.Activation(f"a{number}", 1, f"u{number}", used) for number in range(USERS)],
    )
    (tmp_path / "tokens.json").write_text(json.dumps(dict([USER])), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASK_POWERAUTH_TELEMETRY_DATABASE_URL", url_of(sqlite))
    monkeypatch.setenv("FLASK_POWERAUTH_TELEMETRY_CREDENTIALS", json.dumps(CREDENTIALS))
    yield
    while _states:
        _states.pop().close()
