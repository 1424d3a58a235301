"""The package of docs/providers.md: its files as printed, installed, tested, and asked by HTTP."""

import base64
import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.conftest import ROOT, new_venv, run

PROVIDERS = ROOT / "docs/providers.md"
DATABASE = """
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.testing import ContractDatabase

now = datetime.now(UTC).replace(tzinfo=None)
rows = [
    {"application_id": application, "timestamp_created": now - timedelta(days=days)}
    for application, days in ((1, 1), (1, 29), (1, 31), (2, 1))
]
ContractDatabase(Path("powerauth.sqlite"), {"pa_activation": rows})
print(digest("token"))
"""


def blocks(language: str) -> list[str]:
    text = PROVIDERS.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def programs(distributions: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of the virtual environment that the printed files are installed in."""
    return new_venv(tmp_path_factory.mktemp("venv"), distributions["wheel"])


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the printed files."""
    folder = tmp_path_factory.mktemp("acme")
    (project,) = blocks("toml")
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    for block in blocks("python"):
        if named := re.match(r"# (\w+\.py)\n", block):
            (folder / named[1]).write_text(block, encoding="utf-8")
    assert {path.name for path in folder.glob("*.*")} == {
        "acme_reports.py",
        "app.py",
        "pyproject.toml",
        "test_acme_reports.py",
    }
    return folder


@pytest.fixture(scope="module")
def tested(plugin: Path, programs: Path) -> str:
    """What the printed commands print: the package is installed, and its tests are run."""
    (commands,) = blocks("sh")
    return run("bash", "-euc", f"PATH={programs}:$PATH\n{commands}", folder=plugin)


def test_printed_tests_pass_beside_the_printed_files(tested: str) -> None:
    passed = re.search(r"(\d+) passed", tested)

    assert passed
    assert int(passed[1]) > 10
    assert not re.search("failed|error|skipped|warning", tested)


@pytest.mark.usefixtures("tested")
def test_number_test_fails_when_the_number_is_wrong(
    plugin: Path, programs: Path, tmp_path: Path
) -> None:
    module = (plugin / "acme_reports.py").read_text(encoding="utf-8")
    tests = (plugin / "test_acme_reports.py").read_text(encoding="utf-8")
    (body,) = re.findall(r"^def test_.*?:\n(.*)", tests, re.MULTILINE | re.DOTALL)
    assert len(body.strip().splitlines()) <= 5
    for right, wrong in (
        ("context.database_time(context.now)", "context.now.replace(tzinfo=None)"),
        ("days=days))", "days=days - 1))"),
        ("column.application_id ==", "column.application_id !="),
    ):
        assert right in module
        (tmp_path / "acme_reports.py").write_text(module.replace(right, wrong), encoding="utf-8")
        (tmp_path / "test_acme_reports.py").write_text(tests, encoding="utf-8")
        command = [str(programs / "pytest"), "-k", "past_days", "-q"]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "1 failed" in result.stdout, wrong


@pytest.fixture
def url(plugin: Path, programs: Path, tested: str) -> Iterator[str]:
    """Where the printed application serves a small database."""
    digest = run(programs / "python", "-c", DATABASE, folder=plugin).strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {key: value for key, value in os.environ.items() if "TELEMETRY" not in key} | {
        "FLASK_POWERAUTH_TELEMETRY_DATABASE_URL": "sqlite:///powerauth.sqlite",
        "FLASK_POWERAUTH_TELEMETRY_CREDENTIALS": json.dumps({"me": digest}),
    }
    server = subprocess.Popen(
        [programs / "flask", "run", "--port", port],
        cwd=plugin,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while server.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/rest/v3/telemetry/report"
    finally:
        server.terminate()
        server.wait(timeout=20)


def test_printed_package_answers_by_its_entry_point(url: str) -> None:
    asked = {"name": "ACME_NEW_ACTIVATIONS", "parameters": {"application": "retail"}}
    request = urllib.request.Request(
        url,
        json.dumps({"requestObject": asked}).encode(),
        {
            "Authorization": f"Basic {base64.b64encode(b'me:token').decode()}",
            "Content-Type": "application/json",
        },
    )

    with urllib.request.urlopen(request, timeout=20) as response:
        answer = json.load(response)

    assert answer["responseObject"] == {
        "name": "ACME_NEW_ACTIVATIONS",
        "reportData": {"activations": 2},
    }
