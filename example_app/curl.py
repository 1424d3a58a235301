"""Requests as lines to paste into a shell."""

import json
import shlex
from collections.abc import Mapping


def curl_line(url: str, credentials: str, report: str, parameters: Mapping[str, object]) -> str:
    """A curl command that asks for a report; ``credentials`` are user name, colon and token."""
    body = {"requestObject": {"name": report, "parameters": parameters}}
    content_type = "Content-Type: application/json"
    data = json.dumps(body, separators=(",", ":"))
    return shlex.join(["curl", "-s", "-u", credentials, "-H", content_type, "-d", data, url])
