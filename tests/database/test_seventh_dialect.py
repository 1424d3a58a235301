"""Another database is added in one file and one name."""

import sys
from collections.abc import Iterator
from datetime import UTC
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from flask_powerauth_telemetry import ConfigurationError
from flask_powerauth_telemetry.database import dialects
from flask_powerauth_telemetry.database.dialects import sqlite
from tests.support import powerauth
from tests.support.service import NOW, ask, create_app, url_of

NAME = "seventh"


class SeventhDialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's part of a database that it calls by another name."""

    name = NAME
    supports_statement_cache = True


@pytest.fixture
def _seventh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The one file, a copy of SQLite's, and the one name."""
    module = f"{dialects.__name__}.{NAME}"
    spec = spec_from_loader(module, loader=None)
    assert spec is not None
    file = module_from_spec(spec)
    exec(Path(sqlite.__file__).read_text(encoding="utf-8"), vars(file))
    monkeypatch.setitem(sys.modules, module, file)
    monkeypatch.setitem(dialects.DIALECTS, NAME, f"{NAME}:SQLite")
    registry.register(NAME, __name__, "SeventhDialect")
    dialects.dialect_named.cache_clear()
    yield
    dialects.dialect_named.cache_clear()


@pytest.mark.usefixtures("_seventh")
def test_database_that_reports_cant_read_holds_a_history_at_most(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its driver is there, and nothing else is wrong with its URL."""
    monkeypatch.delitem(dialects.DIALECTS, NAME)
    url = url_of(sqlite).replace("sqlite:", f"{NAME}:", 1)

    own: dict[str, Any] = {"DATABASE_URL": url_of(sqlite)}

    for key, value in (("DATABASE_URL", url), ("BINDS", {"x": url})):
        with pytest.raises(ConfigurationError, match=f"_{key}.*: reports can't read {NAME}. Use"):
            create_app(**own | {key: value})
    create_app(**own, BINDS={"history": url})


def _users(engine: Engine, url: str) -> list[object]:
    client = create_app(DATABASE_URL=url).test_client()
    asked = [("CURRENT_MAU", {}), ("USERS_IN_PAST_DAYS", {"days": 90})]
    answers = [ask(client, name, {"application": "retail", **more}) for name, more in asked]
    return [answer.get_json()["responseObject"]["reportData"]["users"] for answer in answers]


@pytest.mark.usefixtures("_seventh")
def test_seventh_database_answers_both_documented_reports(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    rows = powerauth.random_activations(seed=7, now=NOW, zone=UTC, count=200)
    powerauth.add_activations(sqlite, rows)
    url = url_of(sqlite)

    expected = _users(sqlite, url)

    assert expected[0] != 0
    assert _users(sqlite, url.replace("sqlite:", f"{NAME}:", 1)) == expected


@pytest.mark.usefixtures("_seventh")
def test_seventh_database_is_guarded_and_its_errors_are_understood(sqlite: Engine) -> None:
    url = url_of(sqlite).replace("sqlite:", f"{NAME}:", 1)
    sqlite.connect().close()  # which makes the file

    missing_table = ask(create_app(DATABASE_URL=url).test_client(), parameters={"application": "a"})
    missing_file = ask(
        create_app(DATABASE_URL=f"{url}-missing").test_client(), parameters={"application": "a"}
    )

    assert missing_table.status_code == 500
    assert missing_file.status_code == 503
    assert not Path(f"{sqlite.url.database}-missing").exists()
