"""``flask telemetry …``, run as an operator runs it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
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
from tests.support.commands import SEPARATELY, fill
from tests.support.held import locked
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
    result = run(tmp_path, "telemetry", "create-credential", "billing department", *options)

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
        assert store.authenticate("billing department", token[1]) == "billing department"
    assert json.loads(value) == {"billing department": digest(token[1])}


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


PRINTING = [
    "applications",
    "check --no-pass --json",
    "report CURRENT_MAU -p application=retail --csv",
]


def write_host(folder: Path, engine: Engine, **keys: object) -> None:
    """Write an application, ``host``, that reads a database."""
    keys |= {"DATABASE_URL": url_of(engine), "CREDENTIALS": CREDENTIALS}
    config = {f"POWERAUTH_TELEMETRY_{key}": value for key, value in keys.items()}
    (folder / "host.py").write_text(
        "from flask import Flask\nfrom flask_powerauth_telemetry import PowerAuthTelemetry\n"
        f"app = Flask('host')\napp.config.update({config!r})\nPowerAuthTelemetry(app)\n",
        encoding="utf-8",
    )


@pytest.fixture
def host(sqlite: Engine, tmp_path: Path) -> Path:
    """The folder of an application, ``host``, that has a history, too."""
    fill(sqlite)
    with sqlite.begin() as connection:
        statement = "INSERT INTO pa_application (id, name) VALUES (3, 'h\u00e1zard \u010d')"
        connection.exec_driver_sql(statement)
    history = f"sqlite:///{tmp_path / 'history.sqlite'}"
    write_host(tmp_path, sqlite, BINDS={"history": history}, REPORTS=["USERS_IN_MONTH"])
    return tmp_path


def run_by_shell(
    folder: Path, command: str, redirection: str, **variables: str
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command of the application ``host`` with an output that goes somewhere else."""
    line = f"{shlex.quote(sys.executable)} -m flask --app host telemetry {command} {redirection}"
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", PRINTING)
@pytest.mark.parametrize(
    ("redirection", "cause"), [(">&-", b"closed"), (">/dev/full", b"No space left on device")]
)
def test_what_can_not_be_printed_is_exit_code_2(
    host: Path, command: str, redirection: str, cause: bytes
) -> None:
    ended = run_by_shell(host, command, redirection)

    assert ended.returncode == 2
    assert cause in ended.stderr
    assert ended.stderr.count(b"\n") == 1


def test_full_log_does_not_stop_a_recording(host: Path) -> None:
    ended = run_by_shell(host, "snapshot", ">/dev/full 2>&1")
    assert ended.returncode == 0

    (whole,) = run_by_shell(host, "snapshot --verify", "").stdout.splitlines()
    assert whole.startswith(b"The history is whole: 3 rows")


def test_names_beyond_the_encoding_of_the_output_are_escaped(host: Path) -> None:
    ended = run_by_shell(host, "applications", "", PYTHONIOENCODING="cp1252")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert "h\u00e1zard \\u010d".encode("cp1252") in ended.stdout.splitlines()


@pytest.mark.parametrize(
    "command",
    [
        "report CURRENT_MAU -p application='h\u00e1zard \u010d' --csv",
        "snapshot >/dev/null && flask --app host telemetry statement"
        " --month $MONTH --application 'h\u00e1zard \u010d' --csv",
    ],
)
def test_csv_is_utf_8_whatever_the_encoding_of_the_output(host: Path, command: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    month = f"{datetime.now(UTC):%Y-%m}"

    ended = run_by_shell(host, command, "", PYTHONIOENCODING="cp1252", PATH=path, MONTH=month)

    assert b"Error" not in ended.stderr
    assert '"h\u00e1zard \u010d",' in ended.stdout.decode().splitlines()[1]


@pytest.mark.parametrize(
    ("command", "raised"),
    [
        ("check", "KeyboardInterrupt"),
        ("applications", "SystemExit('over')"),
        ("snapshot", "SystemExit(0)"),
    ],
)
def test_command_that_is_ended_early_has_exit_code_2(host: Path, command: str, raised: str) -> None:
    (host / "host.py").write_text(f"raise {raised}\n", encoding="utf-8")

    ended = run_by_shell(host, command, "")

    assert (ended.returncode, ended.stdout, ended.stderr) == (2, b"", b"Error: stopped\n")


def test_ctrl_c_in_a_statement_is_exit_code_2(postgresql: Engine, tmp_path: Path) -> None:
    fill(postgresql)
    write_host(tmp_path, postgresql)
    with (tmp_path / "host.py").open("a") as file:  # it is ignored where a shell runs all beside it
        file.write("import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n")
    arguments = [sys.executable, "-m", "flask", "--app", "host", "telemetry", "check"]
    with (
        locked(postgresql) as await_waiting,
        subprocess.Popen(
            arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        await_waiting(1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (2, "Error: stopped\n")
