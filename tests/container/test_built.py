"""The image as buildah builds it: started read-only as anybody, asked, ended during a report."""

import random
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine

from tests.container.built import BuiltImage, build, lacking
from tests.container.services import ROOT, ask, environment, free_port, interpolated, service
from tests.support.held import eventually
from tests.support.proxy import Proxy, proxied

USER = random.randrange(20_000, 60_000)
_TIME = r"\[?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* "
LOGGED = re.compile(rf"{_TIME}(.*\[(INFO|WARNING)\]|(INFO|WARNING)) ")
LOGGED_ERROR = re.compile(rf"{_TIME}ERROR ")
SECONDS = 30

LACKING = ", ".join(lacking())

pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"needs {LACKING}: see CONTRIBUTING.md")


@pytest.fixture(scope="module")
def image(folder: Path) -> BuiltImage:
    return build(folder)


def run(image: BuiltImage, *command: str, **variables: str) -> str:
    process = image.process([*command], USER, **variables)
    return subprocess.run(process, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="module")
def proxy(image: BuiltImage, sockets: str) -> Iterator[Proxy]:
    """In front of the server whose databases the service ``population`` has made."""
    with proxied(owner(sockets)) as proxy:
        command = [interpolated(word) for word in service("population")["command"]]
        output = run(image, *command, **environment("population", through(proxy)))
        assert output == "The databases are ready.\n"
        yield proxy


def owner(sockets: str) -> Engine:
    return create_engine(
        f"postgresql+psycopg://powerauth@/powerauth?host={sockets}", poolclass=NullPool
    )


def through(proxy: Proxy) -> str:
    """What follows ``@`` in URLs of the databases."""
    return f"127.0.0.1:{proxy.port}/{{}}"


@dataclass
class Started:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def started(image: BuiltImage, proxy: Proxy, tmp_path: Path) -> Iterator[Started]:
    port, log = free_port(), tmp_path / "log"
    given = [*(image.configuration["Entrypoint"] or []), *image.configuration["Cmd"]]
    command = [word.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for word in given]
    process = image.process(command, USER, **environment("telemetry", through(proxy)))
    with log.open("wb") as file, subprocess.Popen(process, stdout=file, stderr=file) as one:
        try:
            eventually(lambda: is_healthy(image, port) or one.poll() is not None, 2 * SECONDS)
            assert one.poll() is None, log.read_text()
            yield Started(one, port, log)
        finally:
            one.terminate()


def is_healthy(image: BuiltImage, port: int, **variables: str) -> bool:
    kind, *command = image.configuration["Healthcheck"]["Test"]
    assert kind == "CMD"
    command = [word.replace(":8000", f":{port}") for word in command]
    process = image.process(command, USER, **variables)
    return subprocess.run(process, check=False, capture_output=True).returncode == 0


def test_image_holds_what_is_locked_and_no_more(image: BuiltImage) -> None:
    lock = (ROOT / "requirements-image.txt").read_text()
    (version,) = re.findall(r'version="(.*)"', (ROOT / "setup.py").read_text())
    locked = set(re.findall(r"^(\S+)==(\S+) (?!;.*win32)", lock, re.MULTILINE))
    script = (
        "import importlib.metadata as m, sysconfig\n"
        "for one in m.distributions(path=[sysconfig.get_path('purelib')]):\n"
        "    print(one.name.lower().replace('_', '-'), one.version)"
    )

    found = {tuple(line.split()) for line in run(image, "python", "-c", script).splitlines()}

    without_builder = {pin for pin in locked if pin[0] != "setuptools"}
    assert found == without_builder | {("flask-powerauth-telemetry", version)}


def test_files_of_the_image_are_read_only(image: BuiltImage) -> None:
    script = "import os; print(os.getuid(), bool(os.statvfs('.').f_flag & os.ST_RDONLY))"

    assert run(image, "python", "-c", script) == f"{USER} True\n"


def test_health_check_of_the_image_goes_through_no_proxy(
    image: BuiltImage, started: Started
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        assert is_healthy(image, started.port, **{name: f"http://127.0.0.1:{free_port()}"})
        proxy = f"http://127.0.0.1:{started.port}"
        assert not is_healthy(image, free_port(), **{name: proxy})


def test_report_is_recorded_and_answered(image: BuiltImage, proxy: Proxy, started: Started) -> None:
    recording = environment("snapshot", through(proxy))

    output = run(image, "flask", "telemetry", "snapshot", **recording)

    data, _ = ask(started.port, "CURRENT_MAU", application="retail-banking")
    assert data["users"] > 1000
    assert "retail-banking" in output


def test_report_that_runs_is_answered_before_the_end(started: Started, sockets: str) -> None:
    question = {"application": "wealth", "days": 365}
    with ThreadPoolExecutor() as pool, owner(sockets).connect() as connection:
        connection.exec_driver_sql("LOCK TABLE pa_activation IN ACCESS EXCLUSIVE MODE")
        answer = pool.submit(ask, started.port, "ACTIVE_DEVICES_BY_PLATFORM", **question)
        eventually(lambda: waits(connection))
        started.process.send_signal(signal.SIGTERM)
        eventually(lambda: "Handling signal: term" in started.log.read_text())
        assert not answer.done()
        connection.rollback()
        data, _ = answer.result(SECONDS)

    assert set(data["platforms"]) == {"android", "ios", "unknown"}
    assert started.process.wait(SECONDS) == 0
    assert [line for line in started.lines() if not LOGGED.match(line)] == []


def waits(connection: Connection) -> bool:
    count = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    return bool(connection.exec_driver_sql(count).scalar())


def test_what_the_extension_logs_has_its_time_and_level(started: Started, proxy: Proxy) -> None:
    proxy.refuse()
    proxy.close_all()
    try:
        with pytest.raises(HTTPError) as refused:
            ask(started.port, "ACTIVE_DEVICES_BY_PLATFORM", application="wealth", days=1)
        refused.value.close()
        eventually(lambda: "A report is not available" in started.log.read_text())
    finally:
        proxy.accept()
    started.process.terminate()

    assert refused.value.code == 503
    assert started.process.wait(SECONDS) == 0
    unlike = [line for line in started.lines() if not LOGGED.match(line)]
    assert [line for line in unlike if not LOGGED_ERROR.match(line)] == []
    assert all("A report is not available" in line for line in unlike)
