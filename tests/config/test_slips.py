"""Slips that people make: the message has the cause, and a cure that can be pasted.

Each is written as the person wrote it: in the environment, in Python, or in a file that a key with
``_FILE`` names.
"""

import json
import shlex
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask

from flask_powerauth_telemetry import ConfigurationError, PowerAuthTelemetry
from flask_powerauth_telemetry.auth.credentials import digest
from flask_powerauth_telemetry.cli.credentials import create_credential
from flask_powerauth_telemetry.config.keys import KINDS

PREFIX = "POWERAUTH_TELEMETRY_"
VARIABLE = f"FLASK_{PREFIX}"
URL = "postgresql+psycopg://reader:s3cret@host/powerauth"
DIGEST = digest("a-token")
RIGHT = {"DATABASE_URL": URL, "CREDENTIALS": {"billing": DIGEST}}
CREATE = "flask telemetry create-credential"
KEY_OF_HISTORY = "0123456789abcdef" * 4
IN_JSON = "Write JSON: double quotes"


@dataclass(frozen=True)
class Slip:
    """What was written for a key, and the words of the cause and the cure."""

    key: str
    written: Any
    cause: str
    cure: str


def paste(key: str, text: str) -> str:
    """A cure for the environment."""
    return f"{VARIABLE}{key}='{text}'."


IN_ENVIRONMENT = [
    Slip("CREDENTIALS", "word", "must map principals", f'{VARIABLE}CREDENTIALS=\'{{"billing": '),
    Slip("CREDENTIALS", DIGEST, "must map principals to digests", CREATE),
    Slip("CREDENTIALS", f"billing:{DIGEST}", "must map principals to digests", CREATE),
    Slip("CREDENTIALS", "", "is empty", CREATE),
    Slip("CREDENTIALS", "{'billing': 's3cret'}", "is text that is not JSON", IN_JSON),
    Slip("CREDENTIALS", "{billing: s3cret}", "not JSON: Expecting property name", IN_JSON),
    Slip("CREDENTIALS", '["billing"]', "must map principals to digests", CREATE),
    Slip("CREDENTIALS", '{"billing": "s3cret"}', "something else than sha256:", CREATE),
    Slip("CREDENTIALS", "pa_integration ", "or white space around it", "Take it"),
    Slip("CREDENTIALS", "'pa_integration'", "has quotes around it", "Take them away"),
    Slip("REPORTS", "USERS_BY_STATUS", "must be a list", paste("REPORTS", '["USERS_BY_STATUS"]')),
    Slip("REPORTS", "A, B", "must be a list of names", paste("REPORTS", '["A", "B"]')),
    Slip("REPORTS", "['A']", "text that is not JSON", paste("REPORTS", '["A"]')),
    Slip("REPORTS", "{'A'}", "text that is not JSON", IN_JSON),
    Slip("REPORTS", '["A",]', "text that is not JSON", paste("REPORTS", '["A"]')),
    Slip("REPORTS", '["A"', "text that is not JSON: Expecting ',' delimiter", IN_JSON),
    Slip("REPORTS", "[" + "9" * 5000 + "]", "text that is not JSON", IN_JSON),
    Slip("REPORTS", "[" * 100_000, "text that is not JSON", IN_JSON),
    Slip("CACHE_SIZE", "9" * 5000, "must be a whole number above 0", "1024"),
    Slip("REPORTS", '{"A": true}', "must be a list of names", paste("REPORTS", '["NAME"]')),
    Slip("REPORTS", '["users_by_status"]', "no further report 'users_by_status'", "USERS_BY_STAT"),
    Slip("REPORTS", '["USERS_BY_STATUS "]', "report 'USERS_BY_STATUS '", "USERS_BY_STATUS"),
    Slip("REPORTS", "", "is empty", paste("REPORTS", '["NAME"]')),
    Slip("STRICT_APPLICATION", "False", "not JSON", paste("STRICT_APPLICATION", "false")),
    Slip("STRICT_APPLICATION", "no", "must be True or False", paste("STRICT_APPLICATION", "false")),
    Slip("SERVE_STALE", "yes", "must be True or False", paste("SERVE_STALE", "true")),
    Slip("SERVE_STALE", "1", "must be True or False", paste("SERVE_STALE", "true")),
    Slip("SERVE_STALE", '"true"', "must be True or False", paste("SERVE_STALE", "true")),
    Slip("SERVE_STALE", "", "is empty", paste("SERVE_STALE", "true")),
    Slip("STATEMENT_TIMEOUT", "30s", "number of seconds", paste("STATEMENT_TIMEOUT", "30")),
    Slip("STATEMENT_TIMEOUT", "1.5 min", "number of seconds", paste("STATEMENT_TIMEOUT", "90")),
    Slip("STATEMENT_TIMEOUT", "500ms", "number of seconds", paste("STATEMENT_TIMEOUT", "20")),
    Slip("STATEMENT_TIMEOUT", '"30"', "number of seconds", paste("STATEMENT_TIMEOUT", "30")),
    Slip("MAX_AGE", "2 hours", "number of seconds", paste("MAX_AGE", "7200")),
    Slip("MAX_AGE", "1 month", "must be a number of seconds", paste("MAX_AGE", "90000")),
    Slip("CACHE_SIZE", "1,5", "must be a whole number", paste("CACHE_SIZE", "1024")),
    Slip("MAX_AGE", "1d", "must be a number of seconds", paste("MAX_AGE", "86400")),
    Slip("MAX_CONTENT_LENGTH", "65_536", "number of bytes", paste("MAX_CONTENT_LENGTH", "65536")),
    Slip(
        "MAX_CONTENT_LENGTH", "1 048 576", "number of bytes", paste("MAX_CONTENT_LENGTH", "1048576")
    ),
    Slip("CACHE_SIZE", "1,000" * 5, "must be a whole number", paste("CACHE_SIZE", "1024")),
    Slip("MAX_CONTENT_LENGTH", "64 kB", "number of bytes", paste("MAX_CONTENT_LENGTH", "65536")),
    Slip("CACHE_SIZE", "1e3", "must be a whole number", paste("CACHE_SIZE", "1000")),
    Slip("DATABASE_SCHEMA", "2024", "must be a string", paste("DATABASE_SCHEMA", '"2024"')),
    Slip("DATABASE_SCHEMA", '"powerauth "', "white space", "Take it away"),
    Slip(
        "SCOPES",
        '["retail"]',
        "must map names to lists",
        f"{VARIABLE}SCOPES='",
    ),
    Slip("SCOPES", "null", "must map names to lists of applications", f"{VARIABLE}SCOPES='"),
    Slip("SCOPES", "retail", "must map names to lists of applications", f"{VARIABLE}SCOPES='"),
    Slip("SCOPES", "{'*': ['retail']}", "not JSON", paste("SCOPES", '{"*": ["retail"]}')),
    Slip("SCOPES", '{"*": "retail"}', "'*' may see must be a list", '{"*": ["retail"]}'),
    Slip("SOURCE", "Snapshot", "must be live or snapshot", paste("SOURCE", "snapshot")),
    Slip("SOURCE", "recorded", "must be live or snapshot", paste("SOURCE", "snapshot")),
    Slip("SOURCE", "Recordings", "must be live or snapshot", paste("SOURCE", "snapshot")),
    Slip("SOURCE", "database", "must be live or snapshot", paste("SOURCE", "live")),
    Slip("CACHE_SECONDS", "0,5", "must be a number of seconds", paste("CACHE_SECONDS", "60")),
    Slip("MAX_WAITING", "many", "must be a whole number", paste("MAX_WAITING", "6")),
    *(
        Slip("CREDENTIALS", json.dumps({"billing": written}), "something else than", cure)
        for written, cure in [
            (DIGEST.removeprefix("sha256:"), "Begin it by sha256:"),
            (DIGEST.replace("sha256", "SHA256"), "Begin it by sha256:"),
            (DIGEST.replace("sha256", "sha-256"), "Begin it by sha256:"),
            ([DIGEST, DIGEST.replace(":", ": ")], "Begin it by sha256:"),
            (DIGEST.replace("sha256", "sha512"), CREATE),
            (DIGEST[:-1], CREATE),
            ("sha256:DIGEST", CREATE),
        ]
    ),
    Slip("URL_PREFIX", "/rest/v3/telemetry/report", "ends in /report", "='/rest/v3/telemetry'."),
    Slip("URL_PREFIX", '["/a", "/b/report/"]', "ends in /report", "='/rest/v3/telemetry'."),
    Slip("SCOPES", '{"billing": ["a"], "billing": []}', "names 'billing' twice", "Name each once"),
    Slip(
        "CREDENTIALS",
        f'{{"billing": "{DIGEST}", "billing": "{DIGEST}"}}',
        "names 'billing' twice",
        "what belongs to one name is a list",
    ),
    Slip("URL_PREFIX", "None", "is the word None", "Write null"),
    Slip("DATABASE_SCHEMA", "None", "is the word None", "Write null"),
    Slip("REPORTS", '["USERS_BY_STATS"]', "no further report", "Did you mean USERS_BY_STATUS."),
    Slip("REPORTS", '["USERS_BY_STATUS", "USERS_BY_STATUS"]', "is named twice", "Name each once"),
    Slip("REPORTS", '["current_mau"]', "no further report", "Take it out: CURRENT_MAU is always"),
    Slip("REPORTS", '["WEATHER"]', "no further report", "Use some of USERS_BY_PAST_DAYS, USERS_"),
    Slip("DATABASE_TIMEZONE", "europe/prague", "no time zone", "_TIMEZONE='Europe/Prague'."),
    Slip("DATABASE_TIMEZONE", "asia/kolkata", "no time zone", "_TIMEZONE='Asia/Kolkata'."),
    Slip("REPORT_TIMEZONE", "right/Europe/Prague", "no time zone", "_TIMEZONE='Europe/Prague'."),
    Slip("DATABASE_TIMEZONE", "localtime", "no time zone 'localtime'", "an IANA name"),
    Slip("DATABASE_TIMEZONE", "CET+1", "no time zone 'CET+1'", "an offset has no summer time"),
    Slip("DATABASE_TIMEZONE", "+01:00", "no time zone", "of a place"),
    Slip("DATABASE_TIMEZONE", "Prague", "no time zone", "_TIMEZONE='Europe/Prague'."),
    Slip("DATABASE_TIMEZONE", "Berlin", "no time zone", "_TIMEZONE='Europe/Berlin'."),
    Slip("DATABASE_TIMEZONE", "Europe/New York", "no time zone", "='America/New_York'."),
    Slip("DATABASE_TIMEZONE", "new york", "no time zone", "='America/New_York'."),
    Slip("DATABASE_TIMEZONE", "Europa/Prague", "no time zone", "='Europe/Prague'."),
    Slip("DATABASE_TIMEZONE", "America/Sao Paolo", "no time zone", "='America/Sao_Paulo'."),
    Slip("DATABASE_TIMEZONE", "UTC\r", "line end in it, or white space", "save it with LF"),
    Slip("REPORT_TIMEZONE", "Asia/Calkutta", "no time zone", "_TIMEZONE='Asia/Calcutta'."),
    Slip("REPORT_TIMEZONE", "Bangalore", "no time zone", "_TIMEZONE='Europe/Prague'."),
    Slip("DATABASE_URL", f"'{URL}'", "has quotes around it", "Take them away"),
    Slip("DATABASE_URL", f"{URL}\r", "has a line end in it", "save it with LF"),
    Slip("DATABASE_URL", "", "is empty", f"{VARIABLE}DATABASE_URL='postgresql+psycopg://USER"),
    Slip("DATABASE_URL", "postgres://r:s3cret@h/d", "no engine", "Begin the URL by postgresql+"),
    Slip("DATABASE_URL", "jdbc:postgresql://h/d", "is a URL for Java", "postgresql+psycopg://USER"),
    Slip("DATABASE_URL", "host/powerauth", "is not a database URL", "postgresql+psycopg://USER"),
    Slip("DATABASE_URL", "postgresql+psycopg://r:s3@cret@h/d", "more than one @", "as %40"),
    Slip("DATABASE_URL", "postgresql+psycopg://r:s3cret#/@h:x/d", "port that is not a", "HOST"),
    Slip("DATABASE_URL", "postgresql+psycopg://r:${PW}@h/d", "has ${PW} in it", "stands for"),
    Slip("BINDS", URL, "must map names to URLs", f'{VARIABLE}BINDS=\'{{"history": '),
    Slip("BINDS", f'["{URL}"]', "must map names to URLs", f'{VARIABLE}BINDS=\'{{"history": '),
    Slip("BINDS", '{"x": {"URL": "sqlite:///x"}}', "unknown 'URL'", "Use url"),
    Slip("URL_PREFIX", "rest/v3/telemetry", "is not a path", "_PREFIX='/rest/v3/telemetry'."),
    Slip("URL_PREFIX", "https://host/telemetry", "is not a path", "_PREFIX='/rest/v3/telemetry'."),
    Slip("TABLES", '["pa_activation"]', "must map names to views", '{"pa_activation": "reporting'),
    Slip("SCOPES", '\ufeff{"*": []}', "begins with a byte order mark", "without BOM"),
    *(
        Slip(key, f"{written}\udcff", "has a character that is no text", "Write it in UTF-8")
        for key, written in [("HISTORY_KEY", KEY_OF_HISTORY), ("DATABASE_URL", URL)]
    ),
    Slip("DATABASE_URL", f"\ufeff{URL}", "begins with a byte order mark", "without BOM"),
    Slip("HISTORY_KEY", "1234", "must be a key of 32 characters", "secrets.token_hex"),
    Slip("HISTORY_KEY", "7" * 64, "and this is read as a number", "in double quotes, as JSON"),
    Slip("HISTORY_KEY", "1e" + "7" * 62, "and this is read as a number", "in double quotes"),
    Slip("TIMEZONE", "UTC", "no such key", f"{PREFIX}DATABASE_TIMEZONE or {PREFIX}REPORT_TIMEZONE"),
    Slip("TIME_ZONE", "UTC", "no such key", f"{PREFIX}DATABASE_TIMEZONE or {PREFIX}REPORT_TIME"),
    Slip("TIMEOUT", "20", "no such key", f"Did you mean {PREFIX}STATEMENT_TIMEOUT"),
    Slip("PREFIX", "/x", "no such key", f"Did you mean {PREFIX}URL_PREFIX"),
    Slip("Scopes", "{}", "there is no such key", f"Did you mean {PREFIX}SCOPES"),
    Slip("STATEMENT_TIMEOUT_FILE", "/x", "can't be read from a file", "Set "),
    Slip("CREDENTIALS_FILE", "~/credentials", "No such file", "~ stands for nothing here"),
    Slip("CREDENTIALS_FILE", "$(pwd)/file", "has $(pwd) in it", "Write what it stands for"),
    Slip("CREDENTIALS_FILE", "missing.json", "No such file", "Write the whole path"),
    Slip(
        "CREDENTIALS_FILE", "/missing.json", "No such file", "Correct the path, or mount the file"
    ),
    Slip("CREDENTIALS_FILE", "'/run/file'", "has quotes around it", "Take them away"),
    Slip("CREDENTIALS_FILE", "/run/file\r", "line end in it, or white space", "save it with LF"),
    Slip("CREDENTIALS_FILE", "/tmp", "Is a directory", "Name a file in it"),
    Slip("CREDENTIALS_FILE", "1", "path must be text", "Write the whole path"),
    Slip("CREDENTIALS_FILE", "", "path must be text", "Write the whole path"),
    Slip("DATABASE_URL_FILE", URL, "No such file", f"or the value itself in {PREFIX}DATABASE_URL"),
    Slip("HISTORY_KEY_FILE", KEY_OF_HISTORY, "No such file", "the value itself"),
]

IN_PYTHON = [
    Slip("HISTORY_KEY", ["\udcff" * 32], "must be a key of 32 characters", "secrets.token_hex"),
    Slip("DATABASE_SCHEMA", "power\0auth", "has a character that is no text", "Write it in UTF-8"),
    Slip("SCOPES", None, "must map names to lists of applications", 'Set, for example, {"billing"'),
    Slip("STRICT_APPLICATION", "False", "not JSON", "Set False"),
    Slip("STATEMENT_TIMEOUT", "30", "must be a number of seconds", "Set 30"),
    Slip("REPORTS", "USERS_BY_STATUS", "must be a list of names", 'Set ["USERS_BY_STATUS"]'),
    Slip("SCOPES", '{"*": []}', "is text that holds JSON", "app.config.from_prefixed_env()"),
    Slip("CREDENTIALS", f'{{"x": "{DIGEST}"}}', "is text that holds JSON", "json.loads"),
    Slip("CREDENTIALS", [("billing", DIGEST)], "must map principals to digests", CREATE),
    Slip("CREDENTIALS", {"billing": b"s3cret"}, "'billing' must have one digest", CREATE),
    Slip("REPORT_BINDS", ["replica"], "must map names to binds", '{"CURRENT_MAU": "replica"}'),
    Slip("SCOPES", '["retail"]', "must map names to lists of applications", '{"billing": ["re'),
    Slip("URL_PREFIX", ["/v4", "v3"], "'v3' is not a path", 'for example, "/rest/v3/tel'),
    Slip("URL_PREFIX", ["/v3/report"], "ends in /report, which is", 'for example, "/rest/v3/tel'),
    Slip("CREDENTIALS_FILE", 1, "path must be text", "Write the whole path"),
    *(
        Slip("BINDS", {"replica": {"url": URL, field: written}}, f"'replica': {cause}", cure)
        for field, written, cause, cure in [
            ("statement_timeout", "soon", "must be a number of seconds", "Set, for example, 20."),
            ("statement_timeout", True, "must be a number of seconds", "Set, for example, 20."),
            ("statement_timeout", "2m", "must be a number of seconds", "Set 120."),
            ("parallel_workers", "many", "must be a whole number", "Set, for example, 0."),
            ("timezone", "CEST", "there is no time zone 'CEST'", 'Set, for example, "Europe/P'),
            ("schema", " ", "must be a string that is not blank", "Correct or remove it"),
            ("options", ["pool_size"], "must map names to options", 'Set, for example, {"pool_'),
        ]
    ),
]

IN_A_FILE: list[tuple[str, bytes, str, str]] = [
    ("CREDENTIALS", b"{'billing': 's3cret'}", "does not hold JSON: Expecting prop", IN_JSON),
    ("CREDENTIALS", b"billing s3cret", "does not hold JSON: Expecting value", IN_JSON),
    ("CREDENTIALS", b"", "the file is empty", CREATE),
    ("SCOPES", b'{"*": [], "a": [], "*": ["retail"]}', "names '*' twice", "Name each once"),
    ("BINDS", b'{"history": {"url": "s3cret", "url": "x"}}', "names 'url' twice", "Name each"),
    ("SCOPES", b" \n", "the file is empty", 'Set, for example, {"billing": '),
    ("CREDENTIALS", b'["billing"]', "must map principals to digests", CREATE),
    ("CREDENTIALS", '{"a": "b"}'.encode("utf-16"), "is not UTF-8", "Save it as UTF-8"),
    ("SCOPES", b"null", "must map names to lists of applications", 'Set, for example, {"billing"'),
    ("CREDENTIALS", b"null", "must map principals to digests", CREATE),
    ("SCOPES", b"{'*': ['retail']}", "does not hold JSON", 'Set {"*": ["retail"]}'),
    ("SCOPES", b'{"*": "retail"}', "must be a list of names", 'Set {"*": ["retail"]}'),
    (
        "DATABASE_URL",
        f"{URL}\nDATABASE_TIMEZONE=UTC\n".encode(),
        "a line end in it",
        "Take it away",
    ),
    ("DATABASE_URL", f"'{URL}'\n".encode(), "has quotes around it", "Take them away"),
    ("DATABASE_URL", b"\n", "is empty", "postgresql+psycopg://USER"),
    ("HISTORY_KEY", b"s3cret\r\n", "must be a key of 32 characters", "secrets.token_hex"),
]


def message_of(app: Flask) -> str:
    with pytest.raises(ConfigurationError) as stopped:
        PowerAuthTelemetry(app)
    printed = "".join(traceback.format_exception(stopped.value))
    for secret in ("s3cret", DIGEST, KEY_OF_HISTORY):
        assert secret not in printed
    return str(stopped.value)


def has(message: str, key: str, cause: str, cure: str) -> None:
    assert message.startswith(PREFIX + key.removesuffix("_FILE"))
    first, _, second = message.removeprefix(PREFIX).partition(": ")
    assert cause in second, first
    assert cure in second.partition(cause)[2], "the cure comes after the cause"


def test_there_are_many() -> None:
    assert len({(s.key, str(s.written)) for s in IN_ENVIRONMENT}) == len(IN_ENVIRONMENT) >= 55


@pytest.mark.parametrize("slip", IN_ENVIRONMENT, ids=lambda slip: f"{slip.key}={slip.written}"[:60])
def test_in_the_environment(slip: Slip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    given = {key: value for key, value in RIGHT.items() if f"{key}_FILE" != slip.key}
    for key, value in (given | {slip.key: slip.written}).items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(VARIABLE + key, text)
    app = Flask(__name__)
    app.config.from_prefixed_env()

    has(message_of(app), slip.key, slip.cause, slip.cure)


@pytest.mark.parametrize("slip", IN_PYTHON, ids=lambda slip: f"{slip.key}={slip.written}"[:60])
def test_in_python(slip: Slip) -> None:
    app = Flask(__name__)
    given = {key: value for key, value in RIGHT.items() if f"{key}_FILE" != slip.key}
    app.config |= {PREFIX + key: value for key, value in (given | {slip.key: slip.written}).items()}

    has(message_of(app), slip.key, slip.cause, slip.cure)


@pytest.mark.parametrize(("key", "content", "cause", "cure"), IN_A_FILE)
def test_in_a_file(key: str, content: bytes, cause: str, cure: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    app = Flask(__name__)
    given = {name: value for name, value in RIGHT.items() if name != key}
    app.config |= {PREFIX + name: value for name, value in given.items()}
    app.config[f"{PREFIX}{key}_FILE"] = str(path)

    message = message_of(app)

    has(message, key, cause, cure)
    assert f"({PREFIX}{key}_FILE)" in message


def test_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)  # the tests may run as root
    app = Flask(__name__)
    app.config[f"{PREFIX}DATABASE_URL_FILE"] = "/run/secrets/url"

    has(message_of(app), "DATABASE_URL", "Permission denied", "Let the user that this process runs")


@pytest.mark.parametrize("slip", [s for s in IN_ENVIRONMENT if VARIABLE in s.cure and s.written])
def test_cure_of_the_environment_is_right_when_pasted(
    slip: Slip, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Flask(__name__)
    monkeypatch.setenv(VARIABLE + slip.key, slip.written)
    app.config.from_prefixed_env()
    cure = message_of(app).partition(VARIABLE)[2]

    (assignment, *_) = shlex.split(VARIABLE + cure)
    name, _, text = assignment.removesuffix(".").partition("=")
    monkeypatch.setenv(name, text.replace("sha256:DIGEST", DIGEST))
    app = Flask(__name__)
    app.config.from_prefixed_env()

    # An example may stand for names that only the reader knows: its kind is right, then.
    KINDS[slip.key.lower()].deserialize(app.config[PREFIX + slip.key])


@pytest.mark.parametrize(
    "written", ["CEST", "BST", "IST", "GMT+2", "UTC+1", "EST5", "UTC-05:00", "Etc/GMT+25", "CET-1"]
)
def test_no_zone_of_another_time_is_proposed(written: str) -> None:
    app = Flask(__name__)
    app.config |= {f"{PREFIX}{key}": value for key, value in RIGHT.items()}
    app.config[f"{PREFIX}DATABASE_TIMEZONE"] = written

    message = message_of(app)

    assert f"there is no time zone {written!r}. Set, for example, " in message
    assert "of a place, because an offset has no summer time" in message


@pytest.mark.parametrize("credentials", [None, {"billing": "s3cret"}])
def test_credentials_are_to_be_made_for_the_instance_that_lacks_them(credentials: Any) -> None:
    app = Flask(__name__)
    app.config |= {f"{PREFIX}EMEA_DATABASE_URL": URL, f"{PREFIX}EMEA_CREDENTIALS": credentials}

    with pytest.raises(ConfigurationError) as stopped:
        PowerAuthTelemetry(app, name="emea")

    command = str(stopped.value).partition(": flask telemetry ")[2].removesuffix(".")
    made = CliRunner().invoke(create_credential, shlex.split(command)[1:])
    assert f"{PREFIX}EMEA_CREDENTIALS = " in made.output


def test_environment_is_read_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{VARIABLE}DATABASE_URL", URL)
    app = Flask(__name__)

    message = message_of(app)

    app.config.from_prefixed_env()
    cure = "call app.config.from_prefixed_env() before the extension is made"
    has(message, "DATABASE_URL", "no database is configured", cure)


def test_variable_without_the_prefix_of_flask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", URL)
    app = Flask(__name__)
    app.config.from_prefixed_env()

    cure = f"The environment has {PREFIX}DATABASE_URL: name it {VARIABLE}DATABASE_URL"
    has(message_of(app), "DATABASE_URL", "no database is configured", cure)
