"""``flask telemetry snapshot``, in this process and as an operator runs it."""

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, inspect, make_url, text
from sqlalchemy.exc import OperationalError

from flask_powerauth_telemetry.history import store
from flask_powerauth_telemetry.history.snapshot import nearest_hour
from tests.support.held import locked
from tests.support.recorded import Site, run
from tests.support.service import (
    CREDENTIALS,
    NOW,
    create_app,
    recorded_statements,
    url_of,
    users_of,
)

APPLICATION = """
import os
from datetime import datetime

from flask import Flask

from flask_powerauth_telemetry import PowerAuthTelemetry
from flask_powerauth_telemetry.database.dialects.postgresql import PostgreSQL

PostgreSQL.server_clock = None  # NOW is not its time
app = Flask(__name__, instance_path=os.path.abspath("made/instance"))
app.config.from_prefixed_env()
PowerAuthTelemetry(app, clock=lambda: datetime.fromisoformat(os.environ["NOW"]))
"""
SLOT = "2026-11-25 12:00 UTC"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the operator's application."""
    (tmp_path / "app.py").write_text(APPLICATION, encoding="utf-8")
    return tmp_path


def environment(site: Site, *, history: bool = True) -> dict[str, str]:
    settings: dict[str, object] = {
        "CREDENTIALS": CREDENTIALS,
        "DATABASE_URL": url_of(site.powerauth),
        "SOURCE": "snapshot",
    }
    if history:
        settings["BINDS"] = site.binds
    own = {
        f"FLASK_POWERAUTH_TELEMETRY_{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in settings.items()
    }
    return os.environ | own | {"NOW": NOW.isoformat(), "COLUMNS": "80"}


COMMAND = [sys.executable, "-m", "flask", "--app", "app", "telemetry", "snapshot"]


def operate(folder: Path, environment: dict[str, str], *options: str) -> tuple[int, str, str]:
    """Run the command in a folder: its exit code, and what it prints."""
    result = subprocess.run(
        [*COMMAND, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


def test_operator_records_and_the_server_answers(site: Site, folder: Path) -> None:
    site.fill()
    users = users_of(site.recorder().test_client(), "retail", 30)

    code, output, errors = operate(folder, environment(site))

    assert (code, errors) == (0, "")
    corporate, retail, new, head = output.splitlines()
    assert new.startswith("A new history begins in ")
    assert head.startswith("The history has 2 rows, digest ")
    assert corporate.startswith(f"corporate: recorded for {SLOT}, ")
    assert retail.startswith(f"retail: recorded for {SLOT}, {users} users in 30 days, in ")
    assert users_of(site.reader().test_client(), "retail", 30) == users


def test_row_holds_what_is_documented(site: Site) -> None:
    site.clock.now = NOW + timedelta(minutes=7, microseconds=1)
    site.record("--application", "retail")

    ((name, identifier, instance, slot, as_of, definition, milliseconds, host, users, digest),) = (
        site.rows(
            "application_name, application_id, instance, slot, as_of, definition, milliseconds,"
            " recorded_by, users, digest"
        )
    )

    assert (name, identifier, instance, definition) == ("retail", 1, "powerauth_telemetry", 1)
    assert slot == "2026-11-25T12:00:00.000000Z"
    assert as_of == "2026-11-25T12:07:00.000001Z"
    assert 0 <= milliseconds < 60_000
    assert host == os.uname().nodename
    assert json.loads(users) == [0] * 365
    assert len(digest) == 64


def test_default_store_is_made_with_its_folder(small_site: Site, folder: Path) -> None:
    code, _, errors = operate(folder, environment(small_site, history=False))

    assert (code, errors) == (0, "")
    assert [path.name for path in (folder / "made/instance").iterdir()] == [
        "telemetry-history.sqlite"
    ]


@pytest.mark.parametrize("slip", ["histroy/history.sqlite", "history/histroy.sqlite"])
def test_slip_in_the_path_of_a_history_is_seen(small_site: Site, tmp_path: Path, slip: str) -> None:
    def output(name: str) -> str:
        binds = {"history": f"sqlite:///{tmp_path / name}?timeout=5"}
        result = run(create_app(small_site.powerauth, clock=small_site.clock, BINDS=binds))
        assert (result.exit_code, result.stderr) == (0, "")
        small_site.clock.now += timedelta(hours=1)
        return result.stdout

    first, second, slipped = [output(name) for name in ["history/history.sqlite"] * 2 + [slip]]

    assert f"\nA new history begins in {tmp_path / 'history/history.sqlite'}\n" in first
    assert "A new history" not in second
    assert f"\nA new history begins in {tmp_path / slip}\n" in slipped


def test_history_of_another_instance_or_server_is_named_without_secrets(
    postgresql_site: Site,
) -> None:
    site = postgresql_site
    site.record()
    url = make_url(site.binds["history"])
    if url.get_backend_name() == "postgresql":
        url = url.set(password="secret").update_query_dict({"application_name": "secret"})
    binds = {"history": url.render_as_string(hide_password=False)}
    app = create_app(
        site.powerauth,
        clock=site.clock,
        arguments={"name": "emea"},
        **{"EMEA_BINDS": binds, "EMEA_DATABASE_URL": url_of(site.powerauth)},
        EMEA_CREDENTIALS=CREDENTIALS,
    )

    result = run(app)

    new = result.stdout.splitlines()[-2]
    assert new.startswith("A new history begins in ")
    assert new.endswith(str(url.database))
    assert "secret" not in result.stdout


def test_recorded_slot_is_said_and_costs_no_pass(site: Site) -> None:
    site.record()
    before = site.rows("entry, as_of, digest")
    site.clock.now += timedelta(minutes=29)

    with recorded_statements() as statements:
        result = site.record()

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"corporate: is recorded already for {SLOT}",
        f"retail: is recorded already for {SLOT}",
    ]
    assert not any("pa_activation" in statement for statement in statements)
    assert site.rows("entry, as_of, digest") == before


@pytest.mark.parametrize(
    ("minutes", "seconds", "hour"),
    [(0, 0, 12), (29, 59, 12), (30, 0, 13), (59, 59, 13), (-30, 0, 12), (-30, -1, 11)],
)
def test_slot_is_the_nearest_hour(minutes: int, seconds: int, hour: int) -> None:
    instant = NOW + timedelta(minutes=minutes, seconds=seconds)

    assert nearest_hour(instant) == datetime(2026, 11, 25, hour, tzinfo=UTC)


def test_each_pass_has_its_own_now(small_site: Site) -> None:
    times = iter(NOW + timedelta(minutes=number) for number in range(100))
    app = create_app(small_site.powerauth, clock=lambda: next(times), BINDS=small_site.binds)

    run(app)

    first, second = (row[2] for row in small_site.rows())
    assert first < second
    assert [row[1] for row in small_site.rows()] == ["2026-11-25T12:00:00.000000Z"] * 2


def test_failure_of_one_application_leaves_the_others(postgresql_site: Site) -> None:
    site = postgresql_site
    site.fill()
    with site.powerauth.begin() as connection:
        # A view that fails for the rows of one application alone.
        connection.exec_driver_sql(
            "CREATE VIEW failing AS SELECT application_id, user_id, timestamp_last_used"
            " FROM pa_activation WHERE application_id <> 1 OR 1 / (application_id - 1) > 0"
        )
    app = site.recorder(TABLES={"pa_activation": "failing"})

    result = run(app)

    assert result.exit_code == 1
    assert result.stdout.startswith(f"corporate: recorded for {SLOT}")
    assert result.stderr == "retail: not recorded: the database main: DataError: division by zero\n"
    assert [row[0] for row in site.rows()] == ["corporate"]


@pytest.mark.parametrize("options", [(), ("--correct", "twice")])
def test_name_of_two_applications_is_not_recorded(site: Site, options: tuple[str, ...]) -> None:
    with site.powerauth.begin() as connection:
        connection.execute(text("DROP INDEX pa_application_name"))
        connection.execute(text("INSERT INTO pa_application (id, name) VALUES (3, 'retail')"))

    result = site.record(*options)

    assert result.exit_code == 1
    assert "retail: not recorded: pa_application has several applications 'retail'" in result.output
    assert [name for name, _, _ in site.rows()] == ["corporate"]


def test_history_that_takes_no_row_is_named(small_site: Site) -> None:
    small_site.record("--application", "corporate")
    small_site.execute(
        "CREATE TRIGGER held BEFORE INSERT ON telemetry_recording"
        " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    )

    result = small_site.record("--application", "retail")

    cause = "the database history: IntegrityError: database or disk is full"
    assert (result.exit_code, result.stderr) == (1, f"retail: not recorded: {cause}\n")


def test_pass_is_ended_by_its_time_limit(postgresql_site: Site) -> None:
    site = postgresql_site
    with locked(site.powerauth):
        result = site.record("--application", "retail", "--time-limit", "1")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "retail: not recorded: " in result.stderr
    assert "canceling statement due to lock timeout" in result.stderr
    assert site.rows() == []


@pytest.mark.parametrize("limit", ["-1", "nan", "1.5", "2000001"])
def test_time_limit_that_is_none_is_refused(small_site: Site, limit: str) -> None:
    assert small_site.record("--time-limit", limit).exit_code == 2


def test_chosen_applications_are_recorded(small_site: Site) -> None:
    result = small_site.record(
        "--application", "retail", "--application", "retail", "--application", "no\nwhere"
    )

    assert result.exit_code == 1
    assert result.stderr == "no\\nwhere: there is no such application\n"
    assert [row[0] for row in small_site.rows()] == ["retail"]


def test_nothing_to_record_is_a_failure(small_site: Site) -> None:
    with small_site.powerauth.begin() as connection:
        connection.exec_driver_sql("DELETE FROM pa_application")

    result = small_site.record()

    assert (result.exit_code, result.stderr) == (1, "Error: There is no application to record.\n")


@pytest.mark.parametrize(
    ("keys", "cause"),
    [
        (
            {"DATABASE_URL": "postgresql+psycopg://u:pass-word@127.0.0.1:1/x"},
            "Nothing is recorded: the database main: OperationalError",
        ),
        ({"DATABASE_URL": None}, "no database is configured to record from. Set it to the URL of"),
        (
            {"BINDS": {"history": "postgresql+psycopg://u:pass-word@127.0.0.1:1/x"}},
            "Nothing is recorded: the database history: OperationalError",
        ),
        ({"BINDS": {"history": "sqlite:////proc/none/x.sqlite"}}, "Can't make the folder"),
        ({"BINDS": {"history": "sqlite:////dev/null"}}, "Nothing is recorded: the database hist"),
    ],
)
def test_unusable_database_fails_with_its_cause(
    small_site: Site, keys: dict[str, object], cause: str
) -> None:
    result = run(small_site.recorder(SOURCE="snapshot", **keys))

    assert result.exit_code == 1
    assert cause in result.stderr
    assert "pass-word" not in result.output
    assert "Traceback" not in result.output


def test_naive_clock_fails_with_its_cause(small_site: Site) -> None:
    small_site.clock.now = NOW.replace(tzinfo=None)
    app = create_app(small_site.powerauth, BINDS=small_site.binds)
    state = app.extensions["powerauth_telemetry"]["powerauth_telemetry"]
    object.__setattr__(state, "clock", small_site.clock)

    result = run(app)

    assert (result.exit_code, "a naive time" in result.stderr) == (1, True)


def test_unknown_instance_is_an_error_of_usage(small_site: Site) -> None:
    result = small_site.record("--instance", "emea")

    assert result.exit_code == 2
    assert "no instance 'emea' (it has: powerauth_telemetry)" in result.stderr


def test_engine_of_the_host_is_recorded_from(small_site: Site) -> None:
    app = create_app(
        clock=small_site.clock,
        arguments={"engine": lambda: small_site.powerauth},
        BINDS=small_site.binds,
    )

    assert run(app).exit_code == 0
    assert len(small_site.rows()) == 2


def test_store_can_have_a_schema_of_its_own(postgresql_site: Site) -> None:
    site = postgresql_site
    if site.history.dialect.name != "postgresql":
        pytest.skip("SQLite has no schemas")
    site.execute("CREATE SCHEMA telemetry")
    binds = {"history": {"url": url_of(site.history), "schema": "telemetry"}}

    assert run(site.recorder(BINDS=binds)).exit_code == 0

    site.execute("SELECT 1 FROM telemetry.telemetry_recording")
    assert users_of(site.reader(BINDS=binds).test_client(), "retail", 1) == 0


def test_slot_that_another_host_records_meanwhile_is_recorded_once(small_site: Site) -> None:
    first_pass = iter([True])
    results = []

    def record(_: object, __: object, statement: str, *others: object) -> None:
        if "pa_activation" in statement and next(first_pass, False):
            results.append(small_site.record())

    event.listen(Engine, "before_cursor_execute", record)
    try:
        results.append(small_site.record())
    finally:
        event.remove(Engine, "before_cursor_execute", record)

    assert [result.exit_code for result in results] == [0, 0]
    assert [one.stdout.count("is recorded already") for one in results] == [0, 2]
    assert [name for name, _, _ in small_site.rows()] == ["corporate", "retail"]


def test_store_that_another_host_is_creating_is_created_a_moment_later(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_CREATED_BY_ANOTHER_SECONDS", 0)
    refused = iter([True])

    def refuse(_: object, __: object, statement: str, *others: object) -> None:
        if "CREATE TABLE" in statement and next(refused, False):
            raise OperationalError(statement, {}, Exception("table already exists"))

    event.listen(Engine, "before_cursor_execute", refuse)
    try:
        assert small_site.record().exit_code == 0
    finally:
        event.remove(Engine, "before_cursor_execute", refuse)


def test_store_that_can_not_be_created_whole_is_not_created(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table without its unique index would let a slot be recorded twice."""
    monkeypatch.setattr(store, "_CREATED_BY_ANOTHER_SECONDS", 0)
    small_site.execute("CREATE TABLE other (number integer)")
    small_site.execute("CREATE INDEX telemetry_recording_slot ON other (number)")

    assert small_site.record().exit_code == 1

    assert inspect(small_site.history).get_table_names() == ["other"]


def test_store_takes_no_row_that_lacks_more_than_a_reason_and_a_seal(small_site: Site) -> None:
    small_site.record()

    found = inspect(small_site.history)
    columns = [column for name in found.get_table_names() for column in found.get_columns(name)]
    assert {column["name"] for column in columns if column["nullable"]} == {"reason", "seal"}


def test_progress_is_shown_on_a_terminal_alone(small_site: Site, folder: Path) -> None:
    ours, theirs = pty.openpty()
    result = subprocess.run(
        COMMAND,
        cwd=folder,
        env=environment(small_site),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        timeout=60,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)

    assert "Recording" in shown
    assert "corporate" in shown
    assert "100%" in shown
    *recorded, _, head = result.stdout.splitlines()
    assert [line.partition(":")[0] for line in recorded] == ["corporate", "retail"]
    assert head.startswith("The history has 2 rows, digest ")


def test_powerauth_database_is_not_written(small_site: Site) -> None:
    path = Path(str(small_site.powerauth.url.database))
    before = path.read_bytes()

    small_site.record()

    assert path.read_bytes() == before
