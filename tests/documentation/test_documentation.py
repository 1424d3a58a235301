"""What the documentation says is true: its code runs, its tables are complete, its links lead."""

import importlib.metadata
import inspect
import json
import logging
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import sqlglot
from blinker import NamedSignal
from flask import Flask
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, make_url
from werkzeug.utils import import_string

import flask_powerauth_telemetry
from flask_powerauth_telemetry import (
    PowerAuthTelemetry,
    ReportContext,
    ReportProvider,
)
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.cli import COMMANDS as MEMBERS
from flask_powerauth_telemetry.cli.snapshot import snapshot
from flask_powerauth_telemetry.config.keys import known_keys
from flask_powerauth_telemetry.dashboard.figures import (
    APPLICATION_FIGURES,
    COMPARED_FIGURES,
    OVERVIEW_FIGURES,
)
from flask_powerauth_telemetry.database.dialects import DIALECTS
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.history.mau_history import MauHistory
from flask_powerauth_telemetry.history.tables import HistoryTables
from flask_powerauth_telemetry.history.users_by_month import UsersByMonth
from flask_powerauth_telemetry.history.users_in_month import (
    STATES,
    UsersInMonth,
    UsersInMonthSchema,
)
from flask_powerauth_telemetry.monitoring import access_log, signals
from flask_powerauth_telemetry.monitoring.events import Origin, Refusal
from flask_powerauth_telemetry.monitoring.metrics import TelemetryMetrics
from flask_powerauth_telemetry.registry import ENTRY_POINT_GROUP, ReportRegistry
from flask_powerauth_telemetry.reports import FURTHER_REPORTS
from flask_powerauth_telemetry.reports.active_users import CurrentMau, UsersInPastDays
from flask_powerauth_telemetry.state import EXTENSION_KEY
from tests.documentation.columns import lines as lines_of_columns
from tests.documentation.keys import lines as lines_of_keys
from tests.support import powerauth
from tests.support.commands import CHECKS
from tests.support.documents import (
    COMMANDS_PAGE,
    COMPATIBILITY,
    CONFIGURATION,
    DASHBOARD,
    DATABASES,
    DOCUMENTS,
    GUIDES_WITH_CODE,
    MONITORING,
    PROVIDERS,
    README,
    RECORDING,
    REPORTS,
    ROOT,
    SCALING,
    START,
    TROUBLESHOOTING,
    blocks,
    column,
    evaluate,
    named,
    python_examples,
    run,
    table,
    text_of,
)
from tests.support.reader import USERS, close_later
from tests.support.reference_server import ReferenceServer, running
from tests.support.service import PATH, USER, ask

CATALOGUE = PATH + "s"
PACKAGE = ROOT / "flask_powerauth_telemetry"
EVENTS = {name for name, value in vars(signals).items() if isinstance(value, NamedSignal)}
POWERAUTH_SERVER = "https://HOST/powerauth-java-server/rest"
"""What stands for PowerAuth Server in commands."""
PARAMETERS = {
    "application": "retail",
    "applications": ["retail", "corporate"],
    "days": 30,
    "first": "retail",
    "second": "corporate",
}
"""What all documented reports take, each its own part."""


@pytest.fixture
def acme_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of docs/providers.md, as if it were installed."""
    (module,) = (block for block in blocks(PROVIDERS, "python") if "# acme_reports.py" in block)
    (project,) = (tomllib.loads(block) for block in blocks(PROVIDERS, "toml"))
    assert set(project["project"]["entry-points"]) == {ENTRY_POINT_GROUP}
    offered = project["project"]["entry-points"][ENTRY_POINT_GROUP]
    (tmp_path / "acme_reports.py").write_text(module, encoding="utf-8")
    metadata = tmp_path / "acme_reports-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: acme-reports\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(
        "\n".join([f"[{ENTRY_POINT_GROUP}]", *(f"{key} = {offered[key]}" for key in offered)]),
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("acme_reports", None)


def test_every_document_with_code_is_run() -> None:
    with_code = {path for path in DOCUMENTS if blocks(path, "python")}

    here = {README, CONFIGURATION, PROVIDERS, DATABASES, MONITORING, REPORTS, DASHBOARD}
    assert with_code == here | set(GUIDES_WITH_CODE)


@pytest.mark.usefixtures("reader_environment")
def test_readme_code_answers_as_printed() -> None:
    client = run(README)["app"].test_client()
    request, response = (json.loads(block) for block in blocks(README, "json"))

    answer = client.post(PATH, json=request, auth=USER)

    assert answer.status_code == 200
    assert answer.get_json() == response
    own = ask(client, "NEW_ACTIVATIONS", {"application": "retail", "days": 30})
    assert own.get_json() == {
        "status": "OK",
        "responseObject": {"name": "NEW_ACTIVATIONS", "reportData": {"activations": USERS}},
    }


@pytest.mark.usefixtures("reader_environment")
def test_dashboard_code_shows_the_documented_pages() -> None:
    client = run(DASHBOARD)["app"].test_client()
    addresses = column(DASHBOARD, "## What it shows", "Address")

    statuses = {address: client.get(address, auth=USER).status_code for address in addresses}

    assert set(statuses.values()) == {200}
    page = client.get("/telemetry/application?application=retail", auth=USER).get_data(as_text=True)
    assert page.count('<section class="figure') == len(APPLICATION_FIGURES) - 1  # no windows
    assert "POWERAUTH_TELEMETRY_REPORTS" not in page


def test_table_of_figures_is_complete() -> None:
    documented = {
        (row["Figure"].strip("`"), row["Report"].strip("`"))
        for row in table(DASHBOARD, "### Figures")
    }

    figures = (*APPLICATION_FIGURES, *OVERVIEW_FIGURES, *COMPARED_FIGURES)
    assert documented == {(one.key, one.report) for one in figures}


@pytest.mark.usefixtures("reader_environment")
def test_monitoring_code_shows_what_it_says() -> None:
    for example in python_examples(MONITORING):
        if "opentelemetry" not in example.parsed:  # which has an environment of its own
            app = evaluate(example)
    assert app is not None
    client = app.test_client()

    ask(client, parameters={"application": "retail"})

    metrics = client.get("/internal/metrics").get_data(as_text=True)
    (users,) = re.findall(r"^powerauth_telemetry_active_users{.*} (.*)$", metrics, re.MULTILINE)
    assert float(users) == USERS
    access_log.logger.setLevel(logging.NOTSET)


def test_table_of_record_attributes_is_complete(caplog: pytest.LogCaptureFixture) -> None:
    refusal = Refusal(status=404, code="ERROR_NOT_FOUND", error="NotFound", principal=None)
    origin = Origin(instance="powerauth_telemetry")
    fields = access_log.fields_of("request_refused", origin, refusal)
    access_log.write(logging.WARNING, fields)

    (record,) = caplog.records
    attributes = {name for name in vars(record) if name.startswith(access_log.EXTRA_PREFIX)}
    assert set(column(MONITORING, "## The log", "Event")) == EVENTS
    assert set(column(MONITORING, "### Attributes of a record", "Attribute")) == attributes


def test_table_of_signals_is_complete() -> None:
    assert set(column(MONITORING, "## Signals", "Signal")) == EVENTS
    assert {getattr(signals, name).name for name in EVENTS} == EVENTS


def test_table_of_metrics_is_complete() -> None:
    registry = CollectorRegistry()
    TelemetryMetrics(registry=registry)
    totals = {"counter": "_total"}

    documented = {
        (row["Metric"].strip("`"), row["Type"]) for row in table(MONITORING, "## Metrics")
    }

    assert documented == {
        (metric.name + totals.get(metric.type, ""), metric.type) for metric in registry.collect()
    }


def test_readme_provider_fits_on_a_screen() -> None:
    (provider,) = (block for block in blocks(README, "python") if "(ReportProvider)" in block)

    assert len(provider.strip().splitlines()) <= 30


@pytest.mark.usefixtures("reader_environment")
def test_configuration_code_mounts_what_it_says() -> None:
    paths = set()
    for example in python_examples(CONFIGURATION):
        app = evaluate(example)
        assert app is not None
        mounted = {str(rule) for rule in app.url_map.iter_rules() if rule.rule.endswith("/report")}
        assert mounted, f"nothing is mounted in line {example.line}"
        for path in mounted:
            assert app.test_client().post(path).status_code == 401
        paths |= mounted

    assert paths == {
        "/rest/v3/telemetry/report",
        "/rest/v4/telemetry/report",
        "/emea/rest/v3/telemetry/report",
        "/admin/telemetry/report",
    }


@pytest.mark.usefixtures("reader_environment")
def test_documented_store_checks_credentials(tmp_path: Path) -> None:
    store = run(CONFIGURATION)["TokenFile"](tmp_path / "tokens.json")

    assert store.authenticate(*USER) == USER[0]
    assert store.authenticate(USER[0], "wrong") is None
    assert store.authenticate("", "") is None


@pytest.mark.usefixtures("acme_reports", "reader_environment")
def test_documented_providers_give_reports() -> None:
    namespace = run(PROVIDERS)
    providers = [
        kind()
        for kind in namespace.values()
        if isinstance(kind, type) and issubclass(kind, ReportProvider) and kind.name
    ]
    app = Flask("documented")
    app.config.from_prefixed_env()
    PowerAuthTelemetry(app, providers=providers)
    close_later(app)

    answers = {
        provider.name: ask(app.test_client(), provider.name, PARAMETERS).get_json()[
            "responseObject"
        ]["reportData"]
        for provider in providers
    }

    assert answers == {
        "APPLICATION_COUNT": {"applications": 2},
        "APPLICATION_COUNT_OF_YESTERDAY": {"applications": 2},
        "ACTIVATIONS_IN_STATUS": {"activations": USERS},
        "ACME_NEW_ACTIVATIONS": {"activations": USERS},
    }


@pytest.mark.usefixtures("acme_reports", "reader_environment")
def test_documented_package_is_found_by_its_entry_point() -> None:
    client = run(PROVIDERS)["app"].test_client()

    answer = ask(client, "ACME_NEW_ACTIVATIONS", {"application": "retail"})

    assert answer.get_json()["responseObject"]["reportData"] == {"activations": USERS}


def test_documented_providers_keep_the_contract(tmp_path: Path) -> None:
    shown = blocks(PROVIDERS, "python")
    code = [one for one in shown if "Flask(" not in one and "import NewActivations" not in one]
    kinds = [name for block in code for name in re.findall(r"class (\w+)\(ReportProvider", block)]
    suites = [f"Test{kind} = contract_suite({kind}(), {PARAMETERS})" for kind in kinds]
    module = tmp_path / "test_documented.py"
    imported = "from flask_powerauth_telemetry.testing import contract_suite"
    module.write_text("\n".join([*code, imported, *suites]), encoding="utf-8")
    options = ["-W", "error", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]

    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(module)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr


COMMANDS = [
    pytest.param(line, id=f"{named(path)}: {line}")
    for path in DOCUMENTS
    if path != START  # which is run whole
    for block in blocks(path, "sh")
    for line in block.splitlines()
    if line.startswith("flask ")
]


@pytest.fixture
def reader_application(
    reader_environment: None, sqlite: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ReferenceServer]:
    """The README's application in the own folder, and a PowerAuth Server of the same database."""
    (tmp_path / "app.py").write_text(blocks(README, "python")[0], encoding="utf-8")
    powerauth.add_integrations(
        sqlite, [powerauth.Integration("id", None, "CLIENT_TOKEN", "secret")]
    )
    monkeypatch.setenv("POWERAUTH_SERVER_TOKEN", "secret")
    with running(sqlite) as server:
        yield server


@pytest.mark.parametrize("command", COMMANDS)
def test_documented_command_runs(
    command: str,
    tmp_path: Path,
    reader_application: ReferenceServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, *arguments = shlex.split(command.replace(POWERAUTH_SERVER, reader_application.url))
    if "emea" in arguments:
        several = next(one for one in blocks(CONFIGURATION, "python") if 'name="emea"' in one)
        with (tmp_path / "app.py").open("a", encoding="utf-8") as application:
            application.write(several)
    wants_months = {"USERS_BY_MONTH", "statement"} & {*arguments}
    if wants_months or arguments[1:] == ["snapshot", "--verify"]:
        reports = '["USERS_BY_MONTH", "USERS_IN_MONTH"]'
        monkeypatch.setenv("FLASK_POWERAUTH_TELEMETRY_REPORTS", reports)
        record = [sys.executable, "-m", "flask", "telemetry", "snapshot"]
        subprocess.run(record, cwd=tmp_path, check=True)

    result = subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    # Of a month that was not recorded at its end, bounds are known, or nothing. At most times, no
    # full hour is near.
    codes = (1, 2) if "statement" in arguments else (0,)
    errors = [line for line in result.stderr.splitlines() if "more than 5 minutes off" not in line]
    assert errors == []
    assert result.returncode in codes
    assert result.stdout
    if arguments[1] == "create-credential":
        token = re.search(r"Token: +(\S+)", result.stdout)
        assert token is not None
        assert digest(token[1]) in result.stdout


def test_scheduled_commands_are_documented_ones() -> None:
    documented = {" ".join(str(command.values[0]).split()[1:]) for command in COMMANDS}
    scheduled = [
        line
        for language in ("cron", "ini")
        for block in blocks(RECORDING, language)
        for line in block.splitlines()
        if "flask" in line
    ]

    assert len(scheduled) == 2
    for line in scheduled:
        assert line.rpartition("--app app ")[2] in documented


def test_options_of_the_snapshot_are_documented() -> None:
    options = [option.opts[0] for option in snapshot.params]

    assert [
        option.partition(" ")[0] for option in column(RECORDING, "### Record", "Option")
    ] == options


def test_fields_and_states_of_a_month_are_documented() -> None:
    fields = {field.data_key or name for name, field in UsersInMonthSchema().fields.items()}
    documented = ", ".join(column(REPORTS, "## USERS_IN_MONTH", "Field")).split(", ")
    states = column(REPORTS, "### What is known of a month", "State")

    assert {*documented, "application", "month"} == fields
    assert tuple(states) == STATES


@pytest.mark.parametrize("name", [UsersInMonth.name, UsersByMonth.name, MauHistory.name])
def test_documented_examples_fit_their_schemas(name: str) -> None:
    provider = {kind.name: kind for kind in (UsersInMonth, UsersByMonth, MauHistory)}[name]
    section = text_of(REPORTS).partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    request, response = (
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    )
    data = response["responseObject"]["reportData"]

    assert request["requestObject"]["name"] == response["responseObject"]["name"] == name
    assert isinstance(provider.parameters_schema, type)
    assert isinstance(provider.data_schema, type)
    provider.parameters_schema().load(request["requestObject"]["parameters"])
    provider.data_schema().load(data)
    assert request["requestObject"]["parameters"].items() <= data.items()


def test_columns_of_a_recording_are_documented() -> None:
    columns = HistoryTables(None).recording.columns.keys()

    documented = ", ".join(column(RECORDING, "### The history", "Column"))

    assert documented.split(", ") == columns


def test_table_of_checks_is_complete() -> None:
    assert tuple(column(COMMANDS_PAGE, "### Is it set up well?", "Check")) == CHECKS


def test_table_of_exit_codes_is_complete() -> None:
    checks = set(column(COMMANDS_PAGE, "## Checks", "Command"))
    reports = set(column(COMMANDS_PAGE, "## Reports on the command line", "Command"))

    assert checks == {"check", "applications", "reconcile"}
    assert reports == {"reports", "report", "openapi"}


def test_every_command_is_documented() -> None:
    documented = {shlex.split(str(command.values[0]))[2] for command in COMMANDS}

    assert documented == set(MEMBERS)


@pytest.mark.parametrize(
    ("path", "language", "dialect"),
    [
        (DATABASES, "plsql", "oracle"),
        (DATABASES, "tsql", "tsql"),
        (SCALING, "clickhouse", "clickhouse"),
    ],
)
def test_documented_statements_of_other_databases_parse(
    path: Path, language: str, dialect: str
) -> None:
    statements = [
        statement
        for block in blocks(path, language)
        for statement in sqlglot.parse(block, read=dialect)
    ]

    assert statements
    assert all(statement is not None for statement in statements)


def test_documented_urls_name_every_database() -> None:
    rows = table(DATABASES, "# Databases")

    urls = [make_url(row["URL"].strip("`")) for row in rows]

    assert {url.get_backend_name() for url in urls} == DIALECTS.keys()
    extras = {row["Extra that installs the driver"].strip("`") for row in rows} - {
        "none needed",
        "none",
    }
    distribution = importlib.metadata.metadata("flask-powerauth-telemetry")
    assert extras <= set(distribution.get_all("Provides-Extra") or [])


def test_list_of_keys_is_what_the_code_says() -> None:
    assert "\n".join(["", "## Keys", *lines_of_keys(), "", ""]) in text_of(CONFIGURATION)


def test_table_of_columns_is_what_the_code_says() -> None:
    assert "\n".join(["", "", *lines_of_columns(), "", ""]) in text_of(PROVIDERS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_documents_name_no_unknown_key(path: Path) -> None:
    used = re.findall(r"POWERAUTH_TELEMETRY_(?:EMEA_)?([A-Z_]*[A-Z])\b", text_of(path))

    assert {f"POWERAUTH_TELEMETRY_{key}" for key in used} <= set(known_keys())


def test_table_of_arguments_is_complete() -> None:
    _, *parameters = inspect.signature(PowerAuthTelemetry.__init__).parameters

    assert column(CONFIGURATION, "## Arguments of the constructor", "Argument") == parameters


def test_table_of_provider_attributes_is_complete() -> None:
    ways = ("generate", "computations", "report_data")
    attributes = [*ReportProvider.__annotations__, *ways]

    assert sorted(column(PROVIDERS, "## What a provider has", "Attribute")) == sorted(attributes)


def test_table_of_context_members_is_complete() -> None:
    members = {name for name in dir(ReportContext) if not name.startswith("_")} | {"now"}

    assert set(column(PROVIDERS, "## What the context gives", "Member")) == members


def test_every_public_name_is_documented() -> None:
    text = " ".join(text_of(path) for path in DOCUMENTS)

    missing = {
        name
        for name in flask_powerauth_telemetry.__all__
        if not re.search(rf"\b{re.escape(name)}\b", text)
    }

    assert missing == set()


def test_every_report_is_documented() -> None:
    names = [provider.name for provider in (CurrentMau, UsersInPastDays)]

    assert column(COMPATIBILITY, "## What is counted", "Report") == names
    assert column(REPORTS, "# Further reports", "Report") == list(FURTHER_REPORTS)


@pytest.mark.usefixtures("reader_environment")
def test_documented_further_reports_are_all_switched_on() -> None:
    (state,) = run(REPORTS)["app"].extensions[EXTENSION_KEY].values()

    assert list(state.config.reports) == list(FURTHER_REPORTS)


@pytest.mark.usefixtures("reader_environment")
def test_documented_catalogue_is_as_printed() -> None:
    client = run(REPORTS)["app"].test_client()
    (printed,) = (json.loads(block) for block in blocks(REPORTS, "json") if '"reports"' in block)
    (report,) = printed["responseObject"]["reports"]

    reports = client.get(CATALOGUE, auth=USER).get_json()["responseObject"]["reports"]

    assert report in reports


@pytest.mark.parametrize("name", FURTHER_REPORTS)
def test_further_report_is_documented_by_its_definition(name: str) -> None:
    _, _, section = text_of(REPORTS).partition(f"\n## {name}\n")
    report = import_string(FURTHER_REPORTS[name])

    assert report.definition in " ".join(section.partition("\n## ")[0].split())


@pytest.mark.parametrize("name", ["NEW_USERS_IN_PAST_DAYS", "SIGNATURES_IN_PAST_DAYS"])
def test_example_of_further_report_fits_its_schemas(name: str) -> None:
    examples = [json.loads(block) for block in blocks(REPORTS, "json") if name in block]
    request, answer = examples[0]["requestObject"], examples[1]["responseObject"]
    registry = ReportRegistry()
    report = registry.register(import_string(FURTHER_REPORTS[name])())

    assert request["name"] == answer["name"] == name
    assert request["parameters"].items() <= answer["reportData"].items()
    report.parameters_schema.load(request["parameters"])
    assert (
        report.data_schema.dump(report.data_schema.load(answer["reportData"]))
        == (answer["reportData"])
    )


def test_every_error_code_is_documented() -> None:
    documented = {
        (int(row["Status"]), row["Code"].strip("`"))
        for row in table(COMPATIBILITY, "## Error codes")
    }

    assert documented == {(kind.status, kind.code) for kind in errors(TelemetryError)}


def errors(kind: type[TelemetryError]) -> Iterator[type[TelemetryError]]:
    """An error of the API and all that derive from it; the dashboard's pages have their own."""
    yield kind
    for child in kind.__subclasses__():
        if re.match(r"flask_powerauth_telemetry\.(?!dashboard)", child.__module__):
            yield from errors(child)


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in links(path):
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{target} is not there"
        assert file.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(file), f"{target}#{anchor} is not there"


def links(path: Path) -> Iterable[tuple[str, str]]:
    """The relative links of a document: path and anchor."""
    text = re.sub(r"^```.*?^```", "", text_of(path), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link:
            target, _, anchor = link.partition("#")
            yield target, anchor


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_documented_messages_are_those_of_the_code() -> None:
    source = " ".join(text_of(path) for path in sorted(PACKAGE.rglob("*.py")))
    source = re.sub(r'"\s+f?"', "", source)
    cells = [row["Message"] for row in table(TROUBLESHOOTING, "## By error message")]
    messages = [part for cell in cells for part in re.findall(r"`(.+?)`", cell)]

    assert len(messages) >= len(cells)
    assert [message for message in messages if message not in source] == []


def test_documents_that_the_code_names_are_there() -> None:
    for path in PACKAGE.rglob("*.py"):
        for name in re.findall(r"docs/\w+\.md", text_of(path)):
            assert (ROOT / name).exists(), f"{named(path)} names {name}"
