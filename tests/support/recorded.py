"""A PowerAuth database, the history beside it, and applications that record and read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from click.testing import Result
from flask import Flask
from sqlalchemy import Engine, text

from tests.support import powerauth
from tests.support.databases import POSTGRESQL_VERSIONS, Loan
from tests.support.service import NOW, create_app, url_of

_OLD = f"postgresql-{min(POSTGRESQL_VERSIONS)}"
_NEW = f"postgresql-{max(POSTGRESQL_VERSIONS)}"
PAIRS = (("sqlite", _OLD), (_OLD, _NEW), (_NEW, "sqlite"))
"""Kinds of the PowerAuth database and of the history."""


@dataclass
class Clock:
    """A clock that stands still until it is set; aware."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Site:
    """A PowerAuth database with two applications, and a history of its own."""

    powerauth: Engine
    history: Engine
    clock: Clock = field(default_factory=Clock)

    def fill(self, zone: Any = UTC, count: int = 200) -> None:
        """Random users around the time now."""
        rows = powerauth.random_activations(seed=5, now=self.clock.now, zone=zone, count=count)
        powerauth.add_activations(self.powerauth, rows)

    def recorder(self, **keys: Any) -> Flask:
        """The application by which the operator records."""
        return create_app(self.powerauth, clock=self.clock, **{"BINDS": self.binds, **keys})

    def reader(self, arguments: Mapping[str, Any] | None = None, **keys: Any) -> Flask:
        """The web process: no PowerAuth database at all."""
        settings = {"SOURCE": "snapshot", "BINDS": self.binds, **keys}
        return create_app(clock=self.clock, arguments=arguments, **settings)

    @cached_property
    def auditor(self) -> Flask:
        """The web process that ``--verify`` is run in."""
        return self.reader()

    def record(self, *options: str) -> Result:
        """Run ``flask telemetry snapshot`` in this process."""
        return run(self.recorder(), *options)

    @property
    def binds(self) -> dict[str, str]:
        return {"history": url_of(self.history)}

    def execute(self, statement: str, **values: Any) -> None:
        """Change the history behind our back."""
        with self.history.begin() as connection:
            connection.execute(text(statement), values)

    def rows(self, columns: str = "application_name, slot, as_of") -> list[tuple[Any, ...]]:
        """What the history holds, in the order of recording."""
        statement = text(f"SELECT {columns} FROM telemetry_recording ORDER BY entry")
        with self.history.connect() as connection:
            return [tuple(row) for row in connection.execute(statement)]


def create_site(loan: Loan, kinds: tuple[str, str], folder: Path) -> Site:
    """Two empty databases of these kinds, the first with PowerAuth's tables."""
    for name in ("powerauth", "history"):
        (folder / name).mkdir()
    site = Site(
        loan.create(kinds[0], folder / "powerauth"),
        loan.create(kinds[1], folder / "history"),
    )
    powerauth.create_schema(site.powerauth)
    powerauth.add_applications(site.powerauth, ["retail", "corporate"])
    return site


def run(app: Flask, *options: str) -> Result:
    """Run ``flask telemetry snapshot`` of an application in this process."""
    return app.test_cli_runner().invoke(args=["telemetry", "snapshot", *options])
