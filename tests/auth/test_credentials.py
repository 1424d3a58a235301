"""Who may ask: digests, PowerAuth's own table, stores of one's own, scopes."""

import functools
import itertools
import logging
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

import pytest
from flask import Flask, got_request_exception
from flask.testing import FlaskClient
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from flask_powerauth_telemetry import Unavailable
from flask_powerauth_telemetry.auth import pa_integration
from flask_powerauth_telemetry.auth.credentials import (
    DIGEST_PREFIX,
    StaticCredentials,
    create_token,
    digest,
)
from flask_powerauth_telemetry.auth.pa_integration import (
    REFRESH_SECONDS,
    RETRY_SECONDS,
    IntegrationCredentials,
)
from flask_powerauth_telemetry.config.keys import DEFAULT_NAME
from flask_powerauth_telemetry.config.values import INTEGRATION_BIND
from flask_powerauth_telemetry.database.connection import MAIN, Database
from flask_powerauth_telemetry.database.tables import PowerAuthTables, integration_table
from flask_powerauth_telemetry.exceptions import DatabaseFault
from flask_powerauth_telemetry.state import EXTENSION_KEY
from tests.support import powerauth
from tests.support.callers import LONG
from tests.support.held import eventually
from tests.support.service import (
    CREDENTIALS,
    PATH,
    ask,
    basic,
    create_app,
    error,
    recorded_statements,
)

RETAIL = {"application": "retail"}
UNAUTHORIZED = error("ERROR_UNAUTHORIZED", "Invalid application credentials")
INTEGRATIONS = [
    powerauth.Integration("id-1", "billing", "token-1", "secret-1"),
    powerauth.Integration("id-2", None, "token-2", "secret-2"),
]


@pytest.fixture
def filled(database: Engine) -> Engine:
    powerauth.create_schema(database)
    powerauth.add_applications(database, ["retail", "corporate"])
    powerauth.add_integrations(database, INTEGRATIONS)
    return database


def status(client: FlaskClient, user: tuple[str, str], application: str = "retail") -> int:
    return ask(client, "CURRENT_MAU", {"application": application}, user=user).status_code


def test_refusal_has_a_challenge_and_only_code_and_message(sqlite: Engine) -> None:
    response = create_app(sqlite).test_client().post(PATH)

    assert response.status_code == 401
    assert response.get_json() == UNAUTHORIZED
    assert (
        response.headers["WWW-Authenticate"] == 'Basic realm="PowerAuth Telemetry", charset="UTF-8"'
    )


def test_two_digests_are_both_good_while_a_token_is_rotated(filled: Engine) -> None:
    client = create_app(filled, CREDENTIALS={"b": [digest("old"), digest("new")]}).test_client()

    assert [status(client, ("b", token)) for token in ("old", "new", "older")] == [200, 200, 401]


@pytest.mark.parametrize("token", ["", " ", "pä:ß:☂", "x" * 5_000, "a\nb"])
def test_any_password_can_be_checked(token: str) -> None:
    store = StaticCredentials({"user": [digest(token)]})

    assert store.authenticate("user", token) == "user"
    assert store.authenticate("user", token + "x") is None
    assert store.authenticate("User", token) is None
    assert store.authenticate("", token) is None


def test_digest_is_no_password() -> None:
    store = StaticCredentials({"user": [digest("token")]})

    assert store.authenticate("user", digest("token")) is None
    assert store.authenticate("user", digest("token").removeprefix(DIGEST_PREFIX)) is None
    assert store.authenticate("nobody", "") is None


def test_tokens_are_random_and_long() -> None:
    tokens = {create_token() for _ in range(100)}

    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43


def test_utf_8_credentials_pass_http(filled: Engine) -> None:
    client = create_app(filled, CREDENTIALS={"účtárna": digest("heslo:☂")}).test_client()
    body = {"requestObject": {"name": "CURRENT_MAU", "parameters": RETAIL}}

    response = client.post(PATH, json=body, headers={"Authorization": basic("účtárna:heslo:☂")})

    assert response.status_code == 200


def test_wrong_passwords_cost_no_query(filled: Engine) -> None:
    client = create_app(filled).test_client()

    with recorded_statements() as statements:
        assert {status(client, ("billing", f"wrong-{n}")) for n in range(500)} == {401}

    assert statements == []


def test_integrations_are_read_once_for_many_passwords(filled: Engine) -> None:
    client = create_app(filled, CREDENTIALS="pa_integration").test_client()

    with recorded_statements() as statements:
        assert {status(client, ("token-1", f"wrong-{n}")) for n in range(300)} == {401}
        assert {status(client, (f"nobody-{n}", "secret-1")) for n in range(300)} == {401}

    assert sum("pa_integration" in statement for statement in statements) == 1
    assert status(client, ("token-1", "secret-1")) == 200
    assert status(client, ("token-2", "secret-2")) == 200
    assert status(client, ("token-1", "secret-2")) == 401
    assert status(client, ("billing", "secret-1")) == 401


def test_integrations_of_the_host_engine(filled: Engine) -> None:
    app = create_app(arguments={"engine": filled}, CREDENTIALS="pa_integration")

    assert status(app.test_client(), ("token-1", "secret-1")) == 200


def test_integrations_have_a_connection_of_their_own_beside_a_pool_of_any_size(
    postgresql: Engine,
) -> None:
    options = {"pool_size": 7, "pool_timeout": 9, "connect_args": {"application_name": "telemetry"}}
    app = create_app(postgresql, CREDENTIALS="pa_integration", ENGINE_OPTIONS=options)
    databases = app.extensions[EXTENSION_KEY][DEFAULT_NAME].databases
    main, own = (databases[name].engine() for name in (None, INTEGRATION_BIND))

    assert (main.pool.size(), own.pool.size(), own.pool._max_overflow) == (7, 1, 0)
    for engine in (main, own):
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver.info.get_parameters()["application_name"] == "telemetry"
            assert driver.prepare_threshold is None  # a pooler may be in between


def test_few_wait_until_integrations_are_read_and_the_rest_is_refused_at_once(
    filled: Engine,
) -> None:
    opened = threading.Event()

    def engine_of_a_host_that_hangs() -> Engine:
        assert opened.wait(LONG)
        return filled

    arguments = {"engine": engine_of_a_host_that_hangs}
    app = create_app(arguments=arguments, CREDENTIALS="pa_integration", MAX_WAITING=4)
    users = [("token-1", "secret-1"), ("token-2", "secret-2"), ("who", "")] * 5

    with ThreadPoolExecutor(len(users)) as callers:
        answers = [callers.submit(status, app.test_client(), user) for user in users]
        refused = list(itertools.islice(as_completed(answers, LONG), len(users) - 4))
        opened.set()

    assert {answer.result() for answer in refused} == {503}
    assert status(app.test_client(), users[0]) == 200


def test_integrations_of_an_engine_in_memory() -> None:
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    powerauth.create_schema(engine)
    powerauth.add_applications(engine, ["retail"])
    powerauth.add_integrations(engine, INTEGRATIONS)
    app = create_app(arguments={"engine": engine}, CREDENTIALS="pa_integration")

    assert status(app.test_client(), ("token-1", "secret-1")) == 200
    engine.dispose()


def test_integrations_of_a_bind_of_their_own(filled: Engine, tmp_path: Any) -> None:
    elsewhere = create_engine(f"sqlite:///{tmp_path / 'integrations.sqlite'}")
    powerauth.create_schema(elsewhere)
    powerauth.add_integrations(
        elsewhere, [powerauth.Integration("1", "other", "token-3", "secret-3")]
    )
    app = create_app(
        filled, CREDENTIALS="pa_integration", BINDS={"integration": str(elsewhere.url)}
    )

    assert status(app.test_client(), ("token-3", "secret-3")) == 200
    assert status(app.test_client(), ("token-1", "secret-1")) == 401
    elsewhere.dispose()


class Time:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def engines(sqlite: Engine) -> list[Engine]:
    """The last one is used."""
    return [sqlite]


@pytest.fixture
def store(engines: list[Engine], time: Time) -> IntegrationCredentials:
    database = Database(
        engine=lambda: engines[-1],
        timezone=UTC,
        tables=PowerAuthTables(),
        statement_timeout=0,
        ours=False,
    )
    return IntegrationCredentials(database, integration_table(database.tables), clock=time)


def test_new_and_removed_integrations_are_seen_within_a_minute(
    sqlite: Engine, store: IntegrationCredentials, time: Time
) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_integrations(sqlite, INTEGRATIONS[:1])
    assert store.authenticate("token-1", "secret-1") == "billing"
    with sqlite.begin() as connection:
        connection.exec_driver_sql("DELETE FROM pa_integration")
    powerauth.add_integrations(sqlite, INTEGRATIONS[1:])

    time.seconds += 59
    assert store.authenticate("token-2", "secret-2") is None
    time.seconds += 1
    assert store.authenticate("token-2", "secret-2") == "integration:id-2"
    assert store.authenticate("token-1", "secret-1") is None


def test_integrations_stay_valid_for_an_hour_while_the_database_is_down(
    sqlite: Engine,
    engines: list[Engine],
    store: IntegrationCredentials,
    time: Time,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_integrations(sqlite, INTEGRATIONS)
    assert store.authenticate("token-1", "secret-1") == "billing"
    engines.append(create_engine(f"sqlite:///{tmp_path}/no folder/powerauth.sqlite"))

    time.seconds += REFRESH_SECONDS
    assert store.authenticate("token-1", "secret-1") == "billing"
    assert store.authenticate("token-1", "secret") is None

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "unable to open database file" in record.getMessage()
    assert "secret-1" not in caplog.text
    assert vars(record)["telemetry_database"] == MAIN

    time.seconds += 3_600 - REFRESH_SECONDS - 1
    assert store.authenticate("token-1", "secret-1") == "billing"
    time.seconds += 1
    with pytest.raises(Unavailable):
        store.authenticate("token-1", "secret-1")

    engines.pop()
    time.seconds += REFRESH_SECONDS
    assert store.authenticate("token-1", "secret-1") == "billing"


def test_locked_table_is_waited_for_less_long_where_it_was_read_before(
    postgresql: Engine,
    store: IntegrationCredentials,
    engines: list[Engine],
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    powerauth.create_schema(postgresql)
    powerauth.add_integrations(postgresql, INTEGRATIONS)
    engines.append(postgresql)

    def seconds_while_locked(first: float, again: float) -> float:
        monkeypatch.setattr(pa_integration, "_LONGEST_READING_SECONDS", first)
        monkeypatch.setattr(pa_integration, "_LONGEST_REREADING_SECONDS", again)
        with postgresql.connect() as locker:
            locker.exec_driver_sql("LOCK TABLE pa_integration IN ACCESS EXCLUSIVE MODE")
            start = monotonic()
            with suppress(Unavailable):
                assert store.authenticate("token-1", "secret-1") == "billing"
            return monotonic() - start

    assert seconds_while_locked(0.3, 20) < 5
    with pytest.raises(Unavailable) as raised:
        store.authenticate("token-1", "secret-1")
    assert raised.value.database == MAIN
    time.seconds += RETRY_SECONDS
    assert store.authenticate("token-1", "secret-1") == "billing"
    time.seconds += REFRESH_SECONDS
    assert seconds_while_locked(20, 0.3) < 5


def test_one_request_waits_for_a_new_reading(
    postgresql: Engine, store: IntegrationCredentials, engines: list[Engine], time: Time
) -> None:
    powerauth.create_schema(postgresql)
    powerauth.add_integrations(postgresql, INTEGRATIONS)
    engines.append(postgresql)
    assert store.authenticate("token-1", "secret-1") == "billing"
    time.seconds += REFRESH_SECONDS
    with ThreadPoolExecutor(1) as pool, postgresql.connect() as locker:
        locker.exec_driver_sql("LOCK TABLE pa_integration IN ACCESS EXCLUSIVE MODE")
        waits = pool.submit(store.authenticate, "token-1", "secret-1")
        eventually(lambda: store._computations.waiting == 1)
        start = monotonic()
        assert store.authenticate("token-1", "secret-1") == "billing"
        assert monotonic() - start < 1
        assert not waits.done()
        locker.rollback()
        assert waits.result() == "billing"


@pytest.mark.parametrize(
    "fault", ["ALTER TABLE pa_integration RENAME TO away", "DROP TABLE pa_integration"]
)
def test_no_integration_stays_valid_when_the_table_can_not_be_read(
    sqlite: Engine, store: IntegrationCredentials, time: Time, fault: str
) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_integrations(sqlite, INTEGRATIONS)
    assert store.authenticate("token-1", "secret-1") == "billing"
    with sqlite.begin() as connection:
        connection.exec_driver_sql(fault)

    time.seconds += REFRESH_SECONDS
    for _ in range(3):
        with pytest.raises(DatabaseFault, match="no such table"):
            store.authenticate("token-1", "secret-1")


def test_failed_reading_costs_one_query_for_some_seconds(
    sqlite: Engine, store: IntegrationCredentials, time: Time
) -> None:
    with recorded_statements() as statements:
        for _ in range(200):
            with pytest.raises(DatabaseFault):
                store.authenticate("token-1", "wrong")
        assert len(statements) == 1
        time.seconds += RETRY_SECONDS
        powerauth.create_schema(sqlite)
        powerauth.add_integrations(sqlite, INTEGRATIONS)
        assert store.authenticate("token-1", "secret-1") == "billing"


def test_integrations_never_read_are_not_available(sqlite: Engine) -> None:
    app = create_app(
        DATABASE_URL="sqlite:////dev/null/powerauth.sqlite", CREDENTIALS="pa_integration"
    )

    response = ask(app.test_client(), user=("token-1", "secret-1"))

    assert response.status_code == 503
    assert "Retry-After" in response.headers


class OwnStore:
    """As a host would write it."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def authenticate(self, username: str, password: str) -> str | None:
        if self.failure:
            raise self.failure
        return "accounting" if password == "open sesame" else None


@pytest.mark.parametrize(
    ("failure", "password", "expected"),
    [
        (None, "open sesame", 200),
        (None, "close sesame", 401),
        (Unavailable("the directory is down"), "open sesame", 503),
        (RuntimeError("secret detail"), "open sesame", 500),
    ],
)
def test_store_of_ones_own(
    filled: Engine, failure: Exception | None, password: str, expected: int
) -> None:
    app = create_app(filled, arguments={"credentials": OwnStore(failure)}, CREDENTIALS=None)

    response = ask(app.test_client(), "CURRENT_MAU", RETAIL, user=("any", password))

    assert response.status_code == expected
    assert "secret detail" not in response.get_data(as_text=True)


SCOPED = {**CREDENTIALS, "scoped": digest("t"), "none": digest("t")}
SCOPES = {"scoped": ["retail", "not there"], "none": []}


@pytest.fixture
def scoped_app(filled: Engine) -> Flask:
    return create_app(filled, CREDENTIALS=SCOPED, SCOPES=SCOPES)


def test_scope_lets_its_applications_through(scoped_app: Flask) -> None:
    client = scoped_app.test_client()

    assert status(client, ("scoped", "t"), "retail") == 200
    assert status(client, ("scoped", "t"), "corporate") == 400
    assert status(client, ("none", "t"), "retail") == 400
    assert status(client, ("billing", "a-token"), "corporate") == 400


@pytest.mark.parametrize("name", ["CURRENT_MAU", "USERS_IN_PAST_DAYS"])
def test_application_out_of_scope_looks_unknown(scoped_app: Flask, name: str) -> None:
    client = scoped_app.test_client()
    answers = []
    for application in ("corporate", "nowhere"):
        with recorded_statements() as statements:
            parameters = {"application": application, "days": 7}
            response = ask(client, name, parameters, user=("scoped", "t"))
        answers.append(
            (
                response.status_code,
                response.get_data(as_text=True).replace(application, "…"),
                list(response.headers.keys()),
                statements,
            )
        )

    assert answers[0] == answers[1]
    assert answers[0][3] == []


def test_scope_of_everyone_else(filled: Engine) -> None:
    app = create_app(filled, CREDENTIALS=SCOPED, SCOPES={"*": ["corporate"], "scoped": ["retail"]})
    client = app.test_client()

    assert status(client, ("billing", "a-token"), "corporate") == 200
    assert status(client, ("billing", "a-token"), "retail") == 400
    assert status(client, ("scoped", "t"), "corporate") == 400


def test_scope_of_an_integration_goes_by_its_name(filled: Engine) -> None:
    app = create_app(
        filled,
        CREDENTIALS="pa_integration",
        SCOPES={"billing": ["retail"], "integration:id-2": ["corporate"]},
    )
    client = app.test_client()

    assert status(client, ("token-1", "secret-1"), "retail") == 200
    assert status(client, ("token-1", "secret-1"), "corporate") == 400
    assert status(client, ("token-2", "secret-2"), "corporate") == 200


def test_integrations_are_read_once_a_minute(
    sqlite: Engine, store: IntegrationCredentials, time: Time
) -> None:
    powerauth.create_schema(sqlite)
    start = time.seconds
    read_at: list[float] = []

    def look(seconds: float) -> None:
        time.seconds = start + seconds
        with recorded_statements() as statements:
            store.authenticate("token-1", "secret-1")
        if any("FROM pa_integration" in one for one in statements):
            read_at.append(seconds)

    for seconds in (0, 1, 59, 60, 119, 120):
        look(seconds)

    assert read_at == [0, 60, 120]


def test_integration_without_a_token_or_a_secret_lets_nobody_in(
    sqlite: Engine, store: IntegrationCredentials
) -> None:
    rows = ("'a', NULL", "'b', ''", "NULL, 's'", "'', 's'")
    with sqlite.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE pa_integration (id TEXT, name TEXT, client_token TEXT,"
            " client_secret TEXT)"
        )
        for row in rows:
            connection.exec_driver_sql(f"INSERT INTO pa_integration VALUES ('1', 'name', {row})")
    powerauth.add_integrations(sqlite, INTEGRATIONS[:1])

    assert store.authenticate("token-1", "secret-1") == "billing"
    for token in ("a", "b", "", "None"):
        assert {store.authenticate(token, secret) for secret in ("", "s", "None")} == {None}


@pytest.mark.parametrize(
    ("scopes", "seen"),
    [
        (None, ["retail", "corporate"]),
        ({}, []),
        ({"crm": ["retail", "corporate"]}, []),
        ({"CRM ": ["retail", "corporate"], " CRM": ["retail"]}, []),
        ({"integration:id-1": ["retail"]}, []),
        ({"*": []}, []),
        ({"**": ["retail"], "all": ["retail"]}, []),
        ({"*": ["retail"]}, ["retail"]),
        ({"CRM": ["retail "], "*": ["retail"]}, []),
        ({"CRM": ["RETAIL", "*", "1"]}, []),
        ({"CRM": ["corporate"]}, ["corporate"]),
    ],
)
def test_scopes_are_closed_to_whom_they_do_not_name(
    filled: Engine, scopes: dict[str, list[str]] | None, seen: list[str]
) -> None:
    class Store:
        def authenticate(self, username: str, password: str) -> str | None:
            return "CRM"

    keys: dict[str, Any] = {} if scopes is None else {"SCOPES": scopes}
    client = create_app(filled, arguments={"credentials": Store()}, **keys).test_client()

    answers = {name: status(client, ("a", "b"), name) for name in ("retail", "corporate")}

    assert answers == {name: 200 if name in seen else 400 for name in answers}


class RaisingStore:
    def authenticate(self, username: str, password: str) -> str | None:
        self.look_up(username)
        return None

    def look_up(self, username: str) -> None:
        raise RuntimeError(f"no connection for {username}")


class AsyncRaisingStore:
    async def authenticate(self, username: str, password: str) -> str | None:
        raise RuntimeError("no connection")


class StoreOfFunctions:
    """Its method is no function of Python that a frame could be told by."""

    authenticate = staticmethod(functools.partial(RaisingStore().authenticate))


def frames_of(error: BaseException | None) -> Iterator[FrameType]:
    while error is not None:
        yield from (frame for frame, _ in traceback.walk_tb(error.__traceback__))
        error = error.__cause__ or error.__context__


def holds_the_secret(frame: FrameType) -> bool:
    """Whether a local variable of a frame, or an attribute of one, shows it."""
    held = frame.f_locals.values()
    return "the caller's" in repr([*held, *(getattr(one, "__dict__", None) for one in held)])


@pytest.mark.parametrize("store", [RaisingStore(), AsyncRaisingStore(), StoreOfFunctions()])
def test_no_frame_above_the_stores_own_holds_the_secret(sqlite: Engine, store: Any) -> None:
    app = create_app(sqlite, arguments={"credentials": store})
    errors: list[Exception] = []

    def note(sender: Flask, exception: Exception, **_: Any) -> None:
        errors.append(exception)

    with got_request_exception.connected_to(note, app):
        assert status(app.test_client(), ("any", "the caller's secret")) == 500

    (error,) = errors
    frames = [frame for frame in frames_of(error) if frame.f_code.co_filename != __file__]
    assert frames
    own = [frame.f_code.co_name for frame in frames_of(error) if frame not in frames]
    assert own == ["authenticate", "look_up"] or not isinstance(store, RaisingStore)
    assert {frame.f_code.co_name for frame in frames if holds_the_secret(frame)} == set()


def test_no_frame_of_ours_holds_a_secret_of_an_integration(store: IntegrationCredentials) -> None:
    with pytest.raises(DatabaseFault) as raised:
        store.authenticate("token-1", "the caller's secret")

    frames = [frame for frame in frames_of(raised.value) if frame.f_code.co_filename != __file__]
    assert [frame for frame in frames if holds_the_secret(frame)] == []


@pytest.mark.parametrize("name", ["", None, 7, b"billing"])
def test_store_that_names_nobody_lets_nobody_in(sqlite: Engine, name: Any) -> None:
    class Store:
        def authenticate(self, username: str, password: str) -> Any:
            return name

    client = create_app(sqlite, arguments={"credentials": Store()}).test_client()

    assert status(client, ("any", "token")) == 401
