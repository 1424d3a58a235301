"""Drivers and URLs that reports can't use stop the start, and the message has what to write."""

from typing import Any

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from flask_powerauth_telemetry.exceptions import ConfigurationError
from tests.support.service import ask, create_app

POSTGRESQL = "Begin the URL by postgresql+psycopg://"
WRONG = [
    ("postgresql+pg8000://host/db", "driver pg8000", POSTGRESQL),
    ("postgresql+asyncpg://host/db", "driver asyncpg", POSTGRESQL),
    ("postgresql+psycopg_async://host/db", "asynchronous driver psycopg", POSTGRESQL),
    ("postgresql+psycopg2cffi://host/db", "driver psycopg2cffi", POSTGRESQL),
    ("postgresql+nothing://host/db", "", POSTGRESQL),
    ("postgres://host/db", "", POSTGRESQL),
    ("postgres+psycopg2://host/db", "", POSTGRESQL),
    ("postgressql://host/db", "", POSTGRESQL),
    ("sqlite+aiosqlite:///file.sqlite", "driver aiosqlite", "Begin the URL by sqlite://"),
    ("sqlite3:///file.sqlite", "", "Begin the URL by sqlite://"),
    ("oracle+oracledb_async://host", "asynchronous driver oracledb", "by oracle+oracledb://"),
    ("mssql+aioodbc://host/db", "driver aioodbc", "by mssql+pyodbc://"),
    ("mysql+aiomysql://host/db", "driver aiomysql", "Take another driver"),
    ("mysql://host/db", "driver MySQLdb is not installed", "Use one of clickhousedb, impala, "),
    ("sqlite://folder/file.sqlite", "Invalid SQLite URL", "Write sqlite:////FOLDER/FILE."),
    ("sqlite:///file.sqlite?timeout=soon", "could not convert", "Write sqlite:////FOLDER/FILE."),
]


@pytest.mark.parametrize(("url", "cause", "cure"), WRONG)
@pytest.mark.parametrize("bind", [None, "replica", "history", "integration"])
def test_driver_that_cannot_be_used(url: str, cause: str, cure: str, bind: str | None) -> None:
    keys: dict[str, Any] = {"DATABASE_URL": url}
    if bind is not None:
        keys = {"DATABASE_URL": "sqlite:////dev/null/x", "BINDS": {bind: url}}

    with pytest.raises(ConfigurationError) as caught:
        create_app(**keys)

    message = str(caught.value)
    assert message.startswith(f"POWERAUTH_TELEMETRY_{list(keys)[-1]}")
    assert cause in message
    assert cure in message


@pytest.mark.parametrize("options", [{"pool_reset_on_return": "x"}, {"plugins": ["x"]}, {"x": 1}])
def test_option_that_is_wrong_is_no_fault_of_the_url(options: dict[str, Any]) -> None:
    key = "POWERAUTH_TELEMETRY_ENGINE_OPTIONS: .*x.* Correct the options"
    with pytest.raises(ConfigurationError, match=key):
        create_app(DATABASE_URL="sqlite:////dev/null/x", ENGINE_OPTIONS=options)


class _Foreign(type(create_engine("sqlite://").dialect)):  # type: ignore[misc]
    """A dialect of SQLite's whose driver is asynchronous."""

    driver = "aiosqlite"
    is_async = True


def test_engine_of_a_host_by_such_a_driver() -> None:
    engine = create_engine(make_url("sqlite://"), poolclass=NullPool)
    engine.dialect = _Foreign()

    with pytest.raises(
        ConfigurationError, match="engine=: reports can't use the asynchronous driver aio"
    ):
        create_app(arguments={"engine": engine})
    lazy = create_app(arguments={"engine": lambda: engine})
    assert ask(lazy.test_client(), "CURRENT_MAU", {"application": "retail"}).status_code == 500
