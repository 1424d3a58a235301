"""What ``flask telemetry check`` says to do cures what it found, when it is followed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from marshmallow import Schema, fields
from sqlalchemy import Engine, create_engine, func, select, text

from flask_powerauth_telemetry import ReportContext, ReportProvider
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.dialects.base import (
    MISSING_COLUMN,
    MISSING_TABLE,
    OTHER_TYPE,
)
from tests.support.commands import LEAST, app_of, command, fill, findings, role
from tests.support.service import ask, create_app, url_of

AUDIT = (
    *LEAST,
    "GRANT SELECT (activation_id) ON pa_activation TO {role}",
    "GRANT SELECT (id) ON pa_signature_audit TO {role}",
)
COLUMNS = re.compile(r"(pa_\w+) \(([a-z_, ]+)\)")


def errors(found: list[dict[str, Any]], check: str) -> list[dict[str, Any]]:
    return [one for one in found if one["level"] == "error" and one["check"] == check]


def run_as_owner(owner: Engine, *statements: str) -> None:
    with owner.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


class Platforms(ReportProvider):
    """A stranger's report, which names its tables and not their columns."""

    name = "PLATFORMS"
    definition = "Platforms."
    parameters_schema = Schema
    data_schema = Schema.from_dict({"platforms": fields.Integer(required=True)})
    tables = ("pa_activation",)

    def generate(self, context: ReportContext) -> Mapping[str, Any]:
        platform = context.tables.pa_activation.c.platform
        return {"platforms": context.connection.scalar(select(func.count(platform)))}


@pytest.mark.parametrize(("version", "has_algorithm"), [("2.2", True), ("1.9", False)])
def test_columns_that_a_line_names_are_all_that_a_report_needs(
    postgresql: Engine, version: str, has_algorithm: bool
) -> None:
    fill(postgresql, version=version)
    keys: dict[str, Any] = {"REPORTS": ["SIGNATURES_IN_PAST_DAYS"]}
    with role(postgresql, *AUDIT) as reader:
        (refused,) = errors(findings(app_of(reader, **keys), "--no-pass"), "tables")
        named = re.search(r"Grant SELECT (\(.*?\)) on it", refused["cure"])
        assert named is not None
        assert ("signature_algorithm" in named[1]) is has_algorithm
        grant = f"GRANT SELECT {named[1]} ON pa_signature_audit TO {reader.url.username}"
        run_as_owner(postgresql, grant)

        found = findings(app_of(reader, **keys), "--no-pass")

    assert not errors(found, "tables")
    assert not errors(found, "reports")


RIGHT = "application_id, user_id, timestamp_last_used"


@pytest.mark.parametrize(
    ("columns", "wrong", "cure"),
    [
        ("application_id, user_id", "timestamp_last_used", MISSING_COLUMN),
        ("application_id, timestamp_last_used", "user_id", MISSING_COLUMN),
        (RIGHT.replace("used", "used AS last_used"), "timestamp_last_used", MISSING_COLUMN),
        ("user_id, timestamp_last_used, CAST(1 AS text) AS application_id", "application_id", ""),
        (
            "application_id, user_id, CAST('' AS text) AS timestamp_last_used",
            "timestamp_last_used",
            "",
        ),
        ("application_id, user_id, 1764374400 AS timestamp_last_used", "timestamp_last_used", ""),
        (None, RIGHT, MISSING_TABLE),
    ],
)
def test_what_is_wrong_with_a_view_is_named_until_it_is_right(
    database: Engine, columns: str | None, wrong: str, cure: str, caplog: pytest.LogCaptureFixture
) -> None:
    if not cure and database.dialect.name == "sqlite":
        pytest.skip("SQLite compares any types")
    fill(database)
    if columns:
        run_as_owner(database, f"CREATE VIEW ours AS SELECT {columns} FROM pa_activation")
    app = app_of(database, TABLES={"pa_activation": "ours"})
    app.testing = False

    answer = ask(app.test_client(), parameters={"application": "retail"})
    found = findings(app, "--no-pass")

    assert answer.status_code == 500
    assert f"({cure or OTHER_TYPE})" in caplog.text
    assert re.search(r"\bours\b", caplog.text)
    (named,) = errors(found, "tables")
    assert named["message"].startswith("ours (")
    assert wrong in named["message"]
    assert "POWERAUTH_TELEMETRY_TABLES" in named["cure"]
    if columns:
        assert "Grant" not in named["cure"]
        run_as_owner(database, "DROP VIEW ours")
    run_as_owner(database, f"CREATE VIEW ours AS SELECT {RIGHT} FROM pa_activation")
    found = findings(app, "--no-pass")
    assert not errors(found, "tables") + errors(found, "reports")


def test_columns_that_no_report_names_are_found(postgresql: Engine) -> None:
    fill(postgresql)
    arguments = {"providers": [Platforms()]}
    with role(postgresql, *LEAST) as reader:
        (refused,) = errors(findings(app_of(reader, arguments=arguments), "--no-pass"), "reports")
        ((table, columns),) = COLUMNS.findall(refused["cure"])
        assert "platform" in columns.split(", ")
        assert "user_id" not in columns.split(", ")
        run_as_owner(postgresql, f"GRANT SELECT ({columns}) ON {table} TO {reader.url.username}")

        assert not errors(findings(app_of(reader, arguments=arguments), "--no-pass"), "reports")


def test_tables_in_another_schema_are_found(postgresql: Engine) -> None:
    fill(postgresql)
    move = [f"ALTER TABLE {name} SET SCHEMA bank" for name in ("pa_application", "pa_activation")]
    with role(postgresql, *LEAST) as reader:
        run_as_owner(postgresql, "CREATE SCHEMA bank", *move)
        first, second = errors(findings(app_of(reader), "--no-pass"), "tables")
        for one in (first, second):
            assert (
                "USAGE on its schema; set POWERAUTH_TELEMETRY_DATABASE_SCHEMA to that, bank"
                in (one["cure"])
            )
        run_as_owner(postgresql, f"GRANT USAGE ON SCHEMA bank TO {reader.url.username}")

        found = findings(app_of(reader, DATABASE_SCHEMA="bank"), "--no-pass")

    assert not errors(found, "tables")


def test_database_of_somebody_else_is_told_by_its_key(postgresql: Engine) -> None:
    for one in errors(findings(app_of(postgresql), "--no-pass"), "tables"):
        assert one["cure"].startswith("Let POWERAUTH_TELEMETRY_DATABASE_URL name PowerAuth's")
        assert "Grant" not in one["cure"]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"username": "nobody"}, "name a role that is there in the URL"),
        ({"database": "powerath"}, "end the URL by the name of a database that is there"),
        ({"query": {"sslmode": "requires"}}, "correct what follows the ? in the URL"),
        ({"query": {"ssl": "true"}}, "correct what follows the ? in the URL"),
    ],
)
def test_connection_that_is_refused_says_what_of_the_url_is_wrong(
    postgresql: Engine, parts: dict[str, Any], said: str
) -> None:
    url = postgresql.url.set(
        **{**parts, "query": {**postgresql.url.query, **parts.get("query", {})}}
    )
    app = create_app(DATABASE_URL=url)

    (_, refused) = findings(app)

    assert said in refused["message"]
    assert refused["cure"] == "The URL is in POWERAUTH_TELEMETRY_DATABASE_URL"


def test_no_cure_takes_away_the_encryption() -> None:
    """The test servers listen on sockets of files, where sslmode says nothing."""
    cure = dialect_named("postgresql").cure("server does not support SSL, but SSL was required")

    assert cure is not None
    assert "switch on SSL" in cure
    assert "sslmode" not in cure


@pytest.mark.parametrize(
    ("statement", "undone", "said"),
    [
        ("ALTER ROLE {role} NOLOGIN", None, "give this role LOGIN"),
        ("ALTER ROLE {role} CONNECTION LIMIT 0", None, "raise this limit"),
        (
            'REVOKE CONNECT ON DATABASE "{database}" FROM PUBLIC',
            'GRANT CONNECT ON DATABASE "{database}" TO PUBLIC',
            "grant this account CONNECT on the database",
        ),
    ],
)
def test_account_that_may_not_connect_is_told_why(
    postgresql: Engine, statement: str, undone: str | None, said: str
) -> None:
    fill(postgresql)
    with role(postgresql, *LEAST) as reader:
        names = {"role": reader.url.username, "database": postgresql.url.database}
        run_as_owner(postgresql, statement.format(**names))
        try:
            (_, refused) = findings(app_of(reader))
        finally:
            run_as_owner(postgresql, *([undone.format(**names)] if undone else []))

    assert said in refused["message"]


def test_history_that_was_never_recorded_says_what_records_it(
    sqlite: Engine, tmp_path: Path
) -> None:
    fill(sqlite)
    history = tmp_path / "history.sqlite"
    keys = {"BINDS": {"history": f"sqlite:///{history}"}}
    app = app_of(sqlite, SOURCE="snapshot", **keys)
    said = f"there is no file {history} (correct the path; the file of a history is made by: flask"

    (refused,) = errors(findings(app), "connection")
    asked = command(app, "report", "CURRENT_MAU", "-p", "application=retail")
    verified = command(app, "snapshot", "--verify")

    for message in (refused["message"], asked.stderr, verified.stderr):
        assert said in message
    assert not history.exists()
    assert command(app, "snapshot").exit_code == 0
    assert not errors(findings(app), "connection")


def test_history_that_may_not_be_read_is_not_to_be_recorded(postgresql: Engine) -> None:
    fill(postgresql)
    url = url_of(postgresql)
    assert command(app_of(postgresql, BINDS={"history": url}), "snapshot").exit_code == 0
    with role(postgresql, *LEAST) as reader:
        app = create_app(SOURCE="snapshot", BINDS={"history": url_of(reader)})
        (refused,) = errors(findings(app), "history")

    assert "grant this account SELECT on telemetry_history_version" in refused["message"]
    assert "snapshot" not in refused["cure"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE telemetry_recording SET users = '[]'", "is damaged"),
        ("UPDATE telemetry_history_version SET version = 7", "has schema version 7"),
    ],
)
def test_history_that_is_damaged_is_to_be_verified(
    sqlite: Engine, tmp_path: Path, change: str, said: str
) -> None:
    fill(sqlite)
    history = create_engine(f"sqlite:///{tmp_path / 'history.sqlite'}")
    app = app_of(sqlite, SOURCE="snapshot", BINDS={"history": url_of(history)})
    assert command(app, "snapshot").exit_code == 0
    with history.begin() as connection:
        connection.execute(text(change))

    found = [one for one in findings(app) if one["level"] == "error"]

    assert {one["check"] for one in found} == {"history", "reports"}
    for one in found:
        assert said in one["message"]
        assert one["cure"].endswith("flask telemetry snapshot --verify")
