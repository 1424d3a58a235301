"""What the guides tell to do works: start, mounting, migration, security."""

import configparser
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine
from werkzeug.serving import make_server

from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.config.keys import known_keys
from flask_powerauth_telemetry.config.loading import load_config
from tests.support import powerauth
from tests.support.documents import (
    ARCHITECTURE,
    ASVS,
    COMPATIBILITY,
    EXTENSIONS,
    MIGRATION,
    MOUNTING,
    ROOT,
    SECURITY,
    START,
    blocks,
    evaluate,
    python_examples,
    run,
    table,
    text_of,
)
from tests.support.reader import USERS, close_later
from tests.support.reference_server import running
from tests.support.service import NOW, PATH, USER, create_app, url_of
from tests.test_rooms import ROOMS

INSTALL = "pip install --quiet '.[postgresql,example]'"
FLASK_RUN = "flask run --port 8000"
WAIT = """for attempt in $(seq 100); do
    python -c 'import socket; socket.create_connection(("127.0.0.1", {port}))' 2>/dev/null && break
done"""
"""Waits, in bash, until a server listens."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start_output(tmp_path: Path) -> str:
    """What the commands of docs/start.md print, run in order in one shell."""
    (application,) = blocks(START, "python")
    (tmp_path / "app.py").write_text(application, encoding="utf-8")
    install, *others = blocks(START, "sh")
    assert install.splitlines()[-1] == INSTALL
    port = free_port()
    script = "\necho\n".join(others).replace("DIGEST", digest("TOKEN").partition(":")[2])
    assert FLASK_RUN in script
    script = script.replace(FLASK_RUN, f"{FLASK_RUN} 2>/dev/null & server=$!\n{WAIT}")
    script = script.replace("{port}", "8000").replace("8000", str(port))
    environment = {key: value for key, value in os.environ.items() if "TELEMETRY" not in key}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = str(ROOT)
    result = subprocess.run(
        ["bash", "-c", f"{script}\nkill $server"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.stderr == ""
    return result.stdout


def test_start_leads_to_a_report_and_to_a_wrong_zone(start_output: str) -> None:
    (printed,) = (json.loads(block) for block in blocks(START, "json"))
    lines = start_output.splitlines()
    (answered,) = (json.loads(line) for line in lines if line.startswith('{"status"'))
    printed_data, data = (
        answer["responseObject"].pop("reportData") for answer in (printed, answered)
    )
    checks = [line.split(maxsplit=2) for line in lines if line.startswith(("ok ", "ERROR "))]
    zones = [(level, message) for level, check, message in checks if check == "zone"]

    assert answered == printed
    assert {**data, "users": 0} == {**printed_data, "users": 0}
    assert data["users"] > 1000
    assert [level for level, _ in zones] == ["ok", "ERROR"]
    assert "UTC+00:00" in zones[1][1]
    assert "retail-banking" in lines
    assert re.search(r"\"days\": 30\b", start_output)


@pytest.mark.usefixtures("reader_environment")
def test_documented_mountings_serve_the_route(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_SQLALCHEMY_DATABASE_URI", url_of(sqlite))
    applications = [evaluate(example) for example in python_examples(MOUNTING)]

    for app in filter(None, applications):
        body = {"requestObject": {"name": "CURRENT_MAU", "parameters": {"application": "retail"}}}
        response = app.test_client().post(PATH, json=body, auth=USER)
        assert response.status_code == 200
        assert response.get_json()["responseObject"]["reportData"]["users"] == USERS
        close_later(app)
    last = applications[-1]
    assert None not in applications
    assert last
    assert last.test_client().get("/healthz").get_json() == {"status": "ok"}


def manifests() -> list[dict[str, Any]]:
    """The Kubernetes objects of docs/mounting.md."""
    (block,) = blocks(MOUNTING, "yaml")
    return list(yaml.safe_load_all(block))


def containers(value: Any) -> Iterator[dict[str, Any]]:
    """The containers anywhere inside an object."""
    if isinstance(value, dict):
        yield from value.get("containers", [])
        for inner in value.values():
            yield from containers(inner)


def test_manifest_sets_known_keys() -> None:
    names = [one["name"] for kind in manifests() for box in containers(kind) for one in box["env"]]

    assert len(names) == 6
    assert set(names) <= {f"FLASK_{key}" for key in known_keys()}


def test_manifest_probes_a_route_of_the_document() -> None:
    (web, job) = (next(containers(kind)) for kind in manifests())
    command = blocks(EXTENSIONS, "sh")[0]
    probes = [web[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    everywhere = command.replace("127.0.0.1", "0.0.0.0")

    assert probes == [{"path": "/healthz", "port": 8000}] * 3
    assert " ".join(web["command"]).replace("=", " ") == " ".join(shlex.split(everywhere))
    assert job["command"] == ["flask", "--app", "app", "telemetry", "snapshot", "--retry-for=5m"]


def test_manifest_gives_no_privileges() -> None:
    for kind in manifests():
        for box in containers(kind):
            assert box["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@contextmanager
def serving(engine: Engine) -> Iterator[str]:
    """The base URL of this service on a database, as a client of PowerAuth's is given it."""
    server = make_server("127.0.0.1", 0, create_app(engine))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/rest"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_documented_script_asks_either_server(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    rows = powerauth.random_activations(seed=7, now=NOW, zone=UTC, count=500)
    powerauth.add_activations(sqlite, rows)
    powerauth.add_integrations(sqlite, [powerauth.Integration("id", None, "token", "secret")])
    active_users = run(MIGRATION)["active_users"]

    with running(sqlite, clock=lambda: NOW) as reference, serving(sqlite) as ours:
        numbers = {
            days: (
                active_users(reference.url, "token", "secret", "retail", days),
                active_users(ours, *USER, "retail", days),
            )
            for days in (1, 30, 365)
        }

    assert all(before == after for before, after in numbers.values())
    assert 0 < numbers[1][0] < numbers[30][0] < numbers[365][0]


def test_documented_versions_are_the_supported_ones() -> None:
    rows = table(COMPATIBILITY, "### PowerAuth's database by version")
    ends = [row["PowerAuth"].split(" to ") for row in rows]
    first, last = ends[0][0], ends[-1][-1]

    assert f"database of PowerAuth {first} to {last}" in text_of(ROOT / "README.md")
    assert all(f"{version}" in text_of(COMPATIBILITY) for version in powerauth.VERSIONS)


def test_documented_database_url_is_one() -> None:
    app = run(SECURITY)["app"]

    url = load_config(app.config).database_url

    assert url is not None
    assert url.query == {"sslmode": "verify-full", "sslrootcert": "/etc/ssl/powerauth-ca.pem"}


ASVS_REQUIREMENTS = """
1.1: 2, 1.2: 9, 1.3: 11, 1.4: 3, 1.5: 2
2.1: 3, 2.2: 3, 2.3: 4, 2.4: 1
3.2: 2, 3.3: 4, 3.4: 6, 3.5: 5, 3.7: 2
4.1: 3, 4.2: 1, 4.3: 2, 4.4: 4
5.1: 1, 5.2: 3, 5.3: 2, 5.4: 3
6.1: 3, 6.2: 12, 6.3: 4, 6.4: 4, 6.5: 5, 6.6: 3, 6.8: 4
7.1: 3, 7.2: 4, 7.3: 2, 7.4: 5, 7.5: 2, 7.6: 2
8.1: 2, 8.2: 3, 8.3: 1, 8.4: 1
9.1: 3, 9.2: 4
10.1: 2, 10.2: 2, 10.3: 4, 10.4: 11, 10.5: 5, 10.6: 2, 10.7: 3
11.1: 2, 11.2: 3, 11.3: 3, 11.4: 4, 11.5: 1, 11.6: 1
12.1: 3, 12.2: 2, 12.3: 4
13.1: 1, 13.2: 5, 13.3: 2, 13.4: 5
14.1: 2, 14.2: 4, 14.3: 3
15.1: 3, 15.2: 3, 15.3: 7
16.1: 1, 16.2: 5, 16.3: 4, 16.4: 3, 16.5: 3
17.1: 1, 17.2: 4, 17.3: 2
"""
"""How many requirements of levels 1 and 2 each section of ASVS 5.0.0 has, numbered from 1."""


def requirements() -> list[str]:
    sections = re.findall(r"(\S+): (\d+)", ASVS_REQUIREMENTS)
    return [f"{name}.{number + 1}" for name, count in sections for number in range(int(count))]


def answered(cell: str) -> list[str]:
    """The numbers that a cell such as ``1.2.6 to 1.2.8, 1.3.1`` names."""
    return [number for part in cell.split(", ") for number in _span(part)]


def _span(part: str) -> list[str]:
    first, _, last = part.partition(" to ")
    section, _, start = first.rpartition(".")
    assert not last or last.startswith(f"{section}.")
    end = int((last or first).rpartition(".")[2])
    return [f"{section}.{number}" for number in range(int(start), end + 1)]


def test_requirements_of_asvs_are_there_and_answered_once() -> None:
    headings = re.findall(r"^## .*$", text_of(ASVS), re.MULTILINE)
    cells = [row["Number"] for heading in headings for row in table(ASVS, heading)]
    numbers = [one for cell in cells for one in answered(cell)]

    assert len(requirements()) == 253
    assert len(numbers) == len(set(numbers)) > 90
    assert set(numbers) <= set(requirements())


def test_tests_that_asvs_names_are_there() -> None:
    for row in table(ASVS, "## Tested"):
        path, _, name = row["Test"].strip("`").partition("::")
        source = (ROOT / "tests" / path).read_text(encoding="utf-8")
        assert f"\ndef {name}(" in source, row["Test"]


def tox() -> tuple[configparser.ConfigParser, dict[str, list[str]]]:
    """What tox.ini says, and the environments by label, with those that have none under ``""``."""
    configuration = configparser.ConfigParser(interpolation=None)
    configuration.read(ROOT / "tox.ini", encoding="utf-8")
    default, labels = (configuration["tox"][key] for key in ("env_list", "labels"))
    lines = (line.partition("=") for line in (f"={default}", *labels.strip().splitlines()))
    return configuration, {label.strip(): names.strip().split(", ") for label, _, names in lines}


def test_every_environment_of_tox_is_documented() -> None:
    _, labelled = tox()
    rows = table(ROOT / "CONTRIBUTING.md", "## Set-up")

    documented = [name.strip("` ") for row in rows for name in row["Environment"].split(",")]

    assert sorted(documented) == sorted(name for names in labelled.values() for name in names)


def test_every_environment_of_tox_is_run_by_all_checks() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    configuration, labelled = tox()
    environments = {name.partition(":")[2] for name in configuration if ":" in name}

    run = set(re.findall(r"/tox run\S* .*-m (\w+)$", script, re.MULTILINE))
    full = set(re.findall(r"^    \S*/tox -e (\w+)", script, re.MULTILINE))

    assert run == labelled.keys() - {""}
    assert environments - {name for names in labelled.values() for name in names} == full


def test_picture_of_rooms_is_the_plan() -> None:
    picture, _ = blocks(ARCHITECTURE, "mermaid")
    places = {room: place for place, room in enumerate(ROOMS)}
    drawn = set(re.findall(r'^ +(\w+)\["', picture, re.MULTILINE))
    chains = [line.split(" --> ") for line in picture.splitlines() if " --> " in line]

    arrows = [(upper.strip(), lower) for chain in chains for upper, lower in pairwise(chain)]

    assert len(drawn) > 12
    assert drawn <= set(ROOMS)
    assert [arrow for arrow in arrows if places[arrow[0]] >= places[arrow[1]]] == []
