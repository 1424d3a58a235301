"""``flask telemetry reconcile`` sets PowerAuth Server's numbers beside ours."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import Engine

from flask_powerauth_telemetry.cli.powerauth_server import CannotAsk, PowerAuthServer
from flask_powerauth_telemetry.cli.reconcile import Comparison
from tests.support import powerauth
from tests.support.commands import LEAST, app_of, command, fill, now, role
from tests.support.reference_server import BASE, ReferenceServer, running
from tests.support.service import ask, basic, create_app, url_of

USER, TOKEN = "client-token", "client-secret"
VARIABLE = {"POWERAUTH_SERVER_TOKEN": TOKEN}


@pytest.fixture
def filled(database: Engine) -> Engine:
    fill(database)
    return with_credentials(database)


@pytest.fixture
def server(filled: Engine) -> Iterator[ReferenceServer]:
    with running(filled) as server:
        yield server


@pytest.fixture
def sqlite_server(sqlite: Engine) -> Iterator[ReferenceServer]:
    fill(sqlite)
    with running(with_credentials(sqlite)) as server:
        yield server


def with_credentials(engine: Engine) -> Engine:
    powerauth.add_integrations(engine, [powerauth.Integration("id", "reconcile", USER, TOKEN)])
    return engine


def reconcile(app: Flask, server: ReferenceServer, *arguments: str, **options: Any) -> Result:
    options.setdefault("env", VARIABLE)
    return command(app, "reconcile", "--server", server.url, "--user", USER, *arguments, **options)


def compared(app: Flask, server: ReferenceServer, *arguments: str) -> dict[str, Any]:
    result = reconcile(app, server, "--json", *arguments)
    document: dict[str, Any] = json.loads(result.stdout)
    assert document["exitCode"] == result.exit_code
    return document


def one_more_use(engine: Engine, number: int) -> None:
    used = powerauth.wall_clock(now(), UTC)
    rows = [powerauth.Activation(f"new-{number}", 1, f"new-user-{number}", used)]
    powerauth.add_activations(engine, rows)


def test_equal_numbers_are_a_table_and_exit_code_0(filled: Engine, server: ReferenceServer) -> None:
    result = reconcile(app_of(filled), server)

    assert (result.exit_code, result.stderr) == (0, "")
    heading, *rows = result.stdout.splitlines()
    assert heading.split("  ")[0] == "application"
    assert [row.split() for row in rows] == [
        [name, days, users, users, users, "equal"]
        for name in ("corporate", "retail")
        for days, users in (("7", "7"), ("30", "30"), ("90", "30"), ("365", "30"))
    ]
    path, authorization, body = server.requests[0]
    assert path == f"{BASE}/v3/telemetry/report"
    assert authorization == basic(f"{USER}:{TOKEN}")
    assert body == {
        "requestObject": {
            "name": "USERS_IN_PAST_DAYS",
            "parameters": {"application": "corporate", "days": 7},
        }
    }


def test_account_of_five_columns_is_enough(postgresql: Engine) -> None:
    fill(postgresql)
    with running(with_credentials(postgresql)) as server, role(postgresql, *LEAST) as reader:
        assert reconcile(app_of(reader), server).exit_code == 0


def test_difference_is_explained_by_the_seconds_between(
    filled: Engine, server: ReferenceServer
) -> None:
    numbers = iter(range(100))
    server.before = lambda: one_more_use(filled, next(numbers))

    document = compared(app_of(filled), server, "--application", "retail", "--days", "7,30")

    assert document["exitCode"] == 0
    assert document["hints"] == []
    assert [row["verdict"] for row in document["comparisons"]] == ["explained", "explained"]
    row = document["comparisons"][0]
    assert row["before"] < row["server"] < row["after"]


def test_kept_results_are_not_compared(filled: Engine, server: ReferenceServer) -> None:
    app = app_of(filled)
    assert ask(app.test_client(), parameters={"application": "retail"}).status_code == 200
    one_more_use(filled, 1)

    row = compared(app, server, "--application", "retail", "--days", "30")["comparisons"][0]

    assert (row["before"], row["server"], row["after"]) == (31, 31, 31)


@pytest.mark.parametrize(
    ("zone", "offset"),
    [
        ("Asia/Tokyo", "UTC+09:00"),
        ("America/Bogota", "UTC-05:00"),
        ("Asia/Kolkata", "UTC+05:30"),
        ("UTC", "UTC+00:00"),
    ],
)
def test_wrong_zone_is_named(database: Engine, zone: str, offset: str) -> None:
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail"])
    shown = powerauth.wall_clock(now(), ZoneInfo(zone))
    uses = [
        powerauth.Activation(
            f"a-{number}", 1, f"u-{number}", shown - timedelta(minutes=15 * number)
        )
        for number in range(150)
    ]
    powerauth.add_activations(database, uses)
    other = "Asia/Kathmandu"

    with running(with_credentials(database), zone=ZoneInfo(zone)) as server:
        wrong = compared(app_of(database, DATABASE_TIMEZONE=other), server, "--days", "1,2")
        right = compared(app_of(database, DATABASE_TIMEZONE=zone), server, "--days", "1,2")

    assert wrong["exitCode"] == 1
    start, end = "retail: in every window our number is PowerAuth Server's in the zone ", ": set"
    assert wrong["hints"][0].startswith(start)
    named = wrong["hints"][0].removeprefix(start).partition(end)[0].split(" or ")
    assert zone in named or (len(named) == 11 and named[-1].endswith(f", at {offset}"))
    assert other not in wrong["hints"][0]
    assert "set POWERAUTH_TELEMETRY_DATABASE_TIMEZONE to" in wrong["hints"][0]
    assert right["exitCode"] == 0


def test_wrong_zone_is_named_where_windows_reach_over_a_change_of_clock(database: Engine) -> None:
    instant = datetime(2026, 11, 10, 12, tzinfo=UTC)  # Prague has changed its clock 16 days ago
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail"])
    shown = powerauth.wall_clock(instant, UTC)
    uses = [
        powerauth.Activation(
            f"a-{number}", 1, f"u-{number}", shown - timedelta(minutes=20 * number)
        )
        for number in range(3_000)
    ]
    powerauth.add_activations(database, uses)
    keys: dict[str, Any] = {"DATABASE_TIMEZONE": "Europe/Prague", "clock": lambda: instant}

    with running(with_credentials(database), clock=lambda: instant) as server:
        wrong = compared(app_of(database, **keys), server, "--days", "7,30,40")

    assert wrong["exitCode"] == 1
    assert " in the zone UTC or Africa/Abidjan or " in wrong["hints"][0]
    assert not {"Africa/Lagos", "Europe/London", "Europe/Prague"} & {*wrong["hints"][0].split()}


def test_bind_that_the_report_reads_is_compared(sqlite: Engine, postgresql: Engine) -> None:
    fill(postgresql)
    powerauth.create_schema(sqlite)
    keys: dict[str, Any] = {
        "BINDS": {"copy": url_of(postgresql)},
        "REPORT_BINDS": {"USERS_IN_PAST_DAYS": "copy"},
    }

    with running(with_credentials(postgresql)) as server:
        assert compared(app_of(sqlite, **keys), server)["exitCode"] == 0


def test_wrong_zone_is_named_while_people_log_in(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    shown = powerauth.wall_clock(now(), UTC)
    uses = [
        powerauth.Activation(f"a-{number}", 1, f"u-{number}", shown - timedelta(minutes=number))
        for number in range(2_000)
    ]
    powerauth.add_activations(sqlite, uses)
    numbers = iter(range(100))

    with running(with_credentials(sqlite)) as server:
        server.before = lambda: one_more_use(sqlite, next(numbers))
        app = app_of(sqlite, DATABASE_TIMEZONE="America/Bogota")
        document = compared(app, server, "--days", "1,2")

    assert document["exitCode"] == 1
    assert " in the zone UTC or " in document["hints"][0]


def test_names_that_differ_in_case_alone_are_a_difference(
    sqlite_server: ReferenceServer, sqlite: Engine
) -> None:
    with sqlite.begin() as connection:
        connection.exec_driver_sql("INSERT INTO pa_application (id, name) VALUES (3, 'RETAIL ')")
        connection.exec_driver_sql(
            "UPDATE pa_activation SET application_id = 3 WHERE user_id = 'user-2'"
        )
    known = sqlite_server.users

    def ignoring_case(application: str, days: int) -> int:
        return known("retail", days) + known("RETAIL ", days)

    sqlite_server.users = ignoring_case  # type: ignore[method-assign]

    result = reconcile(app_of(sqlite), sqlite_server, "--application", "retail")

    assert result.exit_code == 1
    assert "DIFFERENT" in result.stdout
    assert "Hint: retail: 'RETAIL ', 'retail' differ in case or blanks alone" in result.stdout


def test_application_that_the_server_does_not_know_is_a_difference(
    sqlite_server: ReferenceServer, sqlite: Engine
) -> None:
    sqlite_server.users = lambda *_: 0  # type: ignore[method-assign]

    document = compared(app_of(sqlite), sqlite_server, "--application", "retail")

    assert document["exitCode"] == 1
    assert document["hints"][0] == (
        "retail: PowerAuth Server answers 0 for an application that it doesn't know"
    )
    assert len(sqlite_server.requests) == 8  # four windows, and once more


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ((5, 5, 5), "equal"),
        ((5, 6, 7), "explained"),
        ((7, 7, 5), "explained"),
        ((5, 5, 6), "explained"),
        ((5, 6, 5), "different"),
        ((5, 8, 7), "different"),
    ],
)
def test_verdict(numbers: tuple[int, int, int], verdict: str) -> None:
    assert Comparison("retail", 30, *numbers).verdict == verdict


def test_wrong_token_is_exit_code_2(sqlite: Engine, sqlite_server: ReferenceServer) -> None:
    result = reconcile(app_of(sqlite), sqlite_server, env={"POWERAUTH_SERVER_TOKEN": "wrong"})

    assert result.exit_code == 2
    assert "it answers 401 ERR_AUTHENTICATION: Authentication failed" in result.stderr
    assert "wrong" not in result.output


def test_token_comes_from_a_file_or_a_prompt(
    sqlite: Engine, sqlite_server: ReferenceServer, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n", encoding="utf-8")
    app, none = app_of(sqlite), {"POWERAUTH_SERVER_TOKEN": None}

    by_file = reconcile(app, sqlite_server, "--token-file", str(file), env=none)
    by_input = reconcile(app, sqlite_server, "--token-file", "-", env=none, input=TOKEN + "\n")
    by_prompt = reconcile(app, sqlite_server, env=none, input=TOKEN + "\n")
    unanswered = reconcile(app, sqlite_server, env=none, input="")

    assert [one.exit_code for one in (by_file, by_input, by_prompt, unanswered)] == [0, 0, 0, 2]
    assert by_prompt.stderr.startswith("Token (client_secret):")
    assert TOKEN not in by_prompt.output


def test_without_a_user_no_credentials_are_sent(
    sqlite: Engine, sqlite_server: ReferenceServer
) -> None:
    result = command(app_of(sqlite), "reconcile", "--server", sqlite_server.url)

    assert result.exit_code == 2
    assert sqlite_server.requests[0][1] is None


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(
    sqlite: Engine, sqlite_server: ReferenceServer, status: int
) -> None:
    sqlite_server.status = status
    sqlite_server.headers = {"Location": f"{sqlite_server.url}/elsewhere"}

    result = reconcile(app_of(sqlite), sqlite_server)

    assert result.exit_code == 2
    assert f"it answers {status}" in result.stderr
    assert len(sqlite_server.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b"", "not JSON"),
        (200, b"<html>", "not JSON"),
        (200, b"{}".ljust(1024 * 1024 + 1), "not JSON of at most 1 MiB"),
        (200, b"[" * 100_000, "not JSON"),
        (200, b"{}", "is the URL the base that ends in /rest?"),
        (200, b'{"responseObject": {"reportData": {"users": "5"}}}', "not a report"),
        (200, b'{"responseObject": {"reportData": {"users": true}}}', "not a report"),
        (200, b'{"responseObject": {"reportData": {"users": -1}}}', "not a report"),
        (200, b'{"responseObject": {"reportData": {"users": 1%s}}}' % (b"0" * 400), "not a report"),
        (200, b'{"responseObject": {"reportData": {"users": 5, "days": 6}}}', "or window: does"),
        (200, b'{"responseObject": {"reportData": {"users": 5, "application": ""}}}', "or window"),
        (404, b"", "does the URL end in /rest?"),
        (500, b"\xff", "it answers 500"),
        (503, b'{"responseObject": {"code": "C", "message": "a\\u001bb"}}', r"503 C: a\x1bb"),
    ],
)
def test_answer_that_is_no_report_is_exit_code_2(
    sqlite: Engine, sqlite_server: ReferenceServer, status: int, body: bytes, told: str
) -> None:
    sqlite_server.status, sqlite_server.body = status, body

    result = reconcile(app_of(sqlite), sqlite_server)

    assert result.exit_code == 2
    assert told in result.stderr


def test_server_that_does_not_answer_is_exit_code_2(
    sqlite: Engine, sqlite_server: ReferenceServer
) -> None:
    app = app_of(sqlite)
    down = command(app, "reconcile", "--server", "http://127.0.0.1:1/rest")
    sqlite_server.before = lambda: time.sleep(1)

    slow = reconcile(app, sqlite_server, "--timeout", "0.2")

    assert (down.exit_code, slow.exit_code) == (2, 2)
    assert "no answer" in down.stderr
    assert "(check --server, and that this host may reach it)" in down.stderr
    assert "no answer" in slow.stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://powerauth.example.com/rest",
        "http://localhost.example.com/rest",
        "http://[::2]/rest",
        "https://user:secret@powerauth.example.com/rest",
        "ftp://powerauth.example.com/rest",
        "file:///rest",
        "powerauth.example.com/rest",
        "https:///rest",
        "https://powerauth.example.com:port/rest",
        "https://powerauth.example.com/rest?a=b",
        "https://[powerauth/rest",
    ],
)
def test_url_that_is_not_safe_is_refused(url: str) -> None:
    with pytest.raises(CannotAsk) as refused:
        PowerAuthServer(url, None, timeout=1)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://powerauth.example.com/rest/",
        "http://localhost:8080/rest",
        "http://127.8.9.1/rest",
        "http://[::1]:8080/rest",
    ],
)
def test_url_that_is_safe_is_taken(url: str) -> None:
    PowerAuthServer(url, None, timeout=1)


def test_http_can_be_allowed() -> None:
    PowerAuthServer("http://powerauth.example.com/rest", None, timeout=1, plain_http=True)


@pytest.mark.parametrize("days", ["", "0", "366", "7;30", "7,,30", "-1"])
def test_days_out_of_range_are_refused(sqlite: Engine, days: str) -> None:
    app = app_of(sqlite)
    result = command(app, "reconcile", "--server", "https://HOST/rest", "--days", days)

    assert result.exit_code == 2
    assert "use whole numbers from 1 to 365" in result.stderr


def test_application_that_we_do_not_know_is_exit_code_2(
    sqlite: Engine, sqlite_server: ReferenceServer
) -> None:
    result = reconcile(app_of(sqlite), sqlite_server, "--application", "Retail")

    assert result.exit_code == 2
    assert "there is no application 'Retail' in our database" in result.stderr


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_nothing_to_compare_is_exit_code_2(
    sqlite: Engine, sqlite_server: ReferenceServer, options: tuple[str, ...]
) -> None:
    with sqlite.begin() as connection:
        connection.exec_driver_sql("DELETE FROM pa_activation")
        connection.exec_driver_sql("DELETE FROM pa_application")

    result = reconcile(app_of(sqlite), sqlite_server, *options)

    assert result.exit_code == 2
    assert "there is no application in our database: see that it is PowerAuth's" in result.stderr


def test_our_database_that_is_down_is_exit_code_2() -> None:
    app = create_app(DATABASE_URL="postgresql+psycopg://telemetry:pass-word@127.0.0.1:1/p")

    result = command(app, "reconcile", "--server", "https://powerauth.example.com/rest")

    assert result.exit_code == 2
    assert "our database: OperationalError" in result.stderr
    assert "pass-word" not in result.stderr


@pytest.mark.parametrize("option", ["--time-limit", "--timeout"])
@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "2000001", "1e300", "soon"])
def test_time_limit_that_is_none_is_a_wrong_use(
    sqlite: Engine, sqlite_server: ReferenceServer, option: str, seconds: str
) -> None:
    result = reconcile(app_of(sqlite), sqlite_server, option, seconds)

    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Invalid value for '{option}'" in result.stderr


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.invalid", "\udcff.invalid"])
def test_host_that_is_none_is_exit_code_2(sqlite: Engine, host: str) -> None:
    fill(sqlite)
    url = f"https://{host}/rest"

    result = command(app_of(sqlite), "reconcile", "--server", url, "--application", "retail")

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: PowerAuth Server: no answer: ")


def test_token_that_is_no_text_is_exit_code_2_and_shows_nothing_of_it(
    sqlite: Engine, sqlite_server: ReferenceServer, tmp_path: Path
) -> None:
    (tmp_path / "token").write_bytes(b"secret\xff")
    in_a_file = ["--token-file", str(tmp_path / "token")]
    wrong: list[tuple[list[str], dict[str, str]]] = [
        (in_a_file, {}),
        ([], {"POWERAUTH_SERVER_TOKEN": "secret\udcff"}),
    ]
    for arguments, variables in wrong:
        result = reconcile(app_of(sqlite), sqlite_server, *arguments, env=variables)
        told = "Error: the user name and the token must be text in UTF-8\n"
        assert (result.exit_code, result.stderr) == (2, told)
