"""The OpenAPI document is valid, and no answer to generated requests is outside it."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from flask import Flask
from openapi_spec_validator import validate as validate_document

from tests.support.service import PATH, USER, basic

DOCUMENT = PATH.replace("/report", "/openapi.json")
REQUESTS = 5_000 if os.environ.get("TELEMETRY_GENERATED_REQUESTS") == "full" else 300
# Which applications there are, and which texts are days, is more than a schema can tell.
BEYOND_A_SCHEMA = "positive_data_acceptance"


def test_document_is_valid(app: Flask) -> None:
    document = app.test_client().get(DOCUMENT, auth=USER).get_json()

    validate_document(document)
    assert document["openapi"] == "3.1.0"


def test_no_answer_is_outside_the_document(
    address: str, answered: Counter[tuple[str, int]], tmp_path: Path
) -> None:
    arguments = [sys.executable, "-m", "schemathesis.cli", "run", address + DOCUMENT]
    arguments += ["--header", f"Authorization: {basic(':'.join(USER))}"]
    arguments += ["--max-examples", str(REQUESTS), "--checks", "all"]
    arguments += ["--exclude-checks", BEYOND_A_SCHEMA]

    result = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"Operations:\s+7 selected / 7 total", result.stdout)
    assert sum(answered[PATH, status] for status in (200, 400)) >= REQUESTS
    assert {status for path, status in answered if path == PATH} >= {200, 400, 401, 405, 415}
