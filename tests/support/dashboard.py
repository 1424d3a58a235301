"""The dashboard on an application of the tests, and its pages as a reader sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from marshmallow import Schema, fields
from sqlalchemy import Engine, NullPool, create_engine
from werkzeug.test import TestResponse

from flask_powerauth_telemetry import ApplicationField, ReportContext, ReportProvider, Result
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.dashboard import PowerAuthTelemetryDashboard
from tests.support import powerauth
from tests.support.audit import (
    Change,
    Verification,
    add_changes,
    add_verifications,
    random_changes,
    random_verifications,
)
from tests.support.powerauth import Activation
from tests.support.service import NOW, USER, create_app

REPORTS = (
    "USERS_BY_PAST_DAYS",
    "USERS_ACROSS_APPLICATIONS",
    "COMMITTED_USERS_IN_PAST_DAYS",
    "NEW_USERS_IN_PAST_DAYS",
    "SIGNATURES_IN_PAST_DAYS",
    "SIGNATURES_IN_MONTH",
    "USERS_BY_STATUS",
)
CLERK = ("clerk", "another-token")
"""A user who may see retail alone."""
SCOPES = {CLERK[0]: ["retail"], USER[0]: ["retail", "corporate"]}
CREDENTIALS = {name: digest(token) for name, token in (USER, CLERK)}

NAMES = (
    "a" * 255,
    "\u202egnp.exe",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 bank",
    "<script>alert(1)</script>",
    "../a//b/?c=d&e#f%2e",
    "\"quoted\" 'twice' `{{ 7 * 7 }}`",
    "\u0628\u0646\u0643",
)
"""Names of applications that break pages which don't expect them."""


def fill(
    engine: Engine, zone: Any, applications: tuple[str, ...] = ("retail", "corporate")
) -> None:
    """Applications, and random rows of all tables around now; a file of SQLite is a copy."""
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).write_bytes(_filled_file(zone, applications))
    else:
        _fill(engine, zone, applications)


@cache
def _filled_file(zone: Any, applications: tuple[str, ...]) -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder, "powerauth.sqlite")
        _fill(create_engine(f"sqlite:///{file}", poolclass=NullPool), zone, applications)
        return file.read_bytes()


def _fill(engine: Engine, zone: Any, applications: tuple[str, ...]) -> None:
    powerauth.create_schema(engine)
    powerauth.add_applications(engine, applications)
    activations, changes, verifications = _rows(zone)
    powerauth.add_activations(engine, activations)
    add_changes(engine, changes)
    add_verifications(engine, verifications)


@cache
def _rows(zone: Any) -> tuple[list[Activation], list[Change], list[Verification]]:
    activations = powerauth.random_activations(seed=8, now=NOW, zone=zone, count=600)
    source = Random(9)
    changes = random_changes(source, activations, NOW, zone)
    return activations, changes, random_verifications(source, activations, NOW, zone, 2000)


def dashboard(engine: Engine | None = None, **keys: Any) -> Flask:
    """The API and its dashboard, with all reports that need no history."""
    app = create_app(engine, **{"REPORTS": REPORTS, "CREDENTIALS": CREDENTIALS, **keys})
    PowerAuthTelemetryDashboard(app)
    return app


def get(
    client: FlaskClient, path: str = "/", *, user: tuple[str, str] | None = USER, **query: Any
) -> TestResponse:
    """Ask for a page below the dashboard's prefix."""
    return client.get(f"/telemetry{path}", query_string=query or None, auth=user)


@dataclass
class Shown:
    """A figure on a page: its numbers by label, the rows of its table, and all of its text."""

    numbers: dict[str, str] = field(default_factory=dict)
    rows: list[list[str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    text: str = ""


class Page(HTMLParser):
    """A page as a reader sees it: figures by heading, and addresses of links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.figures: dict[str, Shown] = {}
        self.links: list[str] = []
        self.loaded: list[str] = []
        self._figure = Shown()
        self._named = True
        self._is_loaded = False
        self._open: list[str] = []
        self._label = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._open.append(tag)
        if tag == "section" and (given["class"] or "").startswith("figure"):
            self._figure = Shown()
            self._named = False
        elif tag == "a":
            self.links.append(given["href"] or "")
            if self._is_loaded:
                self.loaded.append(given["href"] or "")
                self._is_loaded = False
            self._figure.links.append(given["href"] or "")
        elif tag == "data":
            self._figure.numbers[self._label] = given["value"] or ""
        elif tag == "tr":
            self._figure.rows.append([])
        elif tag in ("th", "td"):
            self._figure.rows[-1].append("")
        if "data-load" in given:
            self._is_loaded = True

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        text = data.strip().replace("\u2068", "").replace("\u2069", "")
        if not text:
            return
        self._figure.text += f" {text}"
        inner = [tag for tag in self._open if tag not in ("a", "bdi", "wbr")]
        if inner[-1:] == ["dt"]:
            self._label = text
        elif inner[-1:] in (["h1"], ["h2"], ["h3"]) and not self._named:
            self.figures[text] = self._figure
            self._named = True
        elif inner[-1:] in (["th"], ["td"]):
            self._figure.rows[-1][-1] += text


def page_of(response: TestResponse) -> Page:
    """The page of a response."""
    assert response.content_type == "text/html; charset=utf-8"
    return Page(response.get_data(as_text=True))


def shown(value: float | None) -> str:
    """How a table shows a number."""
    if value is None:
        return "\u2013"
    whole = int(value) if value == int(value) else value
    return f"{whole:,}".replace(",", "\u202f")


class _AnySchema(Schema):
    """Takes report data as they are: these stand for reports with schemas of their own."""

    def dump(self, obj: Any, **_: Any) -> Any:
        return obj

    def load(self, data: Any, **_: Any) -> Any:
        return data


class _ApplicationSchema(Schema):
    application = ApplicationField()


class _PeriodSchema(Schema):
    application = ApplicationField()
    first = fields.String(required=True, data_key="from")
    last = fields.String(required=True, data_key="to")
    days = fields.Integer(required=True)


class Months(ReportProvider):
    """Stands for ``USERS_BY_MONTH``: some months have bounds, one is unknown, one is running."""

    name = "USERS_BY_MONTH"
    definition = "Users of months."
    parameters_schema = _ApplicationSchema
    data_schema = _AnySchema

    def generate(self, context: ReportContext, application: str) -> Result:
        names = ["2025-11", "2025-12", *(f"2026-{number:02}" for number in range(1, 12))]
        data = {
            "application": application,
            "average": 107.25,
            "maximum": 112,
            "months": [self._month(name) for name in names],
            "missing": ["2026-03", "2026-05"],
        }
        return Result(data, as_of=context.now - timedelta(hours=3), source="recorded")

    def _month(self, name: str) -> Mapping[str, Any]:
        month = {"month": name, "asOf": f"{name}-01T00:00:00Z", "state": "recorded"}
        known = {"users": 100 + int(name[-2:]), "lowerBound": None, "upperBound": None}
        without: Mapping[str, Mapping[str, Any]] = {
            "2026-03": {"users": None, "state": "unknown"},
            "2026-05": {"users": None, "state": "bounded", "lowerBound": 90, "upperBound": 120},
            "2026-11": {"users": None, "state": "running", "lowerBound": 80},
        }
        return {**month, **known, **without.get(name, {})}


class History(ReportProvider):
    """Stands for ``MAU_HISTORY``: the number of a day, none on the tenth of a month."""

    name = "MAU_HISTORY"
    definition = "Users of each day."
    parameters_schema = _PeriodSchema
    data_schema = _AnySchema

    def generate(
        self, context: ReportContext, application: str, first: str, last: str, days: int
    ) -> Mapping[str, Any]:
        start, end = date.fromisoformat(first), date.fromisoformat(last)
        period = [start + timedelta(days=count) for count in range((end - start).days + 1)]
        users = {day.isoformat(): 200 + day.day for day in period if day.day != 10}
        return {
            "application": application,
            "from": first,
            "to": last,
            "days": days,
            "usersByDay": users,
            "missing": [day.isoformat() for day in period if day.day == 10],
            "average": 215.5,
            "maximum": max(users.values()),
        }
