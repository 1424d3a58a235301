"""A worker process that is killed while it computes."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine

from flask_powerauth_telemetry.auth.credentials import digest
from tests.support import held
from tests.support.databases import Databases
from tests.support.held import RETAIL, hold, running_passes
from tests.support.service import CREDENTIALS, PATH, USER, url_of

LIMIT = 20.0
SOON_SECONDS = 5.0
CALLERS = [f"caller-{number}" for number in range(4)]
HOST = """
import os
from flask import Flask
from flask_powerauth_telemetry import PowerAuthTelemetry

app = Flask(__name__)
app.config.from_prefixed_env()
PowerAuthTelemetry(app)


@app.get("/pid")
def pid():
    return str(os.getpid())
"""


@pytest.fixture
def owner(databases: Databases, tmp_path: Path) -> Engine:
    engine = databases.create("postgresql-18", tmp_path)
    held.create_held_database(engine)
    return engine


@pytest.fixture
def address(owner: Engine, tmp_path: Path) -> Iterator[str]:
    """The address of gunicorn with one worker, which is replaced when it ends."""
    (tmp_path / "killed_host.py").write_text(HOST)
    keys = {
        "DATABASE_URL": url_of(owner),
        "CREDENTIALS": json.dumps(CREDENTIALS | {name: digest(USER[1]) for name in CALLERS}),
        "TABLES": json.dumps(held.TABLES),
        "STATEMENT_TIMEOUT": str(LIMIT),
    }
    environment = os.environ | {
        f"FLASK_POWERAUTH_TELEMETRY_{key}": value for key, value in keys.items()
    }
    command = [sys.executable, "-m", "gunicorn", "--workers=1", "--threads=8"]
    command += ["--bind=127.0.0.1:0", "killed_host:app"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=output)
    try:
        held.eventually(lambda: "Listening at: " in log.read_text())
        yield log.read_text().partition("Listening at: ")[2].split(" ")[0]
    finally:
        server.terminate()
        server.wait(timeout=20)


def status_of(address: str, parameters: Mapping[str, Any] = RETAIL, user: str = "billing") -> int:
    """The status of a report, 0 when the connection breaks."""
    name = "USERS_IN_PAST_DAYS" if "days" in parameters else "CURRENT_MAU"
    body = {"requestObject": {"name": name, "parameters": parameters}}
    token = base64.b64encode(f"{user}:{USER[1]}".encode()).decode()
    request = urllib.request.Request(
        address + PATH,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Basic {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def pid_of(address: str) -> int:
    with urllib.request.urlopen(f"{address}/pid", timeout=20) as response:
        return int(response.read())


def test_worker_killed_while_computing(owner: Engine, address: str) -> None:
    killed = pid_of(address)
    hold(owner, 60)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(status_of, address)
        held.eventually(lambda: running_passes(owner) == 1)
        os.kill(killed, signal.SIGKILL)
        at_kill = time.monotonic()
        assert asked.result(20) == 0

    held.eventually(lambda: running_passes(owner) == 0)
    assert time.monotonic() - at_kill < SOON_SECONDS
    hold(owner)
    assert status_of(address) == 200
    assert pid_of(address) != killed


class Asked(NamedTuple):
    status: int
    seconds: float


def asked_in(address: str, parameters: Mapping[str, Any], user: str = "billing") -> Asked:
    """The status of a report and the seconds that it took."""
    began = time.monotonic()
    status = status_of(address, parameters, user)
    return Asked(status, time.monotonic() - began)


def test_host_and_kept_answers_go_on_while_a_table_is_locked(owner: Engine, address: str) -> None:
    kept, slow = {"application": "retail", "days": 7}, {"application": "application-1", "days": 7}
    assert asked_in(address, kept).status == 200
    locker = owner.connect()
    locker.exec_driver_sql("LOCK TABLE pa_activation IN ACCESS EXCLUSIVE MODE")
    began = time.monotonic()
    with ThreadPoolExecutor(24) as pool:
        crowd = [pool.submit(asked_in, address, slow, name) for name in CALLERS * 6]
        probes, answers = [], []
        while time.monotonic() - began < 2:
            probe = time.monotonic()
            pid_of(address)
            probes.append(time.monotonic() - probe)
            answers.append(asked_in(address, kept))
        assert max(probes) < 1
        assert {answer.status for answer in answers} == {200}
        assert max(answer.seconds for answer in answers) < 1
        refused = [one.result(60) for one in crowd]
    locker.close()
    assert {one.status for one in refused} == {503}
    assert sum(one.seconds < 1 for one in refused) >= 24 - 6
    time.sleep(1)
    assert asked_in(address, slow).status == 200
