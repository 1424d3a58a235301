"""``flask telemetry …`` as the tests run it, and accounts of PostgreSQL to run it with."""

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from inspect import signature
from typing import Any

from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import Engine, NullPool, create_engine

from tests.support import powerauth
from tests.support.service import create_app

LEAST = (
    "GRANT SELECT (id, name) ON pa_application TO {role}",
    "GRANT SELECT (application_id, user_id, timestamp_last_used) ON pa_activation TO {role}",
)
"""What docs/databases.md grants: five columns."""

CHECKS = (
    "keys",
    "connection",
    "history",
    "tables",
    "reports",
    "secrets",
    "read-only",
    "server",
    "clock",
    "indexes",
    "scopes",
    "routes",
    "pass",
    "zone",
    "cost",
    "verify",
)
"""Everything that ``check`` looks at, in this order."""

# Click before 8.2 mixes both outputs, unless told not to.
SEPARATELY: dict[str, Any] = (
    {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
)

_numbers = itertools.count()


def now() -> datetime:
    return datetime.now(UTC)


def command(app: Flask, *arguments: str, **options: Any) -> Result:
    """Run a command of an application; a traceback is a failure of the test."""
    result = app.test_cli_runner(**SEPARATELY).invoke(args=["telemetry", *arguments], **options)
    assert "Traceback" not in result.output, result.output
    return result


def app_of(engine: Engine, **options: Any) -> Flask:
    """An application on a database, by the real clock."""
    return create_app(engine, **{"clock": now, **options})


def findings(app: Flask, *arguments: str) -> list[dict[str, Any]]:
    """What ``check`` finds; its exit code fits the worst of it."""
    result = command(app, "check", "--json", *arguments)
    document = json.loads(result.stdout)
    levels = {finding["level"] for finding in document["findings"]}
    code = 2 if "error" in levels else 1 if "warning" in levels else 0
    assert (result.exit_code, document["exitCode"]) == (code, code)
    found: list[dict[str, Any]] = document["findings"]
    return found


def levels(found: Sequence[dict[str, Any]]) -> dict[str, set[str]]:
    """The levels of each check's findings."""
    names = {finding["check"] for finding in found}
    return {
        name: {finding["level"] for finding in found if finding["check"] == name} for name in names
    }


def of_check(found: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """The one finding of a check."""
    (finding,) = [finding for finding in found if finding["check"] == name]
    return finding


def fill(engine: Engine, *, hours_ahead: float = 0, version: str = "2.2") -> None:
    """A small PowerAuth database, with uses from a minute to 40 days ago."""
    powerauth.create_schema(engine, version)
    powerauth.add_applications(engine, ["retail", "corporate"])
    shown = powerauth.wall_clock(now() - timedelta(minutes=1) + timedelta(hours=hours_ahead), UTC)
    activations = [
        powerauth.Activation(
            f"activation-{number}",
            1 + number % 2,
            f"user-{number % 60}",
            shown - timedelta(hours=number * 12),
        )
        for number in range(80)
    ]
    powerauth.add_activations(engine, activations)


@contextmanager
def role(owner: Engine, *grants: str) -> Iterator[Engine]:
    """The engine of a new account that has these privileges and no others."""
    name = f"account_{next(_numbers)}"
    with owner.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN")
        for grant in grants:
            connection.exec_driver_sql(grant.format(role=name))
    try:
        yield create_engine(owner.url.set(username=name), poolclass=NullPool)
    finally:
        with owner.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {name}; DROP ROLE {name}")
