"""Every key is read and checked at start-up; a wrong one is named with the cure."""

import json
import sys
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import URL, Engine, NullPool, make_url
from sqlalchemy.dialects import registry
from sqlalchemy.exc import NoSuchModuleError

from flask_powerauth_telemetry import ConfigurationError, PowerAuthTelemetry, TelemetryError
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.config.keys import KINDS, TelemetryConfig
from flask_powerauth_telemetry.config.loading import load_config
from tests.support.service import CREDENTIALS, create_app

PREFIX = "POWERAUTH_TELEMETRY_"
URL_OF_NOWHERE = "sqlite:////dev/null/powerauth.sqlite"
SECRET_URL = "postgresql+psycopg://user:pass-word@host:port/database"

WRONG: list[tuple[str, Any, str]] = [
    ("DATABASE_URL", 5, "must be a database URL"),
    ("DATABASE_URL", "not a url", "is not a database URL"),
    ("DATABASE_URL", SECRET_URL, "has a port that is not a number"),
    ("DATABASE_URL", "sqlite://", "in-memory"),
    ("DATABASE_URL", "mysql+nodriver://host/db", "no engine can be made"),
    ("DATABASE_URL", "nosuchdialect://host/db", "no engine can be made"),
    ("ENGINE_OPTIONS", ["pool_size"], "must map names"),
    ("ENGINE_OPTIONS", {"no_such_option": 1}, "Invalid argument(s) 'no_such_option'"),
    ("ENGINE_OPTIONS", {"poolclass": "NullPool"}, "Correct the options"),
    ("BINDS", {"x": {"url": URL_OF_NOWHERE, "options": {"nonsense": 1}}}, "Invalid argument(s)"),
    ("DATABASE_SCHEMA", " ", "must be a string that is not blank"),
    ("TABLES", "pa_activation", "must map names"),
    ("TABLES", {"pa_activations": "view"}, "is no table that is read"),
    ("TABLES", {"pa_activation": "view; DROP TABLE x"}, "is not a name"),
    ("TABLES", {"pa_activation": "view", "pa_application": "view"}, "mapped to one view"),
    ("TABLES", {"pa_activation": "pa_application"}, "mapped to one view"),
    ("DATABASE_TIMEZONE", "Europe/Prag", "there is no time zone"),
    ("DATABASE_TIMEZONE", "CET+1", "there is no time zone"),
    ("DATABASE_TIMEZONE", "../etc/passwd", "there is no time zone"),
    ("DATABASE_TIMEZONE", 1, "must be a string"),
    ("BINDS", "sqlite:///x", "must map names"),
    ("BINDS", {"x": "nonsense"}, "the bind 'x': is not a database URL"),
    ("BINDS", {"x": {"timezone": "UTC"}}, "has no url"),
    ("BINDS", {"x": {"url": URL_OF_NOWHERE, "zone": "UTC", "zoom": 1}}, "unknown 'zone'"),
    ("BINDS", {"x": {"url": URL_OF_NOWHERE, "timezone": "Mars"}}, "the bind 'x': there is no"),
    ("URL_PREFIX", 5, "must be a path"),
    ("URL_PREFIX", [], "must be a path"),
    ("URL_PREFIX", "rest/v3", "is not a path"),
    ("URL_PREFIX", "/rest/<name>", "is not a path"),
    ("URL_PREFIX", "/rest//v3", "is not a path"),
    ("URL_PREFIX", ["/a", "/a/"], "names a path twice"),
    ("CREDENTIALS", None, "no application credentials are configured"),
    ("CREDENTIALS", {}, "must map principals to digests"),
    ("CREDENTIALS", "pa_integrations", "must map principals to digests"),
    ("CREDENTIALS", {"a": "pass-word"}, "something else than sha256:"),
    ("CREDENTIALS", {"a": "sha256:abc"}, "something else than sha256:"),
    ("CREDENTIALS", {"a": []}, "one digest or a list of two"),
    ("CREDENTIALS", {"a": [digest("1"), digest("2"), digest("3")]}, "a list of two"),
    ("CREDENTIALS", {"a:b": digest("1")}, "has a colon"),
    ("CREDENTIALS", {"": digest("1")}, "can't be the name"),
    ("CREDENTIALS", {"*": digest("1")}, "can't be the name"),
    ("SCOPES", ["retail"], "must map names"),
    ("SCOPES", {"billing": "retail"}, "must be a list of names"),
    ("SCOPES", {"billing": [1]}, "is not a name"),
    ("SCOPES", {"biling": ["retail"]}, "'biling' has no credentials"),
    ("STRICT_APPLICATION", "false", "must be True or False"),
    ("STRICT_APPLICATION", 0, "must be True or False"),
    ("PARALLEL_WORKERS", -1, "must be a whole number from 0"),
    ("PARALLEL_WORKERS", 1025, "must be a whole number from 0"),
    ("PARALLEL_WORKERS", True, "must be a whole number from 0"),
    ("BINDS", {"x": {"url": URL_OF_NOWHERE, "parallel_workers": "2"}}, "the bind 'x': must be a"),
    (
        "BINDS",
        {"x": {"url": URL_OF_NOWHERE, "statement_timeout": -1}},
        "from 0 to 2,000,000",
    ),
    ("STATEMENT_TIMEOUT", "20", "must be a number of seconds"),
    ("STATEMENT_TIMEOUT", True, "must be a number of seconds"),
    ("STATEMENT_TIMEOUT", -1, "from 0 to 2,000,000"),
    ("STATEMENT_TIMEOUT", float("nan"), "from 0 to 2,000,000"),
    ("STATEMENT_TIMEOUT", float("inf"), "from 0 to 2,000,000"),
    ("STATEMENT_TIMEOUT", 10**400, "from 0 to 2,000,000"),
    ("MAX_CONTENT_LENGTH", 0, "number of bytes"),
    ("MAX_CONTENT_LENGTH", 10.5, "number of bytes"),
    ("MAX_CONTENT_LENGTH", "65536", "number of bytes"),
    ("CACHE_SECONDS", "60", "must be a number of seconds"),
    ("CACHE_SECONDS", -1, "from 0 to 2,000,000"),
    ("CACHE_SIZE", 0, "whole number above 0"),
    ("MAX_WAITING", -1, "whole number from 0"),
    ("MAX_WAITING", "6", "whole number from 0"),
    ("MAX_WAITING", True, "whole number from 0"),
    ("CACHE_SIZE", 10.5, "whole number above 0"),
    ("SCOPES", {"zeta": [], "biling": [], "billing": []}, "'biling' has no credentials"),
    ("SOURCE", "recorded", "must be live or snapshot"),
    ("MAX_AGE", "1d", "must be a number of seconds"),
    ("SERVE_STALE", 1, "must be True or False"),
    ("HISTORY_KEY", "short", "must be a key of 32 characters or more"),
    ("REPORTS", "USERS_BY_PAST_DAYS", "must be a list of names"),
    ("REPORTS", ["USERS"], "no further report 'USERS'"),
    ("REPORT_BINDS", {"CURRENT_MAU": None}, "no name of a bind"),
    ("REPORT_BINDS", {"MAU": "history", "CURRENT": "history"}, "no report 'CURRENT'"),
    ("REPORT_BINDS", {"CURRENT_MAU": "history"}, "can't read the bind 'history'"),
    ("REPORT_TIMEZONE", "Prague", "no time zone 'Prague'"),
    ("LOAD_ENTRY_POINTS", "devices", "must be a list of names"),
    ("LOAD_ENTRY_POINTS", ["no-such-entry-point"], "'no-such-entry-point' (offered: "),
]


def mysql_engine() -> Engine:
    """An engine of a dialect that reports can't read, without its driver."""
    url = make_url("mysql+pymysql://")
    return Engine(NullPool(lambda: None), url.get_dialect()(), url)  # type: ignore[arg-type]


def start(**keys: Any) -> Flask:
    return create_app(**{"DATABASE_URL": URL_OF_NOWHERE, **keys})


@pytest.mark.parametrize(("key", "value", "cause"), WRONG)
def test_wrong_value_stops_the_start(key: str, value: Any, cause: str) -> None:
    with pytest.raises(ConfigurationError) as stopped:
        start(**{key: value})

    message = str(stopped.value)
    assert message.startswith(PREFIX + key)
    assert cause in message
    assert message.endswith(".")
    assert stopped.value.key.startswith(PREFIX + key)
    assert "pass-word" not in message
    assert isinstance(stopped.value, TelemetryError)


def test_every_key_has_a_wrong_value_here() -> None:
    assert {key.lower() for key, _, _ in WRONG} == set(KINDS)


def test_missing_database_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL: no database is configured"):
        start(DATABASE_URL=None)


def test_missing_driver_is_named() -> None:
    with pytest.raises(ConfigurationError, match="driver pymssql is not installed"):
        start(DATABASE_URL="mssql+pymssql://host/db")


@pytest.mark.parametrize(
    ("driver", "package"),
    [
        ("postgresql+psycopg", "psycopg[binary]"),
        ("postgresql+psycopg2", "psycopg2-binary"),
        ("oracle+oracledb", "oracledb"),
        ("mssql+pyodbc", "pyodbc"),
    ],
)
def test_package_of_a_missing_driver_is_told(
    driver: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = driver.partition("+")[2]
    monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ConfigurationError) as stopped:
        start(DATABASE_URL=f"{driver}://host/db")

    assert str(stopped.value) == (
        f"POWERAUTH_TELEMETRY_DATABASE_URL: its driver {name} is not installed."
        f" Install it: pip install '{package}'."
    )


def test_missing_driver_that_brings_the_dialect_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise NoSuchModuleError(f"Can't load plugin: {name}")

    monkeypatch.setattr(registry, "load", load)

    with pytest.raises(ConfigurationError, match=r"driver impyla .*pip install 'impyla'"):
        start(DATABASE_URL="impala://host/db")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("DATABASE_URI", "DATABASE_URL"),
        ("SCOPE", "SCOPES"),
        ("STATMENT_TIMEOUT", "STATEMENT_TIMEOUT"),
        ("CREDENTIAL_FILE", "CREDENTIALS_FILE"),
    ],
)
def test_misspelt_key_stops_the_start(key: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"there is no such key. Did you mean .*{meant}"):
        start(**{key: 1})


def test_keys_of_other_instances_and_extensions_are_left_alone() -> None:
    start(EMEA_DATABASE_URL=5, EMEA_CREDENTIALS_FILE="/nowhere", SOMETHING_ELSE=1)


@pytest.mark.parametrize(
    ("name", "key"),
    [("database", "DATABASE_URL"), ("statement", "STATEMENT_TIMEOUT"), ("max", "MAX_AGE")],
)
def test_instance_may_be_called_as_a_key_begins(name: str, key: str) -> None:
    own = f"{name.upper()}_"
    app = start(**{key: URL_OF_NOWHERE if key == "DATABASE_URL" else 7})
    app.config[f"{PREFIX}{own}DATABASE_URL"] = URL_OF_NOWHERE
    app.config[f"{PREFIX}{own}CREDENTIALS"] = CREDENTIALS
    app.config[f"{PREFIX}{own}URL_PREFIX"] = "/own"

    assert PowerAuthTelemetry(app, name=name).name == name


def test_defaults() -> None:
    config = load_config({})

    assert config.url_prefix == ["/rest/v3/telemetry"]
    assert config.database_timezone is UTC
    assert config.statement_timeout == 20
    assert config.max_content_length == 65_536
    assert config.strict_application is True
    assert config.load_entry_points == ()
    assert config == TelemetryConfig()


def test_values_are_read() -> None:
    values = {
        "DATABASE_URL": URL.create("sqlite", database="x"),
        "DATABASE_TIMEZONE": "Europe/Prague",
        "BINDS": {"heavy": {"url": URL_OF_NOWHERE, "timezone": "UTC", "schema": "s"}},
        "URL_PREFIX": ["/rest/v3/telemetry/", "/rest/v4/telemetry"],
        "STATEMENT_TIMEOUT": 1,
    }
    config = load_config({PREFIX + "EMEA_" + key: value for key, value in values.items()}, "emea")

    assert config.database_url == URL.create("sqlite", database="x")
    assert config.database_timezone == ZoneInfo("Europe/Prague")
    assert config.binds["heavy"].timezone is UTC
    assert config.binds["heavy"].schema == "s"
    assert config.url_prefix == ["/rest/v3/telemetry", "/rest/v4/telemetry"]
    assert config.statement_timeout == 1.0
    assert config.key("database_url") == "POWERAUTH_TELEMETRY_EMEA_DATABASE_URL"


def test_none_is_a_choice_for_the_url_prefix_only() -> None:
    assert load_config({PREFIX + "URL_PREFIX": None}).url_prefix is None
    assert load_config({PREFIX + "STATEMENT_TIMEOUT": None}).statement_timeout == 20


def test_secrets_come_from_files(tmp_path: Path) -> None:
    contents = {
        "DATABASE_URL": f"{URL_OF_NOWHERE}\n",
        "CREDENTIALS": json.dumps(CREDENTIALS),
        "BINDS": json.dumps({"heavy": URL_OF_NOWHERE}),
    }
    for key, content in contents.items():
        (tmp_path / key).write_text(content)

    config = load_config({f"{PREFIX}{key}_FILE": str(tmp_path / key) for key in contents})

    assert config.database_url == URL.create("sqlite", database="/dev/null/powerauth.sqlite")
    assert config.credentials == {"billing": (CREDENTIALS["billing"],)}
    assert config.binds["heavy"].url.database == "/dev/null/powerauth.sqlite"


def test_file_may_name_the_table_of_powerauth(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("pa_integration\n")
    values = {f"{PREFIX}CREDENTIALS_FILE": str(tmp_path / "file")}

    assert load_config(values).credentials == "pa_integration"


@pytest.mark.parametrize("content", [None, b"\xff", b'{"a": "pass-word"', b'["pass-word"]'])
def test_wrong_file_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError) as stopped:
        start(CREDENTIALS=None, CREDENTIALS_FILE=str(path))

    assert str(stopped.value).startswith(f"{PREFIX}CREDENTIALS: ")
    assert "pass-word" not in str(stopped.value)


def test_value_and_file_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CREDENTIALS_FILE is set as well"):
        start(CREDENTIALS_FILE=str(tmp_path / "file"))


def test_scopes_do_not_go_with_zero_for_the_unknown() -> None:
    with pytest.raises(ConfigurationError, match=r"STRICT_APPLICATION: False does not go with"):
        start(SCOPES={"billing": ["retail"]}, STRICT_APPLICATION=False)


def test_environment_configures(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {
        "DATABASE_URL": URL_OF_NOWHERE,
        "CREDENTIALS": json.dumps(CREDENTIALS),
        "SCOPES": '{"billing": ["retail"]}',
        "STATEMENT_TIMEOUT": "2.5",
        "STRICT_APPLICATION": "true",
        "URL_PREFIX": '["/a", "/b"]',
    }
    for key, value in environment.items():
        monkeypatch.setenv(f"FLASK_{PREFIX}{key}", value)
    app = Flask(__name__)
    app.config.from_prefixed_env()

    config = load_config(app.config)

    assert config.statement_timeout == 2.5
    assert config.scopes == {"billing": frozenset({"retail"})}
    assert config.url_prefix == ["/a", "/b"]


def test_constructor_wins_over_keys(sqlite: Engine) -> None:
    app = create_app(arguments={"engine": sqlite}, DATABASE_URL=URL_OF_NOWHERE)
    state = app.extensions["powerauth_telemetry"]["powerauth_telemetry"]

    assert state.databases[None].engine() is sqlite


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"engine": "sqlite://"}, "engine=: is a str"),
        ({"engine": mysql_engine()}, "engine=: reports can't read mysql"),
        ({"credentials": object()}, "credentials=: has no method authenticate"),
        ({"name": "Not A Name"}, "name=: 'Not A Name' can't be a name"),
    ],
)
def test_wrong_argument_stops_the_start(arguments: dict[str, Any], cause: str) -> None:
    with pytest.raises(ConfigurationError, match=cause):
        create_app(DATABASE_URL=URL_OF_NOWHERE, arguments=arguments)


def test_scopes_of_a_store_of_ones_own_may_name_anyone(sqlite: Engine) -> None:
    class Store:
        def authenticate(self, username: str, pas3cret: str) -> str | None:
            return username if pas3cret else None

    create_app(sqlite, arguments={"credentials": Store()}, SCOPES={"anyone": ["retail"]})


def test_two_instances_can_not_share_a_prefix() -> None:
    app = start()
    app.config["POWERAUTH_TELEMETRY_EMEA_DATABASE_URL"] = URL_OF_NOWHERE
    app.config["POWERAUTH_TELEMETRY_EMEA_CREDENTIALS"] = CREDENTIALS

    with pytest.raises(ConfigurationError, match=r"EMEA_URL_PREFIX: .* another instance"):
        PowerAuthTelemetry(app, name="emea")


def test_second_instance_of_a_name_is_refused() -> None:
    app = start()
    with pytest.raises(ConfigurationError, match="is on this application already"):
        PowerAuthTelemetry(app)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://reader:p@s3cret@host/powerauth",
        "postgresql+psycopg://reader:p@ss/word@host/powerauth",
        "postgresql+psycopg://reader:@s3cret@host:5432/powerauth",
        "oracle+oracledb://reader:a@s3cret@b@host/?service_name=x",
    ],
)
@pytest.mark.parametrize("key", ["DATABASE_URL", "BINDS"])
def test_password_with_an_at_sign_is_refused_unseen(url: str, key: str) -> None:
    value: Any = {"heavy": url} if key == "BINDS" else url
    with pytest.raises(ConfigurationError) as refused:
        start(**{"DATABASE_URL": URL_OF_NOWHERE, key: value})

    assert "Percent-encode an @ in a password as %40" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_percent_encoded_at_sign_is_read() -> None:
    url = "postgresql+psycopg://reader:p%40s3cret@host/powerauth"
    assert load_config({f"{PREFIX}DATABASE_URL": url}).database_url == make_url(url)


def test_sqlite_file_may_have_at_signs() -> None:
    url = "sqlite:////srv/a@b@c.sqlite"
    database = load_config({f"{PREFIX}DATABASE_URL": url}).database_url
    assert database is not None
    assert database.database == "/srv/a@b@c.sqlite"


@pytest.mark.parametrize("key", ["TABLES", "STATEMENT_TIMEOUT", "REPORTS", "ENGINE_OPTIONS"])
def test_key_that_can_not_come_from_a_file_is_not_ignored(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{key} can't be read from a file. Set ") as error:
        start(**{f"{key}_FILE": str(tmp_path / "missing")})

    assert error.value.key == f"{PREFIX}{key}_FILE"


def test_scopes_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "scopes.json"
    path.write_text('{"billing": ["retail"]}', encoding="utf-8")

    config = load_config({f"{PREFIX}SCOPES_FILE": str(path)})

    assert config.scopes == {"billing": frozenset({"retail"})}


def test_scopes_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"No such file .*SCOPES_FILE"):
        start(SCOPES_FILE=str(tmp_path / "missing.json"))


def test_digest_of_an_empty_token_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'b' has the digest of an empty token"):
        start(CREDENTIALS={"b": ["sha256:" + "0" * 64, digest("").upper().replace("SHA", "sha")]})


@pytest.mark.parametrize(
    ("key", "missing"),
    [
        ("DATABASE_URL", "DATABASE_URL"),
        ("DATABASE_URL_FILE", "DATABASE_URL"),
        ("CREDENTIALS", "CREDENTIALS"),
        ("CREDENTIALS_FILE", "CREDENTIALS"),
    ],
)
@pytest.mark.parametrize(
    ("before", "cure"),
    [("", "name it FLASK_POWERAUTH"), ("FLASK_", "call app.config.from_prefixed_env()")],
)
def test_key_that_only_the_environment_has_is_told_so(
    key: str, missing: str, before: str, cure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{before}{PREFIX}{key}", "secret-value")
    with pytest.raises(ConfigurationError) as stopped:
        start(**{missing: None})
    assert cure in str(stopped.value)
    assert "secret-value" not in str(stopped.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_file_may_begin_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "scopes.json"
    file.write_text('{"billing": ["retail"]}', encoding=encoding)
    assert load_config({f"{PREFIX}SCOPES_FILE": str(file)}).scopes == {
        "billing": frozenset({"retail"})
    }


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("key", ["SCOPES", "HISTORY_KEY", "DATABASE_URL"])
def test_file_of_another_encoding_is_told_so(tmp_path: Path, encoding: str, key: str) -> None:
    file = tmp_path / "file"
    file.write_text("0123456789abcdef0123456789abcdef", encoding=encoding)
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_config({f"{PREFIX}{key}_FILE": str(file)})


def test_key_of_the_history_may_look_like_json() -> None:
    key = "{not JSON, but a key of many characters: 0123456789}"
    assert load_config({f"{PREFIX}HISTORY_KEY": key}).history_key


@pytest.mark.parametrize(
    "field", [name for name, kind in KINDS.items() if kind.example is not None]
)
def test_example_of_a_cure_is_taken_by_its_key(field: str) -> None:
    """What a cure shows is pasted; where it has words in capitals, they are filled in."""
    text = json.dumps(KINDS[field].example).replace("sha256:DIGEST", CREDENTIALS["billing"])

    KINDS[field].deserialize(json.loads(text))
