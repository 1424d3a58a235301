"""What a command does when its output is closed, full or narrow, or when it is stopped."""

import os
import shlex
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.support.commands import fill
from tests.support.held import locked
from tests.support.service import CREDENTIALS, url_of

PRINTING = [
    "applications",
    "check --no-pass --json",
    "create-credential billing",
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
        ("create-credential billing", "KeyboardInterrupt"),
        ("snapshot", "SystemExit(0)"),
    ],
)
def test_command_that_is_ended_early_has_exit_code_2(host: Path, command: str, raised: str) -> None:
    (host / "host.py").write_text(f"raise {raised}\n", encoding="utf-8")

    ended = run_by_shell(host, command, "")

    assert (ended.returncode, ended.stdout, ended.stderr) == (2, b"", b"Error: stopped\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_that_is_stopped_in_a_statement_ends_it_by_exit_code_2(
    postgresql: Engine, tmp_path: Path, number: signal.Signals
) -> None:
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
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        with postgresql.connect() as connection:
            statement = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            assert connection.exec_driver_sql(statement).scalar_one() == 0

    assert (process.returncode, errors) == (2, "Error: stopped\n")
