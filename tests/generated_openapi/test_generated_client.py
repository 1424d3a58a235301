"""A client made of the OpenAPI document asks for every report, and reads every answer.

Needs what the tox environment ``openapi`` installs.
"""

import base64
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_powerauth_telemetry.state import EXTENSION_KEY
from tests.support.service import PATH, USER

PREFIX = PATH.removesuffix("/report")
PACKAGE = "made_client"
# No formatter is run on what is made: it would be one more thing to install.
CONFIGURATION: dict[str, list[str]] = {"post_hooks": []}


class MadeClient:
    """The modules of a client, and the document that they were made of."""

    def __init__(self, document: Mapping[str, Any], address: str) -> None:
        self.document = document
        self.address = address
        self.models: Any = importlib.import_module(f"{PACKAGE}.models")

    def call(self, operation: str, user: tuple[str, str] = USER, **arguments: Any) -> Any:
        """What an operation answers, by its tag and its name."""
        client: Any = importlib.import_module(f"{PACKAGE}.client")
        token = base64.b64encode(":".join(user).encode()).decode()
        with client.AuthenticatedClient(
            base_url=self.address + PREFIX, token=token, prefix="Basic"
        ) as opened:
            module: Any = importlib.import_module(f"{PACKAGE}.api.{operation}")
            return module.sync_detailed(client=opened, **arguments)

    def ask(self, request: Mapping[str, Any], **options: Any) -> Any:
        """The answer to a request for a report."""
        body = self.models.ReportRequest.from_dict(request)
        assert body.to_dict() == request
        return self.call("reports.get_report", body=body, **options)

    @property
    def examples(self) -> Mapping[str, Mapping[str, Any]]:
        """The documented request for each report."""
        body = self.document["paths"]["/report"]["post"]["requestBody"]
        examples = body["content"]["application/json"]["examples"]
        return {name: example["value"] for name, example in examples.items()}


@pytest.fixture
def made(
    app: Flask, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MadeClient]:
    document = app.test_client().get(f"{PREFIX}/openapi.json", auth=USER).get_json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "configuration.json").write_text(json.dumps(CONFIGURATION))
    arguments = ["--path", "openapi.json", "--config", "configuration.json"]
    arguments += ["--meta", "none", "--output-path", PACKAGE, "--fail-on-warning"]
    result = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    monkeypatch.syspath_prepend(tmp_path)
    yield MadeClient(document, address)
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def in_camel_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def test_every_report_is_answered_and_read(app: Flask, made: MadeClient) -> None:
    (state,) = app.extensions[EXTENSION_KEY].values()
    names = [report.name for report in state.registry]
    assert list(made.examples) == names
    assert len(names) >= 12

    for name, request in made.examples.items():
        answer = made.ask(request)

        assert answer.status_code == 200, answer.content
        raw = json.loads(answer.content)
        assert type(answer.parsed) is made.models.ReportResponse
        assert answer.parsed.to_dict() == raw
        given = answer.parsed.response_object
        assert type(given).__name__ == f"{in_camel_case(name)}Response"
        assert given.name.value == name
        assert type(given.report_data).__name__ == f"{in_camel_case(name)}Data"
        assert not given.report_data.additional_properties


def test_requests_and_reports_are_typed(made: MadeClient) -> None:
    models = made.models
    asked = models.SignaturesInPastDaysRequest(
        name=models.SignaturesInPastDaysRequestName.SIGNATURES_IN_PAST_DAYS,
        parameters=models.SignaturesInPastDaysParameters(application="retail-banking", days=90),
    )

    body = models.ReportRequest(request_object=asked)
    answer = made.call("reports.get_report", body=body)

    raw = json.loads(answer.content)["responseObject"]["reportData"]
    data = answer.parsed.response_object.report_data
    assert (data.application, data.days, data.total) == ("retail-banking", 90, raw["total"])
    assert data.total > 0
    assert [type(one) for one in data.by_type] == [models.SignaturesInPastDaysType] * len(
        raw["byType"]
    )
    assert type(data.busiest_hour) is models.SignaturesInPastDaysHour
    assert data.busiest_hour.per_second == raw["busiestHour"]["perSecond"]


def test_object_that_is_null_is_none(made: MadeClient) -> None:
    parameters = {"application": "quiet", "days": 7}
    asked = {"name": "SIGNATURES_IN_PAST_DAYS", "parameters": parameters}

    answer = made.ask({"requestObject": asked})

    data = answer.parsed.response_object.report_data
    assert (data.application, data.total, data.busiest_hour) == ("quiet", 0, None)
    assert answer.parsed.to_dict() == json.loads(answer.content)


def test_errors_are_typed(made: MadeClient) -> None:
    asked = {"name": "USERS_BY_PAST_DAYS", "parameters": {"application": "no"}}
    request = {"requestObject": asked}

    refused = made.ask(request)
    stopped = made.ask(request, user=("billing", "wrong"))

    assert (refused.status_code, stopped.status_code) == (400, 401)
    for answer in (refused, stopped):
        assert type(answer.parsed) is made.models.ErrorResponse
        assert answer.parsed.to_dict() == json.loads(answer.content)
    codes = made.models.ErrorCode
    assert refused.parsed.response_object.code is codes.ERROR_TELEMETRY
    assert refused.parsed.response_object.localized_message == "Unknown application: no"
    assert stopped.parsed.response_object.code is codes.ERROR_UNAUTHORIZED


def test_catalogue_is_read(made: MadeClient) -> None:
    answer = made.call("description.get_reports")

    reports = answer.parsed.response_object.reports
    assert [report.name for report in reports] == list(made.examples)
    assert answer.parsed.to_dict() == json.loads(answer.content)
