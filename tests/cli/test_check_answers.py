"""``flask telemetry check`` asks what each enabled report will ask: no ok beside a 4xx or 5xx."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, redirect, request
from marshmallow import Schema, fields, validate
from sqlalchemy import Engine, func, select, text

from flask_powerauth_telemetry import ApplicationField, ReportContext, ReportProvider
from flask_powerauth_telemetry.reports import FURTHER_REPORTS
from tests.support import powerauth
from tests.support.commands import LEAST, app_of, fill, findings, now, role
from tests.support.service import ask, create_app, recorded_statements, url_of
from tests.support.stranger import StrangersDevices

BEFORE_2_2 = (
    *LEAST,
    "GRANT SELECT (activation_id) ON pa_activation TO {role}",
    "GRANT SELECT (activation_id, valid, signature_type, timestamp_created)"
    " ON pa_signature_audit TO {role}",
)


def levels_of(found: list[dict[str, Any]], report: str) -> set[str]:
    own = [one for one in found if one["check"] == "reports" and one["facts"]["report"] == report]
    return {one["level"] for one in own}


def error_of(found: list[dict[str, Any]], report: str) -> dict[str, Any]:
    (error,) = [
        one
        for one in found
        if one["check"] == "reports" and one["level"] == "error" and report in one["message"]
    ]
    return error


class Devices(ReportProvider):
    """A stranger's report; what it runs is given."""

    name = "DEVICES"
    definition = "Devices."
    parameters_schema = Schema.from_dict({"application": ApplicationField()})
    data_schema = Schema.from_dict({"devices": fields.Integer(required=True)})

    def __init__(self, count: Callable[[ReportContext, str], Any]) -> None:
        self._count = count

    def generate(self, context: ReportContext, application: str) -> Mapping[str, Any]:
        return {"devices": self._count(context, application)}


def by_text(statement: str) -> Callable[[ReportContext, str], Any]:
    return lambda context, _: context.connection.scalar(text(statement))


def by_first_row(context: ReportContext, application: str) -> Any:
    column = context.tables.pa_activation.c
    known = column.application_id == context.application(application).id
    row = context.connection.execute(select(column.activation_status).where(known)).first()
    assert row is not None
    return row[0]


def by_column(name: str) -> Callable[[ReportContext, str], Any]:
    def count(context: ReportContext, application: str) -> Any:
        known = context.tables.pa_activation.c[name].is_not(None)
        return context.connection.scalar(select(func.count()).where(known))

    return count


def failing(context: ReportContext, application: str) -> Any:
    raise KeyError("platform")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def failing_without_text(context: ReportContext, application: str) -> Any:
    raise Unprintable


def test_every_further_report_answers_without_a_row(database: Engine, tmp_path: Path) -> None:
    fill(database)
    history = {"history": f"sqlite:///{tmp_path / 'history.sqlite'}"}
    app = app_of(database, REPORTS=[*FURTHER_REPORTS], BINDS=history)
    assert app.test_cli_runner().invoke(args=["telemetry", "snapshot"]).exit_code == 0

    with recorded_statements() as statements:
        found = findings(app, "--no-pass")

    reports = [one for one in found if one["check"] == "reports"]
    assert {one["facts"]["report"] for one in reports} == {
        "CURRENT_MAU",
        "USERS_IN_PAST_DAYS",
        *FURTHER_REPORTS,
    }
    assert {one["level"] for one in reports} == {"ok"}
    assert all(one["facts"]["applications"] == ["corporate", "retail"] for one in reports)
    large = ("FROM pa_activation", "FROM pa_signature_audit")
    reads = [one for one in statements if any(table in one for table in large)]
    assert reads
    assert all("0 = 1" in one or "WHERE false" in one for one in reads)


def test_report_that_may_not_read_a_new_column_is_an_error(postgresql: Engine) -> None:
    fill(postgresql)
    with role(postgresql, *BEFORE_2_2) as reader:
        app = app_of(reader, REPORTS=["SIGNATURES_IN_PAST_DAYS"])
        found = findings(app, "--no-pass")
        parameters = {"application": "retail", "days": 30}
        answer = ask(app.test_client(), "SIGNATURES_IN_PAST_DAYS", parameters)

    assert answer.status_code == 500
    error = error_of(found, "SIGNATURES_IN_PAST_DAYS")
    assert "would answer 500: " in error["message"]
    assert "permission denied" in error["message"]
    assert (error["database"], error["facts"]["applications"]) == ("main", ["corporate", "retail"])
    assert levels_of(found, "CURRENT_MAU") == {"ok"}


def test_report_of_months_without_a_history_is_an_error(sqlite: Engine, tmp_path: Path) -> None:
    fill(sqlite)
    history = {"history": f"sqlite:///{tmp_path / 'history.sqlite'}"}
    app = app_of(sqlite, REPORTS=["USERS_IN_MONTH"], BINDS=history)

    found = findings(app, "--no-pass")
    answer = ask(app.test_client(), "USERS_IN_MONTH", {"application": "retail", "month": "2026-11"})

    assert answer.status_code == 503
    errors = {one["database"] for one in found if one["level"] == "error"}
    assert errors == {"history"}
    assert not [one for one in found if one["database"] == "history" and one["level"] == "ok"][1:]


def test_application_that_is_not_recorded_is_an_error(sqlite: Engine, tmp_path: Path) -> None:
    fill(sqlite)
    moving = [now()]
    keys: dict[str, Any] = {"BINDS": {"history": f"sqlite:///{tmp_path / 'history.sqlite'}"}}
    keys |= {"SOURCE": "snapshot", "clock": lambda: moving[0]}
    app = app_of(sqlite, **keys)
    runner = app.test_cli_runner()
    assert runner.invoke(args=["telemetry", "snapshot"]).exit_code == 0
    moving[0] += timedelta(days=3)
    snapshot = ["telemetry", "snapshot", "--application", "retail"]
    assert runner.invoke(args=snapshot).exit_code == 0
    powerauth_added = "INSERT INTO pa_application (id, name) VALUES (9, 'new')"
    with sqlite.begin() as connection:
        connection.exec_driver_sql(powerauth_added)

    found = findings(app, "--no-pass")

    history = {one["facts"]["application"]: one for one in found if one["check"] == "history"}
    assert {name: one["level"] for name, one in history.items()} == {
        "corporate": "error",
        "new": "error",
        "retail": "ok",
    }
    assert "72.0 h old: too old to answer from" in history["corporate"]["message"]
    for name, one in history.items():
        answer = ask(app.test_client(), parameters={"application": name})
        assert (answer.status_code == 200) == (one["level"] == "ok")
    asked = [one for one in found if one["check"] == "reports" and one["database"] == "history"]
    refused = {
        tuple(one["facts"]["applications"]): one["message"].partition(": ")[0]
        for one in asked
        if one["facts"]["report"] == "CURRENT_MAU" and one["level"] == "error"
    }
    assert refused == {
        ("corporate",): "CURRENT_MAU would answer 503",
        ("new",): "CURRENT_MAU would answer 400",
    }


@pytest.mark.parametrize(
    ("count", "status"),
    [
        (by_text("SELECT 7"), 200),
        (by_first_row, 200),
        (by_column("activation_status"), 200),
        (by_column("protocol"), 500),  # not before PowerAuth 1.7
        (by_text("SELECT count(*) FROM pa_devices"), 500),
        (by_text("SELECT 'seven'"), 500),
        (by_text("SELECT NULL"), 500),
        (failing, 500),
        (failing_without_text, 500),
    ],
)
def test_check_of_a_strangers_report_agrees_with_its_answer(
    database: Engine, count: Callable[[ReportContext, str], Any], status: int
) -> None:
    fill(database, version="1.4")
    app = app_of(database, arguments={"providers": [Devices(count)]})
    app.testing = False

    found = findings(app, "--no-pass")
    answer = ask(app.test_client(), "DEVICES", {"application": "retail"})

    assert answer.status_code == status
    assert levels_of(found, "DEVICES") == ({"ok"} if status == 200 else {"error"})


class OfPlatform(Devices):
    def generate(
        self, context: ReportContext, application: str, platform: str = ""
    ) -> Mapping[str, Any]:
        return super().generate(context, application)


@pytest.mark.parametrize(
    ("examples", "level"), [(["ios"], "ok"), ("ios", "note"), (7, "note"), (None, "note")]
)
def test_examples_of_a_parameter_are_a_list(sqlite: Engine, examples: Any, level: str) -> None:
    fill(sqlite)
    provider = OfPlatform(by_text("SELECT 7"))
    platform = fields.String(
        required=True, validate=validate.OneOf(["ios"]), metadata={"examples": examples}
    )
    provider.parameters_schema = Schema.from_dict(
        {"application": ApplicationField(), "platform": platform}
    )
    app = app_of(sqlite, arguments={"providers": [provider]})

    assert levels_of(findings(app, "--no-pass"), "DEVICES") == {level}


def slow(context: ReportContext, application: str) -> Any:
    by_first_row(context, application)
    return by_text(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000000000)"
        " SELECT max(n) FROM n"
    )(context, application)


def test_strangers_report_runs_for_a_short_time_whatever_the_time_limit_is(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_powerauth_telemetry.cli.checks.reports.ANSWER_SECONDS", 0.1)
    fill(sqlite)
    app = app_of(sqlite, arguments={"providers": [Devices(slow)]}, STATEMENT_TIMEOUT=600)

    found = findings(app, "--no-pass", "--time-limit", "300")

    assert levels_of(found, "DEVICES") == {"warning"}


def test_strangers_report_of_a_bind_is_asked_there(sqlite: Engine, tmp_path: Path) -> None:
    fill(sqlite)
    keys: dict[str, Any] = {"BINDS": {"copy": f"sqlite:///{tmp_path / 'empty.sqlite'}"}}
    (tmp_path / "empty.sqlite").touch()
    keys["REPORT_BINDS"] = {"STRANGERS_DEVICES": "copy"}
    app = app_of(sqlite, arguments={"providers": [StrangersDevices()]}, **keys)

    found = findings(app, "--no-pass")

    errors = {(one["check"], one["database"]) for one in found if one["level"] == "error"}
    assert errors == {("tables", "copy"), ("reports", "copy")}
    assert ask(app.test_client(), "STRANGERS_DEVICES", {"application": "retail"}).status_code == 500


def test_parameter_without_an_example_is_told(sqlite: Engine) -> None:
    fill(sqlite)
    code = fields.String(required=True, validate=validate.Regexp("[A-Z]{7}"))
    provider = Devices(by_text("SELECT 7"))
    provider.parameters_schema = Schema.from_dict({"code": code})
    app = app_of(sqlite, arguments={"providers": [provider]})

    assert levels_of(findings(app, "--no-pass"), "DEVICES") == {"note"}


def test_rows_that_a_policy_hides_are_an_error_with_its_cure(postgresql: Engine) -> None:
    fill(postgresql)
    with postgresql.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE pa_activation ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY half ON pa_activation USING (application_id = 1)"
        )
    with role(postgresql, *LEAST) as reader:
        found = findings(app_of(reader))

    wrong = [one for one in found if one["level"] == "error"]
    assert {"tables", "reports", "pass"} <= {one["check"] for one in wrong}
    assert all("BYPASSRLS" in one["cure"] for one in wrong if one["check"] in ("tables", "reports"))
    assert not [one for one in found if one["check"] == "pass" and one["level"] == "ok"]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_columns_with_a_zone_are_named_and_counted_right(postgresql: Engine, zone: str) -> None:
    fill(postgresql)
    with postgresql.begin() as connection:
        connection.exec_driver_sql(
            "CREATE SCHEMA zoned; CREATE VIEW zoned.used AS SELECT application_id, user_id,"
            " timestamp_last_used AT TIME ZONE 'UTC' AS timestamp_last_used FROM pa_activation"
        )
    app = app_of(postgresql, DATABASE_TIMEZONE=zone, TABLES={"pa_activation": "zoned.used"})

    found = findings(app, "--verify")

    (named,) = [one for one in found if one["facts"].get("columns") == ["timestamp_last_used"]]
    assert named["level"] == "note"
    assert f"which are compared in {zone}" in named["message"]
    assert {one["level"] for one in found if one["check"] in ("pass", "zone", "verify")} == {"ok"}
    users = {
        one["facts"]["application"]: one["facts"]["users"]
        for one in found
        if one["check"] == "pass"
    }
    assert users == {"corporate": 30, "retail": 30}


@pytest.mark.parametrize("ahead", ["infinity", "20000-01-01", "20 s"])
def test_uses_ahead_of_now_are_not_counted_but_told(postgresql: Engine, ahead: str) -> None:
    fill(postgresql)
    time = f"'{ahead}'" if "s" not in ahead else "now() AT TIME ZONE 'UTC' + interval '25 s'"
    with postgresql.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE pa_activation SET timestamp_last_used = {time}"
            " WHERE user_id = 'user-10' AND application_id = 1"
        )
    app = app_of(postgresql)

    found = findings(app, "--verify")
    answer = ask(app.test_client(), parameters={"application": "retail"})

    users = answer.get_json()["responseObject"]["reportData"]["users"]
    retail = next(one for one in found if one["facts"].get("application") == "retail")
    assert (retail["facts"]["users"], retail["facts"]["ahead"]) == (users, 2)
    assert retail["level"] == "warning"
    assert "2 more activations were used later than now" in retail["message"]
    assert {one["level"] for one in found if one["check"] in ("zone", "verify")} == {"ok"}


def test_uses_of_this_very_second_are_no_warning(database: Engine) -> None:
    fill(database)
    moment = [now()]

    def clock() -> Any:
        moment[0] += timedelta(milliseconds=300)  # between two looks at it
        return moment[0]

    use = powerauth.Activation(
        "later", 1, "later", (now() + timedelta(seconds=3)).replace(tzinfo=None)
    )
    powerauth.add_activations(database, [use])

    found = findings(app_of(database, clock=clock))

    assert {one["level"] for one in found if one["check"] == "pass"} <= {"ok", "note"}


def test_passes_and_zone_are_those_of_the_bind_that_reports_read(
    sqlite: Engine, postgresql: Engine
) -> None:
    fill(sqlite)
    fill(postgresql, hours_ahead=9)
    keys: dict[str, Any] = {
        "BINDS": {"copy": {"url": url_of(postgresql), "timezone": "Asia/Tokyo"}},
        "REPORT_BINDS": {"CURRENT_MAU": "copy", "USERS_IN_PAST_DAYS": "copy"},
    }

    found = findings(app_of(sqlite, **keys), "--verify")

    measured = {"pass", "zone", "cost", "verify", "indexes"}
    assert {one["database"] for one in found if one["check"] in measured} == {"copy"}
    keys["BINDS"]["copy"]["timezone"] = "UTC"
    zone = next(one for one in findings(app_of(sqlite, **keys)) if one["check"] == "zone")
    assert "Set POWERAUTH_TELEMETRY_BINDS['copy']['timezone'] to" in zone["cure"]


def test_cost_counts_every_enabled_report(sqlite: Engine) -> None:
    fill(sqlite)
    passes = {
        report: next(
            one for one in findings(app_of(sqlite, REPORTS=report)) if one["check"] == "cost"
        )["facts"]["passes"]
        for report in ((), ("NEW_USERS_IN_PAST_DAYS",), ("USERS_BY_PAST_DAYS",))
    }

    assert passes[()] == 6
    assert passes["USERS_BY_PAST_DAYS",] == 6  # by the same passes
    assert passes["NEW_USERS_IN_PAST_DAYS",] > 6


def test_bind_that_nothing_reads_is_a_warning(sqlite: Engine) -> None:
    fill(sqlite)

    found = findings(app_of(sqlite, BINDS={"histroy": url_of(sqlite)}), "--no-pass")

    (warning,) = [one for one in found if one["level"] == "warning"]
    assert (warning["database"], warning["message"]) == ("histroy", "nothing reads this database")
    assert "POWERAUTH_TELEMETRY_REPORT_BINDS" in warning["cure"]


def _csrf(app: Flask) -> Any:
    return app.before_request(lambda: ("no token", 400))


def _login(app: Flask) -> Any:
    return app.before_request(lambda: ("", 302, {"Location": "/login"}))


def _json_login(app: Flask) -> Any:
    return app.before_request(lambda: ({"status": "ERROR", "responseObject": {}}, 401))


def _broken(app: Flask) -> Any:
    def fail() -> None:
        raise RuntimeError("no session")

    return app.before_request(fail)


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (_csrf, "is answered 400 before the extension could refuse it (protection from CSRF?)"),
        (_login, "is answered 302 before the extension could refuse it (a hook that asks for a"),
        (_json_login, "is answered 401 before the extension could refuse it (a hook that asks for"),
        (_broken, "RuntimeError: no session"),
    ],
)
def test_hook_that_answers_in_our_place_is_an_error(
    sqlite: Engine, hook: Callable[[Flask], Any], said: str
) -> None:
    fill(sqlite)
    app = app_of(sqlite, URL_PREFIX=["/rest/v3/telemetry", "/rest/v4/telemetry"])
    assert {one["level"] for one in findings(app, "--no-pass") if one["check"] == "routes"} == {
        "ok"
    }
    app = app_of(sqlite, URL_PREFIX=["/rest/v3/telemetry", "/rest/v4/telemetry"])
    hook(app)

    routes = [one for one in findings(app, "--no-pass") if one["check"] == "routes"]

    assert [one["level"] for one in routes] == ["error", "error"]
    assert [one["facts"]["path"] for one in routes] == [
        "/rest/v3/telemetry/report",
        "/rest/v4/telemetry/report",
    ]
    assert all(said in one["message"] for one in routes)


def test_each_prefix_is_asked(sqlite: Engine, caplog: pytest.LogCaptureFixture) -> None:
    fill(sqlite)
    app = app_of(sqlite, URL_PREFIX=["/rest/v3/telemetry", "/rest/v4/telemetry"])
    app.before_request(lambda: None if request.is_secure else redirect(request.url))

    found = findings(app, "--no-pass")

    routes = [one for one in found if one["check"] == "routes"]
    assert [(one["level"], one["facts"]["status"]) for one in routes] == [("ok", 401), ("ok", 401)]
    assert not caplog.records  # it is no caller to be locked out


@pytest.mark.parametrize(
    ("trusted", "server"),
    [
        (["bank.example"], None),
        ([".bank.example", "other.example"], None),
        (["bank.example:8443"], "bank.example:8443"),
    ],
)
def test_host_that_the_application_trusts_is_asked(
    sqlite: Engine, trusted: list[str], server: str | None
) -> None:
    fill(sqlite)
    app = app_of(sqlite)
    app.config.update(TRUSTED_HOSTS=trusted, SERVER_NAME=server)

    (routes,) = [one for one in findings(app, "--no-pass") if one["check"] == "routes"]

    assert (routes["level"], routes["facts"]["status"]) == ("ok", 401)


def test_blueprint_that_nobody_registers_is_a_warning(sqlite: Engine) -> None:
    fill(sqlite)

    found = findings(create_app(sqlite, clock=now, URL_PREFIX=None), "--no-pass")

    (routes,) = [one for one in found if one["check"] == "routes"]
    assert routes["level"] == "warning"


def test_account_for_credentials_alone_is_not_said_to_read_no_secret(postgresql: Engine) -> None:
    fill(postgresql)
    integration = "GRANT SELECT (id, name, client_token, client_secret) ON pa_integration TO {role}"
    with role(postgresql, *LEAST) as reader, role(postgresql, integration) as credentials:
        keys = {"CREDENTIALS": "pa_integration", "BINDS": {"integration": url_of(credentials)}}
        found = findings(app_of(reader, **keys), "--no-pass")

    secrets = {one["database"]: one for one in found if one["check"] == "secrets"}
    assert "but client_secret, which it is for" in secrets["integration"]["message"]
    assert "but client_secret" not in secrets["main"]["message"]


def test_principals_of_powerauth_are_listed_with_what_they_see(postgresql: Engine) -> None:
    fill(postgresql)
    integrations = [powerauth.Integration(f"id-{name}", name, name, "secret") for name in "ab"]
    powerauth.add_integrations(postgresql, integrations)
    scopes = {"a": ["retail"], "A": ["corporate"]}
    app = app_of(postgresql, CREDENTIALS="pa_integration", SCOPES=scopes)

    found = [one for one in findings(app, "--no-pass") if one["check"] == "scopes"]

    assert [(one["level"], one["message"]) for one in found] == [
        ("warning", "there is no principal A"),
        ("ok", "a sees retail"),
        ("note", "b sees no application"),
    ]


def test_lock_of_somebody_else_is_no_matter_of_grants(postgresql: Engine) -> None:
    fill(postgresql)
    app = app_of(postgresql)
    with postgresql.connect() as lock:
        lock.exec_driver_sql("LOCK TABLE pa_activation IN ACCESS EXCLUSIVE MODE")
        found = findings(app, "--no-pass", "--time-limit", "1")

    errors = [one for one in found if one["level"] == "error"]
    assert {one["check"] for one in errors} == {"tables", "reports"}
    assert {one["cure"] for one in errors} == {
        "See what holds this database up: a lock, or too many sessions"
    }


class AllDevices(ReportProvider):
    """A stranger's report without an application; ``runs`` are the times that it ran."""

    name = "ALL_DEVICES"
    definition = "Devices."
    parameters_schema = Schema
    data_schema = Schema.from_dict({"devices": fields.Integer(required=True)})
    runs = 0

    def generate(self, context: ReportContext) -> Mapping[str, Any]:
        self.runs += 1
        return {"devices": 7}


def test_report_without_an_application_is_asked_once(sqlite: Engine) -> None:
    fill(sqlite)
    provider = AllDevices()

    found = findings(app_of(sqlite, arguments={"providers": [provider]}))

    assert levels_of(found, "ALL_DEVICES") == {"ok"}
    assert provider.runs == 1


def test_privilege_on_a_schema_is_part_of_the_cure(postgresql: Engine) -> None:
    fill(postgresql)
    with postgresql.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA pa; ALTER TABLE pa_activation SET SCHEMA pa")
    columns = "(application_id, user_id, timestamp_last_used)"
    with role(
        postgresql, LEAST[0], f"GRANT SELECT {columns} ON pa.pa_activation TO {{role}}"
    ) as one:
        found = findings(app_of(one, TABLES={"pa_activation": "pa.pa_activation"}), "--no-pass")

    (table,) = [one for one in found if one["check"] == "tables" and one["level"] == "error"]
    assert "permission denied for schema pa" in table["message"]
    assert f"Grant SELECT {columns} on it, and USAGE on its schema" in table["cure"]


def test_main_database_that_is_only_recorded_is_checked_for_the_recorder(
    sqlite: Engine, tmp_path: Path
) -> None:
    fill(sqlite)
    keys = {"BINDS": {"history": f"sqlite:///{tmp_path / 'history.sqlite'}"}, "SOURCE": "snapshot"}
    app = app_of(sqlite, **keys)
    assert app.test_cli_runner().invoke(args=["telemetry", "snapshot"]).exit_code == 0
    with sqlite.begin() as connection:
        connection.exec_driver_sql("DROP TABLE pa_activation")

    found = findings(app)

    errors = {(one["check"], one["database"]) for one in found if one["level"] == "error"}
    assert errors == {("tables", "main"), ("pass", "main")}
    assert levels_of(found, "CURRENT_MAU") == {"ok"}


def test_dates_in_place_of_times_are_an_error(postgresql: Engine) -> None:
    fill(postgresql)
    with postgresql.begin() as connection:
        connection.exec_driver_sql(
            "CREATE VIEW dated AS SELECT application_id, user_id,"
            " CAST(timestamp_last_used AS date) AS timestamp_last_used FROM pa_activation"
        )

    found = findings(app_of(postgresql, TABLES={"pa_activation": "dated"}))

    (error,) = [one for one in found if one["level"] == "error"]
    assert "dated (timestamp_last_used) holds dates without a time of day" in error["message"]


def test_table_of_the_same_name_in_another_schema_is_a_warning(postgresql: Engine) -> None:
    fill(postgresql)
    with role(postgresql, *LEAST) as account:
        name = account.url.username
        with postgresql.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {name} AUTHORIZATION {name}")
            connection.exec_driver_sql(f"CREATE TABLE {name}.pa_activation AS TABLE pa_activation")
            connection.exec_driver_sql(f"ALTER TABLE {name}.pa_activation OWNER TO {name}")

        shadowed = findings(app_of(account))
        named = findings(app_of(account, DATABASE_SCHEMA="public"))

    tables = [one for one in shadowed if one["check"] == "tables"]
    (warning,) = [one for one in tables if one["level"] == "warning"]
    assert f"{name}.pa_activation, public.pa_activation: the first is read" in warning["message"]
    assert "POWERAUTH_TELEMETRY_DATABASE_SCHEMA" in warning["cure"]
    assert {one["level"] for one in named if one["check"] == "tables"} == {"ok"}
