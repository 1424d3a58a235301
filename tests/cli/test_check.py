"""``flask telemetry check`` finds what is wrong, and says what to do."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from marshmallow import Schema
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from flask_powerauth_telemetry import PowerAuthTelemetry, ReportContext, ReportProvider
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.cli.checks.findings import Target, duration
from flask_powerauth_telemetry.cli.checks.numbers import fitting_offset
from flask_powerauth_telemetry.cli.counts import Seen, run_pass
from flask_powerauth_telemetry.reports.activity import ActivityProfile, read_profile
from tests.support import powerauth
from tests.support.commands import (
    CHECKS,
    LEAST,
    SEPARATELY,
    app_of,
    command,
    fill,
    findings,
    levels,
    now,
    of_check,
    role,
)
from tests.support.service import CREDENTIALS, create_app, recorded_statements, url_of

TIMEZONE = "POWERAUTH_TELEMETRY_DATABASE_TIMEZONE"


class Audit(ReportProvider):
    """A report that reads a table of which it names no columns."""

    name = "AUDIT"
    definition = "Nothing."
    parameters_schema = Schema
    data_schema = Schema
    tables = ("pa_signature_audit", "weather")

    def __init__(self, bind: str | None = None) -> None:
        self.bind = bind

    def generate(self, context: ReportContext) -> Mapping[str, Any]:
        return {}


pytestmark = pytest.mark.usefixtures("server_clock")


def test_account_of_five_columns_is_all_right(postgresql: Engine) -> None:
    fill(postgresql)
    with role(postgresql, *LEAST) as reader:
        found = findings(app_of(reader), "--verify")

    assert levels(found) == {
        "keys": {"ok"},
        "connection": {"ok"},
        "tables": {"ok"},
        "reports": {"ok"},
        "secrets": {"ok"},
        "read-only": {"ok"},
        "server": {"note"},
        "clock": {"ok"},
        "indexes": {"ok"},
        "scopes": {"ok"},
        "routes": {"ok"},
        "pass": {"ok"},
        "zone": {"ok"},
        "cost": {"ok"},
        "verify": {"ok"},
    }
    order = [finding["check"] for finding in found]
    assert order == sorted(order, key=CHECKS.index)
    assert {finding["database"] for finding in found} == {"main"}
    assert [finding["facts"]["application"] for finding in found if finding["check"] == "pass"] == [
        "corporate",
        "retail",
    ]
    assert of_check(found, "indexes")["facts"] == {"indexes": [["application_id"], ["user_id"]]}


def test_sqlite_is_all_right(sqlite: Engine) -> None:
    fill(sqlite)
    result = command(app_of(sqlite), "check", "--verify")

    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    assert {line.split()[1] for line in lines} == set(CHECKS) - {"history"}
    assert "retail: the same as PowerAuth Server's SQL (1 in 1, 30 in 30, 30 in 90" in lines[-1]


def test_account_that_reads_secrets_is_a_loud_warning(postgresql: Engine) -> None:
    fill(postgresql)
    everything = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    with role(postgresql, everything) as reader:
        found = findings(app_of(reader), "--no-pass")
        lines = command(app_of(reader), "check", "--no-pass").output.splitlines()

    secrets = of_check(found, "secrets")
    assert secrets["level"] == "warning"
    assert {
        "public.pa_activation.server_private_key_base64",
        "public.pa_integration.client_secret",
    } <= set(secrets["facts"]["columns"])
    assert of_check(found, "read-only")["level"] == "ok"
    (line,) = [line for line in lines if line.startswith("WARNING")]
    assert "THIS ACCOUNT CAN READ SECRETS: " in line


def test_secrets_behind_a_view_are_found(postgresql: Engine) -> None:
    fill(postgresql)
    with postgresql.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA reporting")
        connection.exec_driver_sql("CREATE VIEW reporting.used AS SELECT * FROM pa_activation")
    grants = (LEAST[0], "GRANT USAGE ON SCHEMA reporting TO {role}")
    with role(postgresql, *grants, "GRANT SELECT ON reporting.used TO {role}") as reader:
        views = {"pa_activation": "reporting.used"}
        found = findings(app_of(reader, TABLES=views), "--verify")

    assert of_check(found, "secrets")["facts"]["columns"][0].startswith("reporting.used.")
    assert of_check(found, "indexes")["level"] == "note"
    assert levels(found)["verify"] == {"ok"}


def test_account_that_could_write_is_a_warning(postgresql: Engine) -> None:
    fill(postgresql)
    grant = "GRANT UPDATE (timestamp_last_used) ON pa_activation TO {role}"
    with role(postgresql, *LEAST, grant) as reader:
        found = findings(app_of(reader), "--no-pass")

    assert of_check(found, "read-only")["level"] == "warning"
    assert of_check(found, "read-only")["facts"] == {"tables": ["public.pa_activation"]}


def test_missing_privilege_is_an_error_that_names_columns(postgresql: Engine) -> None:
    fill(postgresql)
    with role(postgresql, LEAST[0], LEAST[1].replace(", timestamp_last_used", "")) as reader:
        found = findings(app_of(reader))

    application, activation = (finding for finding in found if finding["check"] == "tables")
    assert application["level"] == "ok"
    assert activation["level"] == "error"
    assert "permission denied for table pa_activation" in activation["message"]
    assert "Grant SELECT (application_id, user_id, timestamp_last_used)" in activation["cure"]
    assert {finding["level"] for finding in found if finding["check"] == "pass"} == {"error"}
    assert "zone" not in levels(found)


def test_missing_table_is_an_error(database: Engine) -> None:
    powerauth.create_schema(database)
    with database.begin() as connection:
        connection.exec_driver_sql("DROP TABLE pa_activation")
        connection.exec_driver_sql("DROP TABLE pa_application")

    found = findings(app_of(database))

    assert levels(found)["tables"] == {"error"}
    assert of_check(found, "pass")["level"] == "error"
    assert "pa_application" in of_check(found, "pass")["message"]
    assert of_check(found, "indexes")["level"] == "note"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://telemetry:pass-word@127.0.0.1:1/powerauth",
        "sqlite:////dev/null/powerauth.sqlite",
    ],
)
def test_database_that_is_down_is_one_error(url: str) -> None:
    app = create_app(DATABASE_URL=url)

    keys, finding = findings(app)
    assert keys["level"] == "ok"
    output = command(app, "check").output

    assert (finding["check"], finding["level"]) == ("connection", "error")
    assert "POWERAUTH_TELEMETRY_DATABASE_URL" in finding["cure"]
    assert len(output.splitlines()) == 2
    assert "pass-word" not in output


def test_every_bind_is_checked_though_one_is_down(sqlite: Engine) -> None:
    fill(sqlite)
    binds = {"audit": "sqlite:////dev/null/audit.sqlite", "spare": url_of(sqlite)}

    found = findings(app_of(sqlite, BINDS=binds), "--no-pass")

    audit = [finding for finding in found if finding["database"] == "audit"]
    assert [finding["level"] for finding in audit] == ["error"]
    assert "POWERAUTH_TELEMETRY_BINDS['audit']" in audit[0]["cure"]
    spare = {finding["check"]: finding for finding in found if finding["database"] == "spare"}
    assert spare["tables"]["level"] == "warning"
    assert spare["tables"]["message"] == "nothing reads this database"
    assert "indexes" not in spare


def test_tables_of_other_reports_are_checked(postgresql: Engine) -> None:
    fill(postgresql)
    arguments = {"providers": [Audit()]}
    with role(postgresql, *LEAST) as reader:
        app = app_of(reader, arguments=arguments)
        refused = [finding for finding in findings(app, "--no-pass") if finding["level"] == "error"]
        with postgresql.begin() as connection:
            connection.exec_driver_sql(
                f"GRANT SELECT (id) ON pa_signature_audit TO {reader.url.username}"
            )
        found = findings(app, "--no-pass")

    (finding,) = refused
    assert "pa_signature_audit is not readable, for AUDIT" in finding["message"]
    tables = {finding["message"]: finding["level"] for finding in found}
    assert tables["pa_signature_audit is readable, for AUDIT"] == "ok"
    assert tables["weather is no table of PowerAuth that reports may read"] == "note"


def test_columns_that_a_report_names_are_checked(postgresql: Engine) -> None:
    fill(postgresql)
    with role(postgresql, *LEAST) as reader:
        app = app_of(reader, REPORTS=["COMMITTED_USERS_IN_PAST_DAYS"])
        found = findings(app, "--no-pass")

    refused, unanswered = (finding for finding in found if finding["level"] == "error")
    assert "activation_status" in refused["message"]
    assert "is not readable, for COMMITTED_USERS_IN_PAST_DAYS" in refused["message"]
    assert unanswered["message"].startswith("COMMITTED_USERS_IN_PAST_DAYS would answer 500: ")


@pytest.mark.parametrize(("hours", "offset"), [(2, "UTC+02:00"), (5.5, "UTC+05:30")])
def test_uses_ahead_of_now_are_an_error_that_names_the_offset(
    database: Engine, hours: float, offset: str
) -> None:
    fill(database, hours_ahead=hours)

    zone = of_check(findings(app_of(database)), "zone")

    assert zone["level"] == "error"
    assert f"Set {TIMEZONE} to the zone of PowerAuth's JVM: now it is at {offset}" in zone["cure"]
    assert zone["facts"]["aheadSeconds"] == pytest.approx(hours * 3600 - 60, abs=30)
    newest = datetime.fromisoformat(zone["facts"]["newestUse"])
    assert f"{newest:%Y-%m-%d %H:%M:%S}" in zone["message"]


def test_zone_that_fits_is_all_right(database: Engine) -> None:
    fill(database, hours_ahead=3)  # Moscow has had this offset all year since 2014

    found = findings(app_of(database, DATABASE_TIMEZONE="Europe/Moscow"))

    assert of_check(found, "zone")["level"] == "ok"


@pytest.mark.parametrize(
    ("hours", "said"), [(-3, "at UTC-03:00 or more"), (-40, "copy is no longer fed")]
)
def test_uses_long_ago_are_a_note(database: Engine, hours: float, said: str) -> None:
    fill(database, hours_ahead=hours)

    zone = of_check(findings(app_of(database)), "zone")

    assert zone["level"] == "note"
    assert zone["cure"].endswith(said)


def test_database_without_applications_or_uses_is_a_warning(database: Engine) -> None:
    powerauth.create_schema(database)
    app = app_of(database)
    for option in ("--pass", "--no-pass"):
        empty = of_check(findings(app, option), "reports")
        assert (empty["level"], empty["message"]) == ("warning", "there is no application")

    powerauth.add_applications(database, ["retail", "corporate"])
    found = findings(app)

    warnings = [one for one in found if one["check"] == "pass" and one["level"] == "warning"]
    assert [one["message"] for one in warnings] == [
        "0 users in 30 days in each of: corporate, retail"
    ]
    assert of_check(found, "zone")["level"] == "note"


@pytest.mark.parametrize(
    ("newest", "offset"),
    [
        (timedelta(minutes=-1), "UTC+00:00"),
        (timedelta(hours=2), "UTC+02:00"),
        (timedelta(hours=5, minutes=31), "UTC+05:45"),
        (timedelta(hours=-9, minutes=-31), "UTC-09:30"),
        (timedelta(hours=14, minutes=1), None),
        (timedelta(hours=-13), None),
    ],
)
def test_offset_that_fits(newest: timedelta, offset: str | None) -> None:
    instant = datetime(2026, 7, 1, 12, tzinfo=UTC)

    assert fitting_offset(instant.replace(tzinfo=None) + newest, instant) == offset


def test_clocks_that_differ_are_a_warning(postgresql: Engine) -> None:
    fill(postgresql)
    app = app_of(postgresql, clock=lambda: now() - timedelta(seconds=30))

    clock = of_check(findings(app, "--no-pass"), "clock")

    assert clock["level"] == "warning"
    assert clock["facts"]["aheadSeconds"] == pytest.approx(30, abs=3)
    assert clock["message"].endswith("ahead")


def test_index_that_slows_logins_is_noted(postgresql: Engine) -> None:
    fill(postgresql)
    with postgresql.begin() as connection:
        connection.exec_driver_sql(
            "CREATE INDEX covering ON pa_activation (application_id, timestamp_last_used)"
            " INCLUDE (user_id)"
        )
        connection.exec_driver_sql("CREATE INDEX folded ON pa_activation (lower(user_id))")

    indexes = of_check(findings(app_of(postgresql), "--no-pass"), "indexes")

    assert indexes["level"] == "note"
    assert ["application_id", "timestamp_last_used", "user_id"] in indexes["facts"]["indexes"]
    assert ["an expression"] in indexes["facts"]["indexes"]
    assert "slows every authentication" in indexes["cure"]


def test_estimated_size_is_told_once_the_table_is_analysed(postgresql: Engine) -> None:
    fill(postgresql)
    app = app_of(postgresql)
    assert of_check(findings(app), "cost")["message"].startswith("at worst 6 passes every 60 s")
    with postgresql.begin() as connection:
        connection.exec_driver_sql("ANALYZE pa_activation")

    cost = of_check(findings(app), "cost")

    assert cost["message"].startswith("about 80 activations in 1 MB; at worst 6 passes")
    assert cost["facts"]["passes"] == 6
    assert 0 < cost["facts"]["secondsAMinute"] < 60


def test_cost_depends_on_the_configuration(sqlite: Engine) -> None:
    fill(sqlite)
    nothing_kept = of_check(findings(app_of(sqlite, CACHE_SECONDS=0)), "cost")
    often = of_check(findings(app_of(sqlite, CACHE_SECONDS=0.001)), "cost")

    assert nothing_kept["level"] == often["level"] == "warning"
    assert "POWERAUTH_TELEMETRY_CACHE_SECONDS is 0" in nothing_kept["message"]


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "2000001"])
def test_time_limit_that_no_database_takes_is_a_wrong_use(sqlite: Engine, seconds: str) -> None:
    result = command(app_of(sqlite), "check", "--time-limit", seconds)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for '--time-limit'" in result.stderr


def test_pass_near_its_time_limit_is_a_warning(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sqlite)

    def slowly(*arguments: Any) -> Seen:
        return replace(run_pass(*arguments), seconds=0.3)

    monkeypatch.setattr("flask_powerauth_telemetry.cli.checks.numbers.run_pass", slowly)

    found = findings(app_of(sqlite, STATEMENT_TIMEOUT=0.5), "--application", "retail")

    assert of_check(found, "pass")["level"] == "warning"
    assert of_check(found, "pass")["facts"]["seconds"] == 0.3


def test_pass_beyond_its_time_limit_is_an_error_with_cures(postgresql: Engine) -> None:
    fill(postgresql)
    with postgresql.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE pa_activation RENAME TO slow;"
            " CREATE VIEW pa_activation AS SELECT slow.* FROM slow, pg_sleep(5)"
        )

    found = findings(app_of(postgresql), "--time-limit", "0.2", "--application", "retail")

    slow = of_check(found, "pass")
    assert slow["level"] == "error"
    assert "POWERAUTH_TELEMETRY_SOURCE = 'snapshot'" in slow["cure"]
    assert "POWERAUTH_TELEMETRY_STATEMENT_TIMEOUT" in slow["cure"]


def test_no_pass_leaves_the_activations_alone(sqlite: Engine) -> None:
    fill(sqlite)
    app = app_of(sqlite)
    with recorded_statements() as statements:
        found = findings(app, "--no-pass")

    assert not {"pass", "zone", "cost", "verify"} & set(levels(found))
    reads = [statement for statement in statements if "FROM pa_activation" in statement]
    assert reads
    assert all("WHERE 0 = 1" in statement for statement in reads)


def test_pass_reads_each_application_once(sqlite: Engine) -> None:
    fill(sqlite)
    app = app_of(sqlite)
    with recorded_statements() as statements:
        findings(app, "--width", "365")

    scans = [one for one in statements if "FROM pa_activation" in one and "0 = 1" not in one]
    assert len(scans) == 2


def test_application_that_is_not_there_is_an_error(sqlite: Engine) -> None:
    fill(sqlite)

    found = findings(app_of(sqlite), "--application", "Retail")

    assert [one["message"] for one in found if one["level"] == "error"] == [
        "there is no application 'Retail'"
    ]


def test_credentials_of_powerauth_want_a_bind_of_their_own(postgresql: Engine) -> None:
    fill(postgresql)
    integration = "GRANT SELECT (id, name, client_token, client_secret) ON pa_integration TO {role}"
    with role(postgresql, *LEAST, integration) as both:
        found = findings(app_of(both, CREDENTIALS="pa_integration"), "--no-pass")
    advice = [one for one in found if "by the account of the reports" in one["message"]]
    assert [one["level"] for one in advice] == ["warning"]
    assert "POWERAUTH_TELEMETRY_BINDS['integration']" in advice[0]["cure"]

    with role(postgresql, *LEAST) as reader, role(postgresql, integration) as credentials:
        keys = {"CREDENTIALS": "pa_integration", "BINDS": {"integration": url_of(credentials)}}
        found = findings(app_of(reader, **keys))
    assert levels(found)["secrets"] == {"ok"}
    own = [one["message"] for one in found if one["database"] == "integration"]
    assert (
        "pa_integration (id, name, client_token, client_secret) is readable,"
        " for application credentials"
    ) in own


def test_credentials_that_can_not_be_read_are_an_error(postgresql: Engine) -> None:
    fill(postgresql)
    with role(postgresql, *LEAST) as reader:
        found = findings(app_of(reader, CREDENTIALS="pa_integration"), "--no-pass")

    (refused,) = [one for one in found if one["level"] == "error"]
    assert (refused["check"], refused["database"]) == ("tables", "integration")


def test_numbers_that_differ_are_an_error(sqlite: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(sqlite)

    def one_too_many(*arguments: Any) -> ActivityProfile:
        profile = read_profile(*arguments)
        users = [number + (days == 30) for days, number in enumerate(profile.users, 1)]
        return ActivityProfile(profile.as_of, tuple(users))

    monkeypatch.setattr("flask_powerauth_telemetry.cli.checks.numbers.read_profile", one_too_many)

    found = findings(app_of(sqlite), "--no-pass", "--verify", "--application", "retail")

    wrong = of_check(found, "verify")
    assert wrong["level"] == "error"
    assert wrong["message"].startswith("retail: 30 days: 31 instead of 30 (by the pass of 30 days)")
    assert wrong["facts"]["reference"] == {"1": 1, "30": 30, "90": 30, "365": 30}
    assert [one["width"] for one in wrong["facts"]["differences"]] == [30, 90, 365]


def test_verification_that_takes_too_long_is_an_error(postgresql: Engine) -> None:
    fill(postgresql)
    app = app_of(postgresql)
    with postgresql.connect() as lock:
        lock.exec_driver_sql("LOCK TABLE pa_activation IN ACCESS EXCLUSIVE MODE")
        found = findings(app, "--no-pass", "--verify", "--time-limit", "0.2")

    assert levels(found)["verify"] == {"error"}
    assert "--time-limit" in next(one for one in found if one["check"] == "verify")["cure"]


@pytest.mark.parametrize("version", powerauth.VERSIONS)
def test_verification_agrees_on_random_rows(database: Engine, version: str) -> None:
    instant = datetime(2026, 11, 25, 12, tzinfo=UTC)
    powerauth.create_schema(database, version)
    powerauth.add_applications(database, ["retail", "corporate"])
    rows = powerauth.random_activations(5, instant, UTC, 600)
    powerauth.add_activations(database, rows)
    app = create_app(database, clock=lambda: instant)

    found = findings(app, "--no-pass", "--verify")

    verified = [finding for finding in found if finding["check"] == "verify"]
    assert [finding["level"] for finding in verified] == ["ok", "ok"]
    for number, finding in zip((2, 1), verified, strict=True):
        end = instant.replace(tzinfo=None)
        assert finding["facts"]["reference"] == {
            str(days): powerauth.count_by_hand(rows, number, end - timedelta(days=days), end)
            for days in (1, 30, 90, 365)
        }


def test_engine_of_the_host_is_checked(postgresql: Engine) -> None:
    fill(postgresql)
    app = create_app(clock=now, arguments={"engine": lambda: postgresql})

    assert levels(findings(app))["connection"] == {"ok"}


def test_engine_of_the_host_in_memory_is_checked() -> None:
    # Computations have threads of their own.
    arguments = {"check_same_thread": False}
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args=arguments)
    fill(engine)
    app = create_app(clock=now, arguments={"engine": engine})

    found = findings(app)

    assert of_check(found, "read-only")["message"] == "as engine= was made"
    assert levels(found)["reports"] == {"ok"}
    engine.dispose()


def test_instance_is_chosen_by_name(sqlite: Engine) -> None:
    fill(sqlite)
    app = app_of(sqlite)
    for key in ("DATABASE_URL", "CREDENTIALS"):
        app.config[f"POWERAUTH_TELEMETRY_EMEA_{key}"] = app.config[f"POWERAUTH_TELEMETRY_{key}"]
    app.config["POWERAUTH_TELEMETRY_EMEA_URL_PREFIX"] = "/emea"
    app.config["POWERAUTH_TELEMETRY_EMEA_CACHE_SECONDS"] = 0
    emea = PowerAuthTelemetry(app, name="emea", clock=now)

    assert of_check(findings(app), "cost")["level"] == "ok"
    assert of_check(findings(app, "--instance", "emea"), "cost")["level"] == "warning"
    unknown = command(app, "check", "--instance", "apac")
    assert unknown.exit_code == 2
    assert "no instance 'apac' (it has: emea, powerauth_telemetry)" in unknown.output
    emea.close(app)


def flask(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FLASK_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "flask", "--app", "host", "telemetry", *arguments],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


HOST = """
from flask import Flask
from flask_powerauth_telemetry import PowerAuthTelemetry

app = Flask(__name__)
app.config.from_prefixed_env()
PowerAuthTelemetry(app)
"""


def test_command_of_a_real_application(postgresql: Engine, tmp_path: Path) -> None:
    fill(postgresql)
    (tmp_path / "host.py").write_text(HOST, encoding="utf-8")
    credentials = {"FLASK_POWERAUTH_TELEMETRY_CREDENTIALS": json.dumps(CREDENTIALS)}
    with role(postgresql, *LEAST) as reader:
        url = {"FLASK_POWERAUTH_TELEMETRY_DATABASE_URL": url_of(reader)}
        good = flask(tmp_path, "check", "--verify", **credentials, **url)
    unconfigured = flask(tmp_path, "check", **credentials)
    (tmp_path / "host.py").write_text("raise RuntimeError('no such luck')", encoding="utf-8")
    broken = flask(tmp_path, "check")

    assert (good.returncode, good.stderr) == (0, "")
    assert "ok      connection main: connected to postgresql" in good.stdout
    assert unconfigured.returncode == 2
    assert unconfigured.stderr.startswith(
        "Error: POWERAUTH_TELEMETRY_DATABASE_URL: no database is configured,"
    )
    assert broken.returncode == 2
    assert "no such luck" in broken.stderr


@pytest.mark.parametrize("dialect", ["oracle", "mssql"])
def test_databases_that_are_not_run_are_checked_by_selecting(
    postgresql: Engine, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(postgresql)
    monkeypatch.setattr(Target, "dialect", dialect)

    everything = findings(app_of(postgresql))
    with role(postgresql, *LEAST) as reader:
        least = findings(app_of(reader))

    assert of_check(everything, "secrets")["facts"]["columns"] == [
        "pa_activation.server_private_key_base64",
        "pa_activation.ctr_data",
        "pa_activation.activation_otp",
        "pa_activation.shared_secret",
        "pa_activation.biometric_factor_key",
        "pa_activation.knowledge_factor_key",
        "pa_integration.client_secret",
    ]
    assert of_check(least, "secrets")["level"] == "ok"
    assert {name: levels(least)[name] for name in ("read-only", "server", "clock")} == {
        "read-only": {"note"},
        "server": {"note"},
        "clock": {"ok"},
    }


def test_bug_is_exit_code_2_with_its_traceback(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sqlite)
    monkeypatch.setattr("flask_powerauth_telemetry.cli.checks.databases.check_connection", None)

    result = app_of(sqlite).test_cli_runner(**SEPARATELY).invoke(args=["telemetry", "check"])

    assert result.exit_code == 2
    assert "TypeError" in result.stderr


def test_durations_are_told_in_milliseconds_below_a_second() -> None:
    assert [duration(0.0123), duration(1.26)] == ["12 ms", "1.3 s"]


def test_history_is_checked_where_it_is_the_source(sqlite: Engine, tmp_path: Path) -> None:
    fill(sqlite)
    moving = [now()]
    keys: dict[str, Any] = {"BINDS": {"history": f"sqlite:///{tmp_path / 'history.sqlite'}"}}
    recorder = create_app(sqlite, clock=lambda: moving[0], **keys)
    assert recorder.test_cli_runner().invoke(args=["telemetry", "snapshot"]).exit_code == 0
    app = create_app(SOURCE="snapshot", clock=lambda: moving[0], **keys)

    young = app.test_cli_runner().invoke(args=["telemetry", "check"])
    moving[0] += timedelta(days=2)
    old = app.test_cli_runner().invoke(args=["telemetry", "check"])
    names = app.test_cli_runner().invoke(args=["telemetry", "applications"])

    assert (young.exit_code, old.exit_code, names.exit_code) == (0, 2, 2)
    assert re.search(r"ok +history +history: retail: the newest .* 0\.0 h old", young.output)
    assert "48.0 h old: too old to answer from" in old.output
    assert "DATABASE_URL: no database is configured" in names.output


def test_scopes_are_listed_with_what_each_principal_sees(sqlite: Engine) -> None:
    fill(sqlite)
    keys: dict[str, Any] = {
        "CREDENTIALS": {name: digest(name) for name in ("billing", "crm", "shop")},
        "SCOPES": {"crm": ["Retail", "corporate"], "*": ["retail", "closed down"]},
    }
    app = create_app(sqlite, clock=now, **keys)

    found = [one for one in findings(app, "--no-pass") if one["check"] == "scopes"]

    assert [(one["level"], one["message"]) for one in found] == [
        ("ok", "billing sees retail"),
        ("ok", "crm sees corporate"),
        ("ok", "shop sees retail"),
        ("warning", "the scope of crm names what is no application: Retail"),
        ("warning", "the scope of * names what is no application: closed down"),
    ]
    assert all("corporate, retail" in one["cure"] for one in found if one["cure"])


def test_who_is_not_named_in_scopes_is_told_at_the_start(
    sqlite: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    fill(sqlite)
    credentials = {name: digest(name) for name in ("billing", "crm")}

    app = create_app(sqlite, clock=now, CREDENTIALS=credentials, SCOPES={"crm": ["retail"]})

    assert (
        "POWERAUTH_TELEMETRY_SCOPES has no entry *: no application is seen by billing"
        in caplog.text
    )
    found = [one for one in findings(app, "--no-pass") if one["check"] == "scopes"]
    assert [one["message"] for one in found] == ["billing sees no application", "crm sees retail"]
