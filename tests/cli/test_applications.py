"""``flask telemetry applications`` prints the names that can be asked for."""

import json

import pytest
from sqlalchemy import Engine

from flask_powerauth_telemetry.auth.credentials import digest
from tests.support import powerauth
from tests.support.commands import LEAST, app_of, command, role
from tests.support.service import create_app, recorded_statements

SCOPED = {
    "CREDENTIALS": {name: digest(name) for name in ("billing", "shop", "nobody")},
    "SCOPES": {"shop": ["retail", "not there"], "nobody": []},
}


def test_names_come_one_on_each_line(database: Engine) -> None:
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail", "Über banking", "corporate"])

    with recorded_statements() as statements:
        result = command(app_of(database), "applications")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "corporate\nretail\nÜber banking\n"
    assert not [statement for statement in statements if "pa_activation" in statement]


@pytest.mark.parametrize("name", ["NULL", "5", "x'00'"])
@pytest.mark.parametrize("arguments", ["applications", "check"])
def test_application_of_a_copy_that_has_no_name(sqlite: Engine, arguments: str, name: str) -> None:
    with sqlite.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE pa_application (id, name)")
        connection.exec_driver_sql(f"INSERT INTO pa_application VALUES (1, 'retail'), (2, {name})")

    result = command(app_of(sqlite), arguments)

    assert result.exit_code > 0
    assert "pa_application has no name that is text for 2" in result.output


def test_account_of_five_columns_is_enough(postgresql: Engine) -> None:
    powerauth.create_schema(postgresql)
    powerauth.add_applications(postgresql, ["retail"])

    with role(postgresql, *LEAST) as reader:
        assert command(app_of(reader), "applications").stdout == "retail\n"


@pytest.mark.parametrize(
    ("principal", "names"),
    [("billing", []), ("shop", ["retail"]), ("nobody", [])],
)
def test_principal_has_its_scope(sqlite: Engine, principal: str, names: list[str]) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail", "corporate"])
    app = app_of(sqlite, **SCOPED)

    result = command(app, "applications", "--principal", principal, "--json")

    assert (result.exit_code, json.loads(result.stdout)) == (0, names)


def test_unknown_principal_is_an_error(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)

    result = command(app_of(sqlite, **SCOPED), "applications", "--principal", "Shop")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "'Shop' has no credentials (there are: billing, nobody, shop)" in result.stderr


class HostsStore:
    def authenticate(self, username: str, password: str) -> str | None:
        return username


def test_principal_of_a_hosts_own_store_has_its_scope(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail", "corporate"])
    scopes = {"*": ["retail"]}
    app = app_of(sqlite, CREDENTIALS=None, arguments={"credentials": HostsStore()}, SCOPES=scopes)

    assert command(app, "applications", "--principal", "anyone").stdout == "retail\n"


def test_principal_of_the_integrations_is_one_of_them(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail", "corporate"])
    rows = "('1', 'shop', 'a', 'b'), ('2', '', 'c', 'd')"
    with sqlite.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO pa_integration VALUES {rows}")
    app = app_of(sqlite, CREDENTIALS="pa_integration", SCOPES={"*": ["retail"]})

    for name in ("shop", "integration:2"):
        assert command(app, "applications", "--principal", name).stdout == "retail\n"
    for name in ("Shop", "1", "integration:1", "a"):
        result = command(app, "applications", "--principal", name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"{name!r} has no credentials (there are: integration:2, shop)" in result.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://telemetry:pass-word@127.0.0.1:1/powerauth",
        "sqlite:////dev/null/powerauth.sqlite",
    ],
)
def test_database_that_is_down_is_an_error(url: str) -> None:
    result = command(create_app(DATABASE_URL=url), "applications")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: OperationalError: ")
    assert "pass-word" not in result.stderr


def test_command_without_the_database_says_what_to_set() -> None:
    result = command(create_app(SOURCE="snapshot"), "applications")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "DATABASE_URL: no database is configured. Set it to the URL of" in result.stderr
