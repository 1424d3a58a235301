"""The accounts that the documentation makes, by the roles that it names for that: they are enough.

Nothing here is run by a superuser but what makes those roles, and what takes all away.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.exc import ProgrammingError

from flask_powerauth_telemetry.config.loading import load_config
from flask_powerauth_telemetry.database.dialects import dialect_named
from tests.support import powerauth
from tests.support.commands import findings, role
from tests.support.documents import DATABASES, RECORDING, blocks, evaluate, python_examples, text_of
from tests.support.service import CREDENTIALS, ask, create_app, url_of

MAKER, OWNER = "maker_of_roles", "owner_of_database"
READER, RECORDER = "telemetry_reader", "telemetry_recorder"
ROLES = ("telemetry_viewer", "telemetry_credentials", READER, RECORDER, "history_reader")
PARAMETERS = {
    "application": "retail",
    "applications": ["retail", "corporate"],
    "days": 30,
    "first": "retail",
    "second": "corporate",
}
SECRET = "p@ss:w/o?r#d%40"
APP = f"""
from flask import Flask
from sqlalchemy import make_url
from flask_powerauth_telemetry import PowerAuthTelemetry

app = Flask(__name__)
app.config.from_prefixed_env()
assert make_url(app.config["POWERAUTH_TELEMETRY_DATABASE_URL"]).password == {SECRET!r}
PowerAuthTelemetry(app)
"""


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def user_of(engine: Engine, role: str) -> Engine:
    return create_engine(engine.url.set(username=role, password="PASSWORD"), poolclass=NullPool)


@contextmanager
def administered(engine: Engine) -> Iterator[None]:
    """A role that may make roles, and one that owns the database; all of the roles go."""
    execute(
        engine,
        f"CREATE ROLE {MAKER} LOGIN CREATEROLE",
        f"CREATE ROLE {OWNER} LOGIN",
        f"ALTER DATABASE {engine.url.database} OWNER TO {OWNER}",
    )
    try:
        yield
    finally:
        with engine.begin() as connection:
            made = connection.exec_driver_sql(
                "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", ([*ROLES, MAKER, OWNER],)
            )
            for role in sorted(made.scalars(), key=[*ROLES, MAKER, OWNER].index):
                connection.exec_driver_sql(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
                connection.exec_driver_sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def run_as_documented(engine: Engine, path: Path, *, as_recorder: bool = False) -> None:
    """Run the SQL of a page, each block by the role that the page names."""
    for block in blocks(path, "sql"):
        by_recorder = "TO history_reader" in block and "USAGE" not in block
        by_owner_of_tables = "INSERT" in block
        if by_owner_of_tables or by_recorder != as_recorder:
            continue
        maker = MAKER if "CREATE ROLE" in block else OWNER
        execute(user_of(engine, RECORDER if by_recorder else maker), block)


@pytest.fixture
def documented_roles(postgresql: Engine) -> Iterator[Engine]:
    """A PowerAuth database on which the SQL of docs/databases.md has been run."""
    with administered(postgresql):
        owner = user_of(postgresql, OWNER)
        powerauth.create_schema(owner)
        powerauth.add_applications(owner, ["retail", "corporate"])
        now = powerauth.wall_clock(datetime.now(UTC), UTC)
        powerauth.add_activations(owner, [powerauth.Activation("a", 1, "u", now)])
        run_as_documented(postgresql, DATABASES)
        yield postgresql


def documented_views() -> Any:
    """The mapping to PostgreSQL's views, which is followed by Oracle's."""
    first, second = python_examples(DATABASES)
    app = evaluate(first)
    assert app is not None
    views = app.config["POWERAUTH_TELEMETRY_TABLES"]
    evaluate(second)
    load_config(app.config)
    return views


def test_documented_grants_are_enough(documented_roles: Engine) -> None:
    views = documented_views()

    for reader, keys in (("telemetry_reader", {}), ("telemetry_viewer", {"TABLES": views})):
        app = create_app(user_of(documented_roles, reader), clock=lambda: datetime.now(UTC), **keys)
        answer = ask(app.test_client(), parameters={"application": "retail"})
        assert answer.get_json()["responseObject"]["reportData"]["users"] == 1


def test_documented_grants_are_enough_for_further_reports(documented_roles: Engine) -> None:
    names = ["USERS_BY_PAST_DAYS", "USERS_ACROSS_APPLICATIONS", "COMMITTED_USERS_IN_PAST_DAYS"]
    reader = user_of(documented_roles, "telemetry_reader")
    client = create_app(reader, REPORTS=names).test_client()

    statuses = {name: ask(client, name, PARAMETERS).status_code for name in names}

    assert statuses == dict.fromkeys(names, 200)


@pytest.mark.parametrize(
    ("role", "relation", "allowed"),
    [
        ("telemetry_reader", "pa_application", {"id", "name"}),
        (
            "telemetry_reader",
            "pa_activation",
            {
                "activation_id",
                "application_id",
                "user_id",
                "timestamp_last_used",
                "activation_status",
                "platform",
                "timestamp_created",
            },
        ),
        (
            "telemetry_reader",
            "pa_activation_history",
            {"activation_id", "activation_status", "timestamp_created"},
        ),
        (
            "telemetry_reader",
            "pa_signature_audit",
            {
                "activation_id",
                "valid",
                "signature_type",
                "signature_algorithm",
                "timestamp_created",
            },
        ),
        ("telemetry_reader", "pa_integration", set()),
        ("telemetry_viewer", "pa_application", set()),
        ("telemetry_viewer", "pa_activation", set()),
        ("telemetry_viewer", "pa_integration", set()),
        ("telemetry_credentials", "pa_application", set()),
        ("telemetry_credentials", "pa_activation", set()),
        (
            "telemetry_credentials",
            "pa_integration",
            {"id", "name", "client_token", "client_secret"},
        ),
    ],
)
def test_documented_grants_allow_no_more(
    documented_roles: Engine, role: str, relation: str, allowed: set[str]
) -> None:
    with documented_roles.connect() as connection:
        columns = connection.exec_driver_sql(
            f"SELECT attname FROM pg_attribute WHERE attrelid = '{relation}'::regclass"
            " AND attnum > 0"
        ).scalars()
        names = set(columns)

    assert {name for name in names if readable(documented_roles, role, relation, name)} == allowed


def readable(engine: Engine, role: str, relation: str, name: str) -> bool:
    try:
        with user_of(engine, role).connect() as connection:
            connection.exec_driver_sql(f"SELECT {name} FROM {relation}")
    except ProgrammingError:
        return False
    return True


@pytest.mark.parametrize(
    ("lost", "granted"),
    [
        ("USAGE ON SCHEMA pa", "permission denied for schema pa (grant this account USAGE on the"),
        ("SELECT (id) ON pa.pa_application", "(grant this account SELECT on pa_application, or on"),
    ],
)
def test_missing_privilege_is_told_by_its_name(
    documented_roles: Engine, lost: str, granted: str, caplog: pytest.LogCaptureFixture
) -> None:
    execute(
        documented_roles,
        "ALTER SCHEMA public RENAME TO pa",
        f"REVOKE {lost} FROM {READER}, PUBLIC",
    )
    app = create_app(user_of(documented_roles, READER), DATABASE_SCHEMA="pa")

    found = [one for one in findings(app, "--no-pass") if one["check"] == "tables"]
    answer = ask(app.test_client(), parameters={"application": "retail"})

    assert granted in found[0]["message"]
    assert answer.status_code == 500
    assert granted in caplog.text


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("SELECT * FROM kept", "SELECT on kept, or on the columns that are read"),
        ("SELECT * FROM seen", "SELECT on seen, or on the columns that are read"),
        ("SELECT * FROM drawn", "SELECT on drawn, or on the columns that are read"),
        ("UPDATE kept SET one = 1", "UPDATE on kept"),
        ("INSERT INTO kept VALUES (1)", "INSERT on kept"),
        ("SELECT last_value FROM numbers", "USAGE and SELECT on the sequence numbers"),
        ("SELECT nextval('numbers')", "USAGE and SELECT on the sequence numbers"),
        ("SELECT counted()", "EXECUTE on the function counted"),
        ("SELECT * FROM hidden.kept", "USAGE on the schema hidden"),
        ("CREATE TABLE hidden.made ()", "USAGE and CREATE on the schema hidden"),
        ("SELECT nothing", None),
        ("SELECT rolpassword FROM pg_authid", "SELECT on pg_authid, or on the columns that"),
    ],
)
def test_privilege_is_named_for_what_is_denied(
    postgresql: Engine, statement: str, missing: str | None
) -> None:
    execute(
        postgresql,
        "CREATE TABLE kept (one int); CREATE VIEW seen AS SELECT 1 AS one; CREATE SEQUENCE numbers",
        "CREATE MATERIALIZED VIEW drawn AS SELECT 1 AS one; CREATE SCHEMA hidden",
        "CREATE FUNCTION counted() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "REVOKE EXECUTE ON FUNCTION counted() FROM PUBLIC; CREATE TABLE hidden.kept ()",
    )
    with role(postgresql) as stranger, pytest.raises(ProgrammingError) as denied:
        execute(stranger, statement)

    message = dialect_named("postgresql").translate(denied.value).message

    assert ("(grant this account" in message) is (missing is not None)
    assert missing is None or f"(grant this account {missing}" in message.partition("\n")[0]


def test_recorder_makes_the_history_and_a_reader_reads_it(
    postgresql: Engine, sqlite: Engine
) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    with administered(postgresql):
        recorder = create_app(
            sqlite,
            clock=lambda: datetime.now(UTC),
            BINDS={"history": url_of(user_of(postgresql, RECORDER))},
        ).test_cli_runner()
        command = ["telemetry", "snapshot"]
        execute(postgresql, f"CREATE ROLE {RECORDER} LOGIN")
        refused = recorder.invoke(args=command)
        execute(postgresql, f"DROP ROLE {RECORDER}")
        run_as_documented(postgresql, RECORDING)
        recorded = recorder.invoke(args=command)
        run_as_documented(postgresql, RECORDING, as_recorder=True)
        reader = create_app(
            SOURCE="snapshot",
            clock=lambda: datetime.now(UTC),
            BINDS={"history": url_of(user_of(postgresql, "history_reader"))},
        ).test_client()
        answer = ask(reader, parameters={"application": "retail"})

        execute(
            postgresql,
            f"REASSIGN OWNED BY {RECORDER} TO {OWNER}",
            f"REVOKE CREATE ON SCHEMA public FROM {RECORDER}",
        )
        lacking = recorder.invoke(args=[*command, "--correct", "a test"])
        execute(user_of(postgresql, OWNER), blocks(RECORDING, "sql")[-1])
        added = recorder.invoke(args=[*command, "--correct", "a test"])
        with pytest.raises(ProgrammingError, match="permission denied"):
            execute(user_of(postgresql, RECORDER), "UPDATE telemetry_recording SET slot = slot")

    assert (refused.exit_code, recorded.exit_code, added.exit_code) == (1, 0, 0), recorded.output
    assert "grant this account USAGE and CREATE on the schema public" in refused.output
    assert answer.status_code == 200
    assert lacking.exit_code == 1
    assert "grant this account SELECT on telemetry_history_version" in lacking.output


def test_environment_of_the_recorder_is_enough_for_cron(
    documented_roles: Engine, tmp_path: Path
) -> None:
    run_as_documented(documented_roles, RECORDING)
    text = text_of(RECORDING)
    found = re.search(r"write `([^`]+)` as\s+`([^`]+)`", text)
    assert found is not None
    encoded = dict(zip(found[1].split(), found[2].split(), strict=True))
    password = "".join(encoded.get(character, character) for character in SECRET)
    folder = tmp_path / "srv"
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/flask").symlink_to(Path(sys.executable).with_name("flask"))
    (folder / "app.py").write_text(APP)
    (folder / "credentials").write_text(json.dumps(CREDENTIALS))
    (environment,) = [block for block in blocks(RECORDING, "sh") if "telemetry_recorder" in block]
    place = f"/{documented_roles.url.database}?host={documented_roles.url.query['host']}"
    for printed, real in (
        (":PASSWORD@REPLICA/powerauth", f":{password}@{place}"),
        ("PASSWORD@HOST/telemetry", f"{password}@{place}"),
        ("/run/secrets/telemetry-credentials", str(folder / "credentials")),
    ):
        assert printed in environment
        environment = environment.replace(printed, real)
    (folder / "recorder.env").write_text(environment)
    line = blocks(RECORDING, "cron")[0].split(maxsplit=5)[5].replace("/srv/telemetry", str(folder))

    done = subprocess.run(
        ["/bin/sh", "-c", line],
        env={"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "retail" in done.stdout
