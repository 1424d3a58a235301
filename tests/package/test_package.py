"""The distribution: built as for a release, checked, and installed alone."""

import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.package.conftest import ROOT, new_venv, run

MODULES = {
    str(path.relative_to(ROOT)) for path in (ROOT / "flask_powerauth_telemetry").rglob("*.py")
}
PAGES = {
    str(path.relative_to(ROOT))
    for folder in ("templates", "static")
    for path in (ROOT / "flask_powerauth_telemetry/dashboard" / folder).iterdir()
}
BASE = {
    "blinker",
    "click",
    "flask",
    "flask-httpauth",
    "flask-powerauth-telemetry",
    "greenlet",
    "itsdangerous",
    "jinja2",
    "markupsafe",
    "marshmallow",
    "pip",
    "setuptools",
    "sqlalchemy",
    "typing-extensions",
    "werkzeug",
}
NEWCOMER = """
from flask import Flask
from sqlalchemy import create_engine
from flask_powerauth_telemetry import PowerAuthTelemetry
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.database.tables import PowerAuthTables

engine = create_engine("sqlite:///powerauth.sqlite")
tables = PowerAuthTables()
tables.metadata.create_all(engine)
with engine.begin() as connection:
    connection.execute(tables.pa_application.insert(), {"id": 1, "name": "retail"})
engine.dispose()

app = Flask(__name__)
app.config["POWERAUTH_TELEMETRY_DATABASE_URL"] = "sqlite:///powerauth.sqlite"
app.config["POWERAUTH_TELEMETRY_CREDENTIALS"] = {"me": digest("token")}
telemetry = PowerAuthTelemetry(app)
response = app.test_client().post(
    "/rest/v3/telemetry/report",
    json={"requestObject": {"name": "CURRENT_MAU", "parameters": {"application": "retail"}}},
    auth=("me", "token"),
)
statuses = [
    app.test_client().get(f"/rest/v3/telemetry/{path}", auth=("me", "token")).status_code
    for path in ("reports", "openapi.json")
]
telemetry.close(app)
print(response.status_code, response.get_json()["responseObject"]["reportData"], *statuses)
"""


@pytest.fixture(scope="module")
def installed(distributions: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment that holds the wheel alone."""
    return new_venv(tmp_path_factory.mktemp("venv"), distributions["wheel"])


def test_distributions_pass_twine(distributions: dict[str, Path], tmp_path: Path) -> None:
    output = run(
        sys.executable, "-m", "twine", "check", "--strict", *distributions.values(), folder=tmp_path
    )

    assert output.count("PASSED") == 2


def test_wheel_holds_the_package_and_nothing_else(distributions: dict[str, Path]) -> None:
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        names = set(wheel.namelist())

    files = {name for name in names if ".dist-info/" not in name}
    assert files == MODULES | PAGES | {"flask_powerauth_telemetry/py.typed"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_sdist_holds_what_its_tests_need(distributions: dict[str, Path]) -> None:
    with tarfile.open(distributions["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}

    wanted = ("setup.py", "tox.ini", "LICENSE", "README.md", "tests/conftest.py")
    assert names >= {*wanted, "tests/data/conformance.json", "example_app/app.py"} | MODULES | PAGES
    assert not any("example_app/instance" in name for name in names)


def test_base_installation_pulls_in_four_packages(installed: Path, tmp_path: Path) -> None:
    listed = run(installed / "pip", "list", "--format=freeze", folder=tmp_path)

    assert {line.partition("==")[0].lower().replace("_", "-") for line in listed.split()} <= BASE


def test_installed_alone_it_serves_a_report(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "newcomer.py").write_text(NEWCOMER)

    output = run(installed / "python", "-W", "error", "newcomer.py", folder=tmp_path)

    report = "200 {'application': 'retail', 'days': 30, 'users': 0}"
    # The catalogue and the OpenAPI document need an extra.
    assert output.strip() == f"{report} 404 404"


def test_installed_alone_it_makes_credentials(installed: Path, tmp_path: Path) -> None:
    output = run(installed / "flask", "telemetry", "create-credential", "me", folder=tmp_path)

    assert "POWERAUTH_TELEMETRY_CREDENTIALS" in output
