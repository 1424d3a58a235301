import ast
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from threading import Timer
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import URL, Engine, insert

import flask_powerauth_telemetry
from example_app import create_app
from example_app.__main__ import greeting
from example_app.active_devices import ActiveDevicesByPlatform
from example_app.app import LIVE_REPORTS
from example_app.made_up import tables
from example_app.made_up.database import build_database, database_url
from example_app.made_up.recordings import ensure_history
from flask_powerauth_telemetry import ConfigurationError, PowerAuthTelemetry, ReportContext
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.dashboard.figures import APPLICATION_FIGURES
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.database.tables import PowerAuthTables

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DATABASE = "powerauth.sqlite"
ELSEWHERE = ZoneInfo("Pacific/Kiritimati")
HISTORY = "telemetry-history.sqlite"
ACTIVE = 3
PACKAGE = "flask_powerauth_telemetry"
PUBLIC = {f"{PACKAGE}.{name}" for name in flask_powerauth_telemetry.__all__} | {
    f"{PACKAGE}.dashboard.PowerAuthTelemetryDashboard"
}
PUBLIC_MODULES = tuple(
    f"{PACKAGE}.{name}." for name in ("monitoring.signals", "monitoring.metrics", "testing")
)


@dataclass
class Example:
    """A running example: its URL, the two printed curl lines, and its stderr once it has ended."""

    url: str
    lines: list[str]
    errors: str = ""


def start(*options: object, output_to: int = subprocess.PIPE) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FLASK_")}
    return subprocess.Popen(
        [sys.executable, "-m", "example_app", *map(str, options)],
        stdout=output_to,
        stderr=output_to,
        text=True,
        cwd=ROOT,
        env=environment,
    )


@contextmanager
def running(*options: object) -> Iterator[Example]:
    with start("--port", 0, *options) as process:
        limit = Timer(600, process.kill)
        limit.start()
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().strip() for _ in range(5)]
            example = Example(lines[0].split()[2].rstrip(","), [lines[2], lines[4]])
            yield example
        finally:
            process.terminate()
            errors = process.communicate()[1] or ""
            limit.cancel()
        assert (process.returncode, "Traceback" in errors) == (0, False)
        example.errors = errors


@dataclass(frozen=True)
class Made:
    """A database of the example, made as of a time without a zone; copy it to change it."""

    path: Path
    now: datetime

    def copy_to(self, path: Path) -> Path:
        path.parent.mkdir(exist_ok=True)
        return Path(shutil.copy(self.path, path))


def make(folder: Path, zone: ZoneInfo) -> Made:
    """A database as of now, as clocks in a zone show it."""
    made = Made(folder / DATABASE, datetime.now(zone).replace(tzinfo=None))
    build_database(made.path, made.now)
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("utc"), ZoneInfo("UTC"))


@pytest.fixture(scope="module")
def made_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("elsewhere"), ELSEWHERE)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory, made: Made) -> Path:
    instance = tmp_path_factory.mktemp("example") / "instance"
    made.copy_to(instance / DATABASE)
    return instance


@pytest.fixture(scope="module")
def example(instance: Path) -> Iterator[Example]:
    with running("--instance-path", instance) as example:
        yield example


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    return made.copy_to(tmp_path / "copy.sqlite")


def fetch(request: urllib.request.Request) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.loads(response.read() or "null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def get(example: Example, path: str, method: str = "GET") -> tuple[int, Any]:
    return fetch(urllib.request.Request(example.url + path, method=method))


def ask(line: str) -> tuple[int, Any]:
    """The status and body of what a printed line asks; with curl, the shell gets the same body."""
    arguments = shlex.split(line)
    user, header, body, url = arguments[3], arguments[5], arguments[7], arguments[8]
    assert arguments == ["curl", "-s", "-u", user, "-H", header, "-d", body, url]
    headers = dict([header.split(": ")])
    headers["Authorization"] = "Basic " + b64encode(user.encode()).decode()
    status, answer = fetch(urllib.request.Request(url, body.encode(), headers))
    if os.name == "posix" and shutil.which("curl"):
        output = subprocess.run(line, shell=True, stdout=subprocess.PIPE, check=True).stdout
        assert json.loads(output) == answer
    return status, answer


def recent(path: Path, zone: Any = UTC) -> list[tuple[str, int, str | None]]:
    """User, status and platform of the activations of retail-banking used in the past 30 days."""
    now = datetime.now(UTC)
    start, end = (
        time.astimezone(zone).replace(tzinfo=None) for time in (now - timedelta(days=30), now)
    )
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, timestamp_last_used, user_id, activation_status, platform"
            " FROM pa_activation JOIN pa_application ON pa_application.id = application_id"
        ).fetchall()
    return [
        (user, status, platform)
        for name, time, user, status, platform in rows
        if name == "retail-banking" and start <= datetime.fromisoformat(time) <= end
    ]


def assert_exact(example: Example, path: Path, zone: Any = UTC) -> None:
    """Both answers are those of counting in Python, while no activation leaves the window."""
    rows: object = None
    while rows != (rows := recent(path, zone)):
        replies = [ask(line) for line in example.lines]
    assert len(rows) > 1000
    platforms = Counter(platform or "unknown" for _, status, platform in rows if status == ACTIVE)
    window = {"application": "retail-banking", "days": 30}
    assert replies == [
        (200, {"status": "OK", "responseObject": {"name": name, "reportData": data}})
        for name, data in (
            ("CURRENT_MAU", {**window, "users": len({user for user, _, _ in rows})}),
            ("ACTIVE_DEVICES_BY_PLATFORM", {**window, "platforms": dict(platforms)}),
        )
    ]


def files(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.iterdump())


def test_printed_lines_answer_with_the_numbers_of_the_database(
    example: Example, instance: Path
) -> None:
    assert_exact(example, instance / DATABASE)
    assert {path.name for path in instance.iterdir()} == {DATABASE, HISTORY}


def test_second_start_reuses_the_database(example: Example, instance: Path) -> None:
    before = files(instance)
    with running("--instance-path", instance) as second:
        assert second.lines != example.lines
        assert_exact(second, instance / DATABASE)
    assert files(instance) == before


@pytest.mark.parametrize("later", [timedelta(days=31), timedelta(days=731), timedelta(days=-40)])
def test_old_database_is_made_anew_up_to_any_day(
    made: Made, tmp_path: Path, later: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    """Every report has numbers, and the documented ones count the uses until that day."""
    made.copy_to(tmp_path / DATABASE)
    ensure_history(tmp_path / HISTORY, made.path, made.now.replace(tzinfo=UTC))
    then = datetime.now(UTC) + later
    config = {"POWERAUTH_TELEMETRY_CREDENTIALS": {"demo": digest("token")}}

    app = create_app(config, instance_path=tmp_path, clock=lambda: then)
    again = files(tmp_path)
    create_app(config, instance_path=tmp_path, clock=lambda: then + timedelta(hours=6))

    assert [one.getMessage() for one in caplog.records if one.name == "example_app"] == [
        "The made-up database was older than a day: made anew, up to now"
    ]
    assert files(tmp_path)[tmp_path / DATABASE] == again[tmp_path / DATABASE]
    runner = app.test_cli_runner()
    shown = json.loads(runner.invoke(args=["telemetry", "check", "--json", "--no-pass"]).stdout)
    levels = {
        one["facts"]["report"]: one["level"]
        for one in shown["findings"]
        if one["check"] == "reports"
    }
    assert levels.keys() >= {*LIVE_REPORTS, "MAU_HISTORY", "USERS_IN_MONTH"}
    assert set(levels.values()) == {"ok"}
    for name, parameters in (
        ("CURRENT_MAU", {"application": "retail-banking"}),
        ("USERS_IN_PAST_DAYS", {"application": "wealth", "days": 1}),
    ):
        body = {"requestObject": {"name": name, "parameters": parameters}}
        url = "/rest/v3/telemetry/report"
        answer = app.test_client().post(url, json=body, auth=("demo", "token")).get_json()
        assert answer["responseObject"]["reportData"]["users"] > 100


def test_file_that_is_no_database_of_the_example_is_left_alone(tmp_path: Path) -> None:
    for name in (DATABASE, HISTORY):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            connection.execute("CREATE TABLE mine (id INTEGER)")
    before = files(tmp_path)
    create_app(
        {"POWERAUTH_TELEMETRY_CREDENTIALS": {"demo": digest("token")}}, instance_path=tmp_path
    )
    assert files(tmp_path) == before


def test_start_page_leads_on_and_has_no_secret(example: Example) -> None:
    with urllib.request.urlopen(example.url) as response:
        page = response.read().decode()
        policy = response.headers["Content-Security-Policy"]
    token = shlex.split(example.lines[0])[3].partition(":")[2]
    line = unescape(page.partition("<pre>")[2].partition("</pre>")[0])

    assert policy.startswith("default-src 'none'")
    assert token not in page
    assert ask(line.replace("TOKEN", token)) == ask(example.lines[0])
    for path in re.findall('href="([^"]+)"', page):
        credentials = b64encode(f"demo:{token}".encode()).decode()
        asked = urllib.request.Request(
            example.url + path, headers={"Authorization": f"Basic {credentials}"}
        )
        with urllib.request.urlopen(asked) as response:
            assert response.status == 200
    assert page.count("href=") == 2


def test_start_page_of_a_database_that_was_given_names_no_application(copy: Path) -> None:
    page = in_process(database_url(copy)).test_client().get("/").get_data(as_text=True)
    assert "YOUR-APPLICATION" in page
    assert "retail-banking" not in page


def test_start_page_can_not_be_made_to_say_something_else(copy: Path) -> None:
    client = in_process(database_url(copy)).test_client()
    page = client.get("/", headers={"Host": "<script>x</script>"}).get_data(as_text=True)
    assert "<script>" not in page


@pytest.mark.parametrize("missing", ["", "pa_signature_audit", "pa_activation_history"])
def test_database_url_turns_on_what_the_database_can_answer(copy: Path, missing: str) -> None:
    off = {
        "pa_signature_audit": {"SIGNATURES_IN_PAST_DAYS", "SIGNATURES_IN_MONTH"},
        "pa_activation_history": {"NEW_USERS_IN_PAST_DAYS"},
        "": set[str](),
    }[missing]
    if missing:
        with closing(sqlite3.connect(copy)) as connection:
            connection.execute(f"DROP TABLE {missing}")
    with running("--database-url", database_url(copy)) as example:
        user = shlex.split(example.lines[0])[3]
        asked = urllib.request.Request(
            f"{example.url}/rest/v3/telemetry/reports",
            headers={"Authorization": "Basic " + b64encode(user.encode()).decode()},
        )
        _, catalogue = fetch(asked)

    names = {report["name"] for report in catalogue["responseObject"]["reports"]}
    assert names & {*LIVE_REPORTS} == {*LIVE_REPORTS} - off
    told = example.errors.partition("Off are ")[2].partition(": it can't")[0]
    assert set(told.split(", ")) - {""} == off


def test_dashboard_shows_every_figure(example: Example) -> None:
    user = shlex.split(example.lines[0])[3]
    request = urllib.request.Request(
        f"{example.url}/telemetry/application?application=retail-banking",
        headers={"Authorization": "Basic " + b64encode(user.encode()).decode()},
    )
    with urllib.request.urlopen(request) as response:
        text = response.read().decode()

    assert text.count('<section class="figure') == len(APPLICATION_FIGURES) - 1  # no windows
    assert "This figure is missing" not in text
    assert text.count('role="img"') == 5


def test_start_that_is_interrupted_leaves_no_database(tmp_path: Path) -> None:
    with start("--port", 0, "--instance-path", tmp_path) as process:
        while not list(tmp_path.iterdir()) and process.poll() is None:
            time.sleep(0.001)
        process.terminate()
        assert process.communicate() == ("", "")
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
def test_progress_shows_on_a_terminal(tmp_path: Path) -> None:
    terminal, inner = os.openpty()
    with start("--port", 0, "--instance-path", tmp_path, output_to=inner) as process:
        os.close(inner)
        shown = ""
        while "Serving on" not in shown:  # it is an OSError when the process has ended
            shown += os.read(terminal, 4096).decode(errors="replace")
        process.terminate()
    os.close(terminal)
    assert "Making the example's database: 100%" in shown
    assert "20000/20000" in shown
    assert {path.name for path in tmp_path.iterdir()} == {DATABASE, HISTORY}


def test_population_is_the_same_for_the_same_time(
    made: Made, made_elsewhere: Made, tmp_path: Path
) -> None:
    build_database(tmp_path / "same", made.now)
    one, same, later = map(dump, (made.path, tmp_path / "same", made_elsewhere.path))
    assert one == same
    assert one != later


def test_changes_and_verifications_are_believable(example: Example, instance: Path) -> None:
    with closing(sqlite3.connect(instance / DATABASE)) as connection:
        verified = connection.execute(
            "SELECT count(*) > 40000, avg(valid) BETWEEN 0.97 AND 0.99,"
            " count(DISTINCT id) = count(*),"
            " min(audit.timestamp_created BETWEEN one.timestamp_created AND timestamp_last_used)"
            " FROM pa_signature_audit audit JOIN pa_activation one USING (activation_id)"
        ).fetchone()
        changed = connection.execute(
            "SELECT count(*) > 40000, count(DISTINCT id) = count(*),"
            " min(change.timestamp_created BETWEEN one.timestamp_created AND timestamp_last_used)"
            " FROM pa_activation_history change JOIN pa_activation one USING (activation_id)"
        ).fetchone()
        last = connection.execute(
            "SELECT count(*), min(activation_status = status) FROM pa_activation JOIN"
            " (SELECT activation_id, max(activation_status) AS status FROM pa_activation_history"
            " GROUP BY activation_id) USING (activation_id)"
        ).fetchone()
    assert (set(verified), set(changed), last) == ({1}, {1}, (20_000, 1))


def test_population_is_believable(example: Example, instance: Path) -> None:
    statement = """
        SELECT count(*), count(DISTINCT user_id), count(DISTINCT activation_id),
            count(DISTINCT application_id), count(DISTINCT activation_status),
            sum(activation_status = 3) / 20000.0, sum(protocol = 'fido2') > 0,
            sum(timestamp_last_used = timestamp_created) > 500,
            sum(timestamp_last_used < datetime('now', '-365 days')) > 200,
            min(timestamp_created <= timestamp_last_used),
            max(timestamp_last_used) <= datetime('now')
        FROM pa_activation"""
    with closing(sqlite3.connect(instance / DATABASE)) as connection:
        rows, users, ids, applications, statuses, active, *truths = connection.execute(
            statement
        ).fetchone()
        most, in_two = connection.execute(
            "SELECT max(devices), sum(applications = 2) FROM (SELECT count(*) AS devices,"
            " count(DISTINCT application_id) AS applications FROM pa_activation GROUP BY user_id)"
        ).fetchone()
    assert (rows, ids, applications, statuses, most) == (20_000, 20_000, 3, 5, 3)
    assert 1.5 < rows / users < 1.7
    assert 0.7 < active < 0.9
    assert 50 < in_two < 1000
    assert truths == [1, 1, 1, 1, 1]


def test_health_without_the_database(copy: Path) -> None:
    with running("--database-url", database_url(copy)) as example:
        assert get(example, "/readyz") == (200, {"status": "ok"})
        copy.unlink()
        assert get(example, "/healthz") == (200, {"status": "ok"})
        assert get(example, "/healthz", "HEAD") == (200, None)
        assert get(example, "/readyz") == (503, {"status": "unavailable"})
    assert "Not ready, the database can't be read: " in example.errors


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_takes_no_other_method(tmp_path: Path, path: str) -> None:
    client = in_process(database_url(tmp_path / "missing")).test_client()
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        response = client.open(path, method=method)
        assert (response.status_code, response.allow.as_set()) == (405, {"get", "head"})


def in_process(url: URL) -> Flask:
    return create_app(
        {
            "POWERAUTH_TELEMETRY_CREDENTIALS": {"demo": digest("token")},
            "POWERAUTH_TELEMETRY_DATABASE_URL": url,
        }
    )


def test_database_url_creates_nothing(copy: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    options = ("--database-url", database_url(copy), "--instance-path", tmp_path / "instance")
    with running(*options) as example:
        assert_exact(example, copy)
    assert files(tmp_path) == before


def test_database_url_of_a_missing_file_creates_nothing(tmp_path: Path) -> None:
    options = ("--database-url", database_url(tmp_path / "no"), "--instance-path", tmp_path / "i")
    with running(*options) as example:
        assert all('"application":"YOUR-APPLICATION"' in line for line in example.lines)
        assert [ask(line)[0] for line in example.lines] == [503, 503]
    assert files(tmp_path) == {}


def test_database_timezone_is_that_of_its_times(made_elsewhere: Made) -> None:
    path = made_elsewhere.path
    options = ("--database-url", database_url(path), "--database-timezone", ELSEWHERE.key)
    with running(*options) as example:
        assert_exact(example, path, ELSEWHERE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--port", "{port}"],
            "Can't listen on 127.0.0.1, port {port}: the port is in use."
            " Choose another with --port, 0 for any free one.",
        ),
        (
            ["--database-url", "nonsense"],
            "POWERAUTH_TELEMETRY_DATABASE_URL: is not a database URL. Set, for example,"
            ' "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE".',
        ),
        (
            ["--instance-path", "/dev/null/folder"],
            "Can't make the database in /dev/null/folder: Not a directory."
            " Choose another folder with --instance-path.",
        ),
    ],
)
def test_start_that_fails_says_why_in_one_line(
    example: Example, instance: Path, options: list[str], message: str
) -> None:
    port = example.url.rpartition(":")[2]
    given = [option.format(port=port) for option in options]
    with start("--port", 0, "--instance-path", instance, *given) as process:
        assert process.communicate() == ("", f"Error: {message.format(port=port)}\n")
    assert process.returncode == 1


def test_factory_reads_the_environment(
    example: Example, instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = json.dumps({"billing": digest("token")})
    monkeypatch.setenv("FLASK_POWERAUTH_TELEMETRY_CREDENTIALS", credentials)
    client = create_app(instance_path=instance).test_client()
    body = {"requestObject": {"name": "CURRENT_MAU", "parameters": {"application": "wealth"}}}
    response = client.post("/rest/v3/telemetry/report", json=body, auth=("billing", "token"))
    assert response.status_code == 200
    assert response.get_json()["responseObject"]["reportData"]["users"] > 500


def test_factory_without_credentials_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="POWERAUTH_TELEMETRY_CREDENTIALS"):
        create_app(instance_path=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_active_devices_by_platform_at_the_ends_of_the_window(database: Engine) -> None:
    powerauth = PowerAuthTables()
    powerauth.metadata.create_all(database)
    end = NOW.replace(tzinfo=None)
    start, tick = end - timedelta(days=7), timedelta(microseconds=1)
    rows = [
        *(("ios", time, ACTIVE, 1) for time in (start - tick, start, end, end + tick)),
        *((platform, end, ACTIVE, 1) for platform in (None, "unknown", "android")),
        *(("ios", end, status, 1) for status in (1, 2, 4, 5)),
        ("ios", end, ACTIVE, 2),
    ]
    names = ("platform", "timestamp_last_used", "activation_status", "application_id")
    with database.begin() as connection:
        connection.execute(insert(powerauth.pa_application), {"id": 1, "name": "mine"})
        values = [dict(zip(names, row, strict=True)) for row in rows]
        connection.execute(insert(powerauth.pa_activation), values)
    source = Database(
        engine=lambda: database, timezone=UTC, tables=powerauth, statement_timeout=0, ours=False
    )
    with ReportContext(source, NOW) as context:
        data = ActiveDevicesByPlatform().generate(context, application="mine", days=7)
    platforms = {"ios": 2, "unknown": 2, "android": 1}
    assert data == {"application": "mine", "days": 7, "platforms": platforms}


def test_example_answers_from_what_it_recorded(made: Made, tmp_path: Path) -> None:
    made.copy_to(tmp_path / "instance" / DATABASE)
    config = {
        "POWERAUTH_TELEMETRY_CREDENTIALS": {"demo": digest("a-token")},
        "POWERAUTH_TELEMETRY_SOURCE": "snapshot",
    }
    app = create_app(config, instance_path=tmp_path / "instance")
    (tmp_path / "instance" / HISTORY).unlink()  # the made-up one
    body = {"requestObject": {"name": "CURRENT_MAU", "parameters": {"application": "wealth"}}}
    path = "/rest/v3/telemetry/report"
    client = app.test_client()
    try:
        assert client.post(path, json=body, auth=("demo", "a-token")).status_code == 503

        result = app.test_cli_runner().invoke(args=["telemetry", "snapshot"])

        assert result.exit_code == 0
        response = client.post(path, json=body, auth=("demo", "a-token"))
        assert response.status_code == 200
        assert "Age" in response.headers
    finally:
        app.extensions["powerauth_telemetry"]["powerauth_telemetry"].close()


def imports_of(path: Path) -> Iterator[str]:
    """What a file of the example imports from the package, by its full names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            base = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            names = (base + alias.name for alias in node.names)
            yield from (name for name in names if name.startswith(PACKAGE))


def test_example_imports_public_names_alone() -> None:
    modules = set((ROOT / "example_app").rglob("*.py"))
    made_up = {path for path in modules if path.parent.name == "made_up"}

    imported = {name for path in modules - made_up for name in imports_of(path)}

    assert imported >= {f"{PACKAGE}.PowerAuthTelemetry", f"{PACKAGE}.ReportProvider"}
    assert {n for n in imported - PUBLIC if not n.startswith(PUBLIC_MODULES)} == set()


def test_readiness_reads_the_configured_view(tmp_path: Path) -> None:
    path, secret = tmp_path / "a #1%20.sqlite", tmp_path / "url"
    secret.write_text(database_url(path).render_as_string() + "\n")
    app = create_app(
        {
            "POWERAUTH_TELEMETRY_CREDENTIALS": {"demo": digest("token")},
            "POWERAUTH_TELEMETRY_DATABASE_URL_FILE": str(secret),
            "POWERAUTH_TELEMETRY_TABLES": {"pa_application": "main.application"},
        }
    )
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE application AS SELECT 1 AS id, 'mine' AS name")
        assert app.test_client().get("/readyz").status_code == 200
        connection.execute("DROP TABLE application")
        assert app.test_client().get("/readyz").status_code == 503


def test_readiness_does_not_wait_for_a_lock(postgresql: Engine) -> None:
    tables.metadata.create_all(postgresql)
    client = in_process(postgresql.url).test_client()
    assert client.get("/readyz").status_code == 200
    with postgresql.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE pa_application IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        assert client.get("/readyz").status_code == 503
    assert time.monotonic() - started < 15


def test_greeting_asks_below_the_first_prefix() -> None:
    app = Flask(__name__)
    app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = {"demo": digest("token")}
    app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = "sqlite:///missing.sqlite"
    app.config["POWERAUTH_TELEMETRY_URL_PREFIX"] = ["/rest/v4/telemetry", "/rest/v3/telemetry"]
    PowerAuthTelemetry(app)

    text = greeting(app, "http://[::1]:8080", "demo:token", "wealth")

    assert text.count(" 'http://[::1]:8080/rest/v4/telemetry/report'\n") == 2


def test_refused_token_is_found_by_the_documented_pattern_of_fail2ban(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    pattern = (
        page.partition("failregex = ")[2].partition("\n")[0].replace("<HOST>", "(?P<host>\\S+)")
    )
    with running("--instance-path", tmp_path) as example:
        assert ask(example.lines[0].replace("demo:", "demo:no"))[0] == 401
    times_cut_off = [line[len("2026-11-25 12:00:09,310") :] for line in example.errors.splitlines()]
    found = [match["host"] for line in times_cut_off if (match := re.search(pattern, line))]
    assert found
    assert set(found) == {"127.0.0.1"}
