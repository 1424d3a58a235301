"""The services of the compose file, as the tests start them and ask them."""

import base64
import json
import re
import socket
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from flask_powerauth_telemetry.auth.credentials import digest

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
VARIABLES = {
    "OWNER_PASSWORD": "owns",
    "READER_PASSWORD": "reads",
    "RECORDER_PASSWORD": "records",
    "TELEMETRY_CREDENTIALS": json.dumps({"billing": digest("token")}),
}
"""What the person who starts the services sets; the token is ``token``."""
PATH = "/rest/v3/telemetry/report"


def interpolated(text: str) -> str:
    """A text of the compose file, with the variables in it as compose puts them in."""
    text = re.sub(r"\$\{(\w+):\?\}", lambda match: VARIABLES[match[1]], text)
    assert "${" not in text
    return text.replace("$$", "$")


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"][name]
    return found


def environment(name: str, server: str) -> dict[str, str]:
    """The variables of a service; ``server`` is what follows ``@`` in URLs, ``{}`` the database."""
    return {
        key: re.sub(
            r"@database/(\w+)", lambda match: f"@{server.format(match[1])}", interpolated(value)
        )
        for key, value in service(name)["environment"].items()
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, name: str, **parameters: object) -> tuple[Any, Any]:
    body = {"requestObject": {"name": name, "parameters": parameters}}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{PATH}",
        data=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(b"billing:token").decode(),
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)["responseObject"]["reportData"], response.headers
