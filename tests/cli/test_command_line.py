"""``flask telemetry …``, run as an operator runs it."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.cli import FlaskGroup
from sqlalchemy import Engine

from flask_powerauth_telemetry import PowerAuthTelemetry
from flask_powerauth_telemetry.auth.credentials import StaticCredentials, digest
from flask_powerauth_telemetry.cli import telemetry
from flask_powerauth_telemetry.config.keys import key_prefix
from flask_powerauth_telemetry.config.loading import load_config
from tests.support.commands import SEPARATELY
from tests.support.service import CREDENTIALS, create_app, url_of


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run flask in a folder without any application."""
    return subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if not key.startswith("FLASK_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


NAME = "O'Brien's \"billing\" `department`; $HOME \\n"


@pytest.mark.parametrize(
    ("options", "instance", "key"),
    [
        ([], "powerauth_telemetry", "POWERAUTH_TELEMETRY_CREDENTIALS"),
        (["--instance", "emea"], "emea", "POWERAUTH_TELEMETRY_EMEA_CREDENTIALS"),
    ],
)
def test_credential_works_as_it_is_printed(
    tmp_path: Path, options: list[str], instance: str, key: str
) -> None:
    result = run(tmp_path, "telemetry", "create-credential", NAME, *options)

    assert (result.returncode, result.stderr) == (0, "")
    token = re.search(r"^Token: +(\S+)", result.stdout, re.MULTILINE)
    assert token is not None
    (line,) = (line for line in result.stdout.splitlines() if line.startswith(f"{key} = "))
    (export,) = (line for line in result.stdout.splitlines() if line.startswith("export "))
    python: dict[str, object] = {}
    exec(line, python)
    name, _, value = shlex.split(export)[1].partition("=")
    app = Flask(__name__)
    os.environ[name] = value
    try:
        app.config.from_prefixed_env()
    finally:
        del os.environ[name]

    for values in (python, app.config):
        credentials = load_config(values, instance).credentials
        assert isinstance(credentials, dict)
        store = StaticCredentials(credentials)
        assert store.authenticate(NAME, token[1]) == NAME
    assert json.loads(value) == {NAME: digest(token[1])}


@pytest.mark.parametrize(
    ("instances", "options", "said"),
    [
        (["powerauth_telemetry", "apac"], ["--instance", "emea"], "apac, powerauth_telemetry"),
        (["apac"], ["--instance", "powerauth_telemetry"], "apac"),
        (["emea", "apac"], [], "apac, emea"),
        ([], ["--instance", "emea"], "none"),
        (["apac"], [], "POWERAUTH_TELEMETRY_APAC_CREDENTIALS = "),
        (["emea", "powerauth_telemetry"], [], "POWERAUTH_TELEMETRY_CREDENTIALS = "),
        ([], [], "POWERAUTH_TELEMETRY_CREDENTIALS = "),
    ],
)
def test_credential_is_for_an_instance_that_is_there(
    sqlite: Engine, instances: list[str], options: list[str], said: str
) -> None:
    def create() -> Flask:
        app = Flask("host")
        for name in instances:
            values = {
                "DATABASE_URL": url_of(sqlite),
                "CREDENTIALS": CREDENTIALS,
                "URL_PREFIX": None,
            }
            app.config.update({f"{key_prefix(name)}{key}": value for key, value in values.items()})
            PowerAuthTelemetry(app, name=name)
        return app

    arguments = ["telemetry", "create-credential", "billing", *options]
    made = CliRunner(**SEPARATELY).invoke(FlaskGroup(create_app=create), arguments)

    is_made = said.endswith(" = ")
    assert made.exit_code == (0 if is_made else 2), made.stderr
    assert ("Token:" in made.stdout) == is_made
    assert (said if is_made else f"(it has: {said})") in made.stdout + made.stderr


def test_each_credential_is_another_one() -> None:
    arguments = ["create-credential", "a"]
    outputs = {CliRunner().invoke(telemetry, arguments).stdout for _ in range(2)}
    assert len(outputs) == 2


@pytest.mark.parametrize("name", ["a:b", "", "a\nb", "*"])
def test_name_that_basic_can_not_carry_is_refused(name: str) -> None:
    result = CliRunner(**SEPARATELY).invoke(telemetry, ["create-credential", name])

    assert result.exit_code == 2
    assert "Choose another name" in result.stderr
    assert "Traceback" not in result.stderr


def test_commands_are_there_for_the_application_too(sqlite: Engine) -> None:
    result = create_app(sqlite).test_cli_runner().invoke(args=["telemetry", "--help"])

    assert result.exit_code == 0
    assert "create-credential" in result.output


def create_wrong() -> Flask:
    app = Flask("wrong")
    PowerAuthTelemetry(app)
    return app


def create_ended() -> Flask:
    sys.exit("there are no credentials")


@pytest.mark.parametrize("create", [create_wrong, create_ended])
def test_first_credential_is_made_for_an_application_that_can_not_start(
    create: Callable[[], Flask],
) -> None:
    arguments = ["telemetry", "create-credential", "billing", "--instance", "emea"]

    made = CliRunner(**SEPARATELY).invoke(FlaskGroup(create_app=create), arguments)

    assert (made.exit_code, made.stderr) == (0, "")
    assert "POWERAUTH_TELEMETRY_EMEA_CREDENTIALS = " in made.stdout


@pytest.mark.parametrize("command", ["check", "snapshot", "applications", "report CURRENT_MAU"])
def test_configuration_error_is_one_line_and_exit_code_2(command: str) -> None:
    arguments = ["telemetry", *command.split()]

    ended = CliRunner(**SEPARATELY).invoke(FlaskGroup(create_app=create_wrong), arguments)

    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "POWERAUTH_TELEMETRY_" in ended.stderr


def test_configuration_error_of_a_process_is_one_line(tmp_path: Path) -> None:
    wrong = "from flask import Flask\nfrom flask_powerauth_telemetry import PowerAuthTelemetry\n"
    wrong += "app = Flask('wrong')\nPowerAuthTelemetry(app)\n"
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")

    ended = run(tmp_path, "--app", "wrong", "telemetry", "check")

    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
