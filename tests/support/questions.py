"""What is asked of every live report, to compare the answers of two databases."""

import random
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from sqlalchemy import Engine

from flask_powerauth_telemetry.reports import FURTHER_REPORTS
from tests.support import powerauth
from tests.support.audit import (
    add_changes,
    add_verifications,
    random_changes,
    random_verifications,
)
from tests.support.service import NOW, ask, create_app

APPLICATIONS = ("retail", "corporate", "kiosk")
DAYS = (1, 30, 31, 365)
LIVE = sorted(set(FURTHER_REPORTS) - {"USERS_IN_MONTH", "USERS_BY_MONTH", "MAU_HISTORY"})
"""The further reports but those that read the history, and no database of PowerAuth."""
_BY_APPLICATION = ("CURRENT_MAU", "USERS_BY_PAST_DAYS", "USERS_BY_STATUS")
_BY_DAYS = (
    "USERS_IN_PAST_DAYS",
    "COMMITTED_USERS_IN_PAST_DAYS",
    "NEW_USERS_IN_PAST_DAYS",
    "SIGNATURES_IN_PAST_DAYS",
)


def fill(engine: Engine) -> None:
    """Random rows that every live report finds something in."""
    source = random.Random(8)
    rows = powerauth.random_activations(7, NOW, UTC, 400)
    powerauth.create_schema(engine)
    powerauth.add_applications(engine, APPLICATIONS)
    powerauth.add_activations(engine, rows)
    add_changes(engine, random_changes(source, rows, NOW, UTC))
    add_verifications(engine, random_verifications(source, rows, NOW, UTC, 400))


def questions(now: datetime) -> list[tuple[str, dict[str, Any]]]:
    """The name and the parameters of each."""
    asked: list[tuple[str, dict[str, Any]]] = []
    for name in APPLICATIONS:
        asked += [
            (report, {"application": name})
            for report in ("CURRENT_MAU", "USERS_BY_PAST_DAYS", "USERS_BY_STATUS")
        ]
        asked.append(("SIGNATURES_IN_MONTH", {"application": name, "month": f"{now:%Y-%m}"}))
        asked += [
            (report, {"application": name, "days": days}) for report in _BY_DAYS for days in DAYS
        ]
    across = {"applications": list(APPLICATIONS)}
    return asked + [("USERS_ACROSS_APPLICATIONS", {**across, "days": days}) for days in DAYS]


def answers(zone: str, now: datetime, **keys: Any) -> list[Any]:
    """The status and the body of each answer; ``keys`` tell which database."""
    app: Flask = create_app(clock=lambda: now, DATABASE_TIMEZONE=zone, REPORTS=LIVE, **keys)
    client = app.test_client()
    given = (ask(client, *question) for question in questions(now))
    return [(answer.status_code, answer.get_json()) for answer in given]


def test_every_report_is_asked_for() -> None:
    """Run where this is imported."""
    assert {name for name, _ in questions(NOW)} == {"CURRENT_MAU", "USERS_IN_PAST_DAYS", *LIVE}
