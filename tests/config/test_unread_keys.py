"""A key that no instance reads is found: by the check, and in the log at the first request."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine

from flask_powerauth_telemetry import ConfigurationError, PowerAuthTelemetry
from tests.support.commands import command, findings, of_check
from tests.support.service import CREDENTIALS, ask, create_app, url_of

PREFIX = "POWERAUTH_TELEMETRY_"
LOGGER = "flask_powerauth_telemetry.config"
UNREAD: list[tuple[str, Any, str]] = [
    ("BILING_SCOPES", {}, f"no instance reads it. Did you mean {PREFIX}BILLING_SCOPES"),
    ("BILING_CREDENTIALS_FILE", "/x", f"Did you mean {PREFIX}BILLING_CREDENTIALS_FILE"),
    ("BILING_URL_PREFIX", "/x", f"Did you mean {PREFIX}BILLING_URL_PREFIX"),
    ("APAC_SCOPES", {}, "Make the instance 'apac' (there are: billing, powerauth_telemetry)"),
    ("BILLING_MY_CREDENTIALS", {}, f"Did you mean {PREFIX}BILLING_CREDENTIALS"),
    ("BILLNG_SKOPES", {}, f"Did you mean {PREFIX}BILLING_SCOPES"),
    ("OWNER", "me", "Correct or remove it"),
    ("DB", "mine", "Correct or remove it"),
    ("IN", "Prague", "Correct or remove it"),
]


def two_instances(engine: Engine, **keys: Any) -> Flask:
    """An application with a default instance, and then one that is called billing."""
    given: dict[str, Any] = {
        "BILLING_DATABASE_URL": url_of(engine),
        "BILLING_CREDENTIALS": CREDENTIALS,
        "BILLING_SCOPES": {"*": []},
        "BILLING_URL_PREFIX": "/billing",
    }
    app = create_app(engine, **given, **keys)
    PowerAuthTelemetry(app, name="billing")
    return app


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


@pytest.mark.parametrize(("key", "value", "message"), UNREAD)
def test_key_without_an_instance_is_an_error_of_the_check(
    sqlite: Engine, key: str, value: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = two_instances(sqlite, **{key: value})

    found = of_check(findings(app, "--no-pass", "--instance", "billing"), "keys")

    assert found["level"] == "error"
    assert f"{PREFIX}{key}: {found['message'].partition(': ')[2]}. {found['cure']}".count(message)
    assert found["facts"] == {"key": PREFIX + key}
    assert command(app, "check", "--no-pass").exit_code == 2
    assert told(caplog) == []  # the finding says it


@pytest.mark.parametrize(("key", "value", "message"), UNREAD)
def test_key_without_an_instance_is_logged_once_at_the_first_request(
    sqlite: Engine, key: str, value: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = two_instances(sqlite, **{key: value})
    assert told(caplog) == []

    for path in ("/billing/report", "/billing/report", "/rest/v3/telemetry/report"):
        ask(app.test_client(), path=path)

    (line,) = told(caplog)
    assert line.startswith(f"{PREFIX}{key}: ")
    assert message in line
    assert {one.levelno for one in caplog.records if one.name == LOGGER} == {logging.WARNING}


def test_keys_of_all_instances_are_read(sqlite: Engine, caplog: pytest.LogCaptureFixture) -> None:
    app = two_instances(sqlite, BILLING_CACHE_SECONDS=0, BILLING_TABLES=None, APAC_SCOPES=None)

    ask(app.test_client())

    assert told(caplog) == []
    assert of_check(findings(app, "--no-pass"), "keys")["level"] == "ok"


def test_order_in_which_instances_are_made_does_not_matter(
    sqlite: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("host")
    for prefix in (PREFIX, f"{PREFIX}BILLING_"):
        app.config |= {f"{prefix}DATABASE_URL": url_of(sqlite), f"{prefix}CREDENTIALS": CREDENTIALS}
    app.config[f"{PREFIX}BILLING_URL_PREFIX"] = "/billing"
    app.config[f"{PREFIX}BILING_SCOPES"] = {}
    PowerAuthTelemetry(app, name="billing")
    PowerAuthTelemetry(app)

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lambda _: ask(app.test_client()), range(24)))

    (line,) = told(caplog)
    assert line.startswith(f"{PREFIX}BILING_SCOPES: no instance reads it")


def test_key_that_comes_after_init_app_is_told(
    sqlite: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(sqlite)
    app.config[f"{PREFIX}SCOPES"] = {"*": []}

    ask(app.test_client())

    assert told(caplog) == [
        f"{PREFIX}SCOPES: it was set after init_app, and is not read."
        " Set it before the extension is made."
    ]


@pytest.mark.parametrize(
    ("variable", "cure"),
    [
        ("SCOPES", f"The environment has {PREFIX}SCOPES: name it FLASK_{PREFIX}SCOPES"),
        ("SCOPES_FILE", f"name it FLASK_{PREFIX}SCOPES_FILE"),
        ("FLASK_SCOPES", "call app.config.from_prefixed_env() before the extension is made"),
        ("flask_scopes", f"name it FLASK_{PREFIX}SCOPES"),
        ("FLASK__SCOPES", f"name it FLASK_{PREFIX}SCOPES"),
        ("BILLING_SCOPES", ""),
        ("FLASK_DATABASE_URL", ""),
        ("FLASK_CREDENTIALS_FILE", ""),
    ],
)
def test_variable_that_did_not_reach_the_configuration_is_told(
    sqlite: Engine,
    variable: str,
    cure: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = variable[:6] if variable.lower().startswith("flask_") else ""
    own = PREFIX if before.isupper() or not before else PREFIX.lower()
    monkeypatch.setenv(before + own + variable.removeprefix(before), '{"*": []}')

    ask(create_app(sqlite).test_client())

    if not cure:
        assert told(caplog) == []
    else:
        (line,) = told(caplog)
        assert cure in line


@pytest.mark.parametrize("begin", ["FLASK_TELEMETRY_", "FLASK_POWERAUTH_"])
def test_variable_with_half_of_the_prefix_is_told(
    sqlite: Engine, begin: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(f"{begin}MAX_AGE", "3600")
    monkeypatch.setenv(f"{begin}COLOUR", "red")

    ask(create_app(sqlite).test_client())

    (line,) = told(caplog)
    assert f"The environment has {begin}MAX_AGE: name it FLASK_{PREFIX}MAX_AGE" in line


@pytest.mark.parametrize(
    ("key", "cure"),
    [
        ("POWERAUTH_TELEMETRY_Scopes", "Did you mean POWERAUTH_TELEMETRY_SCOPES"),
        ("powerauth_telemetry_scopes_file", "Did you mean POWERAUTH_TELEMETRY_SCOPES_FILE"),
        ("POWERAUTH_TELEMETY_SCOPES", "Did you mean POWERAUTH_TELEMETRY_SCOPES"),
        ("POWER_AUTH_TELEMETRY_SCOPES", "Did you mean POWERAUTH_TELEMETRY_SCOPES"),
        ("FLASK_POWERAUTH_TELEMETRY_SCOPES", "Did you mean POWERAUTH_TELEMETRY_SCOPES"),
    ],
)
def test_key_with_another_prefix_stops_the_start(sqlite: Engine, key: str, cure: str) -> None:
    app = Flask("host")
    app.config[key] = {}
    app.config[f"{PREFIX}CREDENTIALS"] = CREDENTIALS
    with pytest.raises(ConfigurationError, match=cure) as stopped:
        PowerAuthTelemetry(app, engine=sqlite)
    assert stopped.value.key == key


def test_application_of_another_kind_keeps_its_keys(sqlite: Engine) -> None:
    create_app(sqlite, TIMES=1).config["POWERAUTH_DATABASE_URL"] = "its own"
    app = Flask("host")
    app.config |= {"POWERAUTH_SERVER_URL": "x", "TELEMETRY_SCOPES": "y", "DATABASE_URL": "z"}
    app.config[f"{PREFIX}CREDENTIALS"] = CREDENTIALS
    PowerAuthTelemetry(app, engine=sqlite)
