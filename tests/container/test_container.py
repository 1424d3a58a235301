"""The container: its files linted, and its steps run as they are written, without Docker."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from sqlalchemy import create_engine

from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.config.keys import known_keys
from tests.container.image import Image, build_image
from tests.container.services import (
    COMPOSE,
    ROOT,
    VARIABLES,
    ask,
    environment,
    free_port,
    interpolated,
    service,
)

OURS = ("population", "telemetry", "snapshot")


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name(name), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_dockerfile_is_clean() -> None:
    result = tool("hadolint", "Dockerfile")

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_compose_file_fits_the_specification() -> None:
    result = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")

    assert result.returncode == 0, result.stdout


def test_compose_file_has_no_dangerous_setting() -> None:
    result = tool("compose-lint", "--fail-on", "high", "compose.yaml")

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", OURS)
def test_image_is_built_and_never_fetched(name: str) -> None:
    assert service(name)["build"] == "."
    (version,) = re.findall(r'version="(.*)"', (ROOT / "setup.py").read_text())
    assert service(name)["image"] == f"flask-powerauth-telemetry:{version}"


@pytest.mark.parametrize("name", [*OURS, "database", "proxy"])
def test_services_can_do_little(name: str) -> None:
    one = service(name)

    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in one["tmpfs"]
    assert {"mem_limit", "pids_limit", "cpus"} <= set(one)
    assert all(port.startswith("127.0.0.1:") for port in one.get("ports", []))


def test_manifest_fits_the_schemas_of_kubernetes() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/mounting.md").read_text(), re.DOTALL)

    for manifest in yaml.safe_load_all(block):
        kubernetes_validate.validate(manifest, "1.31", strict=True)


@pytest.fixture(scope="module")
def image(folder: Path) -> Image:
    return build_image(ROOT, folder / "image")


def run_service(image: Image, name: str, sockets: str, **variables: str) -> str:
    command = [interpolated(word) for word in service(name)["command"]]
    process = image.process(command, **(environment(name, f"/{{}}?host={sockets}") | variables))
    result = subprocess.run(capture_output=True, text=True, check=False, **process)  # type: ignore[call-overload]
    assert "Traceback" not in result.stderr, result.stderr
    return str(result.stdout)


@pytest.fixture(scope="module")
def recorded(image: Image, sockets: str, folder: Path) -> str:
    """The server after the services ``population`` and one round of ``snapshot``."""
    output = [run_service(image, "population", sockets) for _ in range(2)]
    assert output == ["The databases are ready.\n"] * 2
    programs = folder / "programs"
    programs.mkdir()
    pause = programs / "sleep"
    pause.write_text('#!/bin/sh\necho "pause of $1"\nkill $PPID\n')
    pause.chmod(0o755)
    path = f"{programs}:{image.environment()['PATH']}"
    output = run_service(image, "snapshot", sockets, PATH=path).splitlines()
    assert [line.partition(":")[0] for line in output if "banking" in line or "wealth" in line]
    assert 0 < int(output[-1].removeprefix("pause of ")) <= 3600
    return sockets


@pytest.fixture(scope="module")
def port(image: Image, recorded: str) -> Iterator[int]:
    """The port of the running service ``telemetry``."""
    port = free_port()
    assert "command" not in service("telemetry")
    command = [word.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for word in image.command]
    process = image.process(command, **environment("telemetry", f"/{{}}?host={recorded}"))
    with subprocess.Popen(**process) as server:  # type: ignore[call-overload]
        try:
            while is_unhealthy(image, port):
                assert server.poll() is None
            yield port
        finally:
            server.terminate()
    assert server.returncode == 0


def is_unhealthy(image: Image, port: int, **variables: str) -> int:
    """The exit code of the image's health check."""
    command = [word.replace(":8000", f":{port}") for word in image.healthcheck]
    process = image.process(command, **variables)
    return subprocess.run(check=False, capture_output=True, **process).returncode  # type: ignore[call-overload,no-any-return]


def test_health_check_tells_a_server_from_none(image: Image, port: int) -> None:
    assert is_unhealthy(image, port) == 0
    assert is_unhealthy(image, free_port()) == 1


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_health_check_goes_through_no_proxy(image: Image, port: int, name: str) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    everything_is_well = f"http://127.0.0.1:{port}"

    assert is_unhealthy(image, port, **{name: nobody}) == 0
    assert is_unhealthy(image, free_port(), **{name: everything_is_well}) == 1


def test_reports_end_before_the_worker_and_that_before_the_container(image: Image) -> None:
    (graceful,) = (
        int(word.partition("=")[2])
        for word in image.command
        if word.startswith("--graceful-timeout=")
    )
    grace = service("telemetry")["stop_grace_period"]
    report = known_keys()["POWERAUTH_TELEMETRY_STATEMENT_TIMEOUT"].load_default

    assert report < graceful < int(grace.removesuffix("s"))


def test_recorded_report_is_served(port: int, recorded: str) -> None:
    data, headers = ask(port, "CURRENT_MAU", application="retail-banking")

    assert data == {"application": "retail-banking", "days": 30, "users": data["users"]}
    assert data["users"] > 1000
    assert "Age" in headers


def test_report_of_the_example_is_served_live(port: int) -> None:
    data, headers = ask(port, "ACTIVE_DEVICES_BY_PLATFORM", application="wealth", days=365)

    assert set(data["platforms"]) == {"android", "ios", "unknown"}
    assert "Age" not in headers


def test_reader_can_neither_read_more_nor_write(recorded: str) -> None:
    refused = {
        "powerauth": ["SELECT activation_id FROM pa_activation", "DELETE FROM pa_activation"],
        "telemetry": ["DELETE FROM telemetry_recording", "CREATE TABLE mine ()"],
    }
    for database, statements in refused.items():
        url = f"postgresql+psycopg://telemetry_reader@/{database}?host={recorded}"
        engine = create_engine(url)
        for statement in statements:
            with (
                engine.connect() as connection,
                pytest.raises(Exception, match="permission denied"),
            ):
                connection.exec_driver_sql(statement)
        engine.dispose()


def test_processes_belong_to_no_one_and_write_nothing(image: Image, port: int) -> None:
    written = [path for path in image.root.rglob("*") if path.lstat().st_uid == 10001]

    assert image.user == "10001:10001"
    assert written == []


def test_image_holds_what_it_needs_and_no_more(image: Image) -> None:
    top = {str(path.relative_to(image.root)) for path in image.root.glob("*/*")}
    copied = image.at("/srv/telemetry/example_app")
    listed = {path.relative_to(copied) for path in copied.rglob("*") if path.is_file()}

    assert top == {"opt/telemetry", "srv/telemetry"}
    example = ROOT / "example_app"
    assert listed == {path.relative_to(example) for path in example.rglob("*.py")}


def test_package_with_another_hash_fails_the_build(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(ROOT / "Dockerfile", source)
    lock = (ROOT / "requirements-image.txt").read_text()
    (start,) = re.findall(r"\nblinker==.*\n", lock)
    before, _, after = lock.partition(start)
    (source / "requirements-image.txt").write_text(
        before + start + re.sub("sha256:[0-9a-f]{8}", "sha256:00000000", after)
    )

    with pytest.raises(subprocess.CalledProcessError) as caught:
        build_image(source, tmp_path / "image")

    assert "--require-hashes" in str(caught.value)


def test_build_context_leaves_out_what_is_not_copied() -> None:
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.M)

    assert kept == {name for line in copied for name in line.split()}


def document() -> str:
    return (ROOT / "docs/container.md").read_text()


def test_documented_credentials_are_those_of_the_password() -> None:
    (block,) = re.findall(r"```sh\n(.*?openssl.*?)```", document(), re.DOTALL)
    script = f'{block}\nprintf "%s\\n" "$TELEMETRY_TOKEN" "$TELEMETRY_CREDENTIALS"'

    output = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)

    token, credentials = output.stdout.splitlines()
    assert json.loads(credentials) == {"billing": digest(token)}
    assert len(token) == 64


def test_documented_request_is_answered(port: int) -> None:
    (line,) = re.findall(r"^curl .*$", document(), re.MULTILINE)
    script = f"TELEMETRY_TOKEN=token\n{line.replace(':8000', f':{port}')}"

    output = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)

    assert json.loads(output.stdout)["responseObject"]["reportData"]["users"] > 1000


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_user_of_the_image_can_write_nothing(image: Image) -> None:
    script = "import os; print(os.getuid(), os.access('.', os.W_OK)); open('mine', 'w')"

    process = image.process(["python", "-c", script])
    result = subprocess.run(check=False, capture_output=True, text=True, **process)  # type: ignore[call-overload]

    assert result.stdout.strip() == "10001 False"
    assert "PermissionError" in result.stderr


def test_documented_variables_are_those_of_the_compose_file() -> None:
    text = document()
    documented = set(re.findall(r"^export (\w+)=", text, re.MULTILINE))
    asked_for = set(re.findall(r"\$\{(\w+):\?\}", COMPOSE.read_text()))

    assert documented == asked_for == set(VARIABLES)
    for command in re.findall(r"^docker compose .*$", text, re.MULTILINE):
        named = set(command.split()) & {"database", *OURS}
        assert named or command.split()[2] in {"up", "down", "ps"}, command
