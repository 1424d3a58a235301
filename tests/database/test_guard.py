"""What the guard on a connection holds, on our engines and on a host's."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from marshmallow import Schema, fields
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from flask_powerauth_telemetry import ReportContext, ReportProvider
from flask_powerauth_telemetry.database.connection import Database, always
from flask_powerauth_telemetry.database.dialects import dialect_named
from flask_powerauth_telemetry.database.dialects.base import Limits
from flask_powerauth_telemetry.database.engine import create_read_only_engine
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from tests.support import powerauth
from tests.support.commands import LEAST, role
from tests.support.held import eventually
from tests.support.service import NOW, ask, create_app, url_of, users_of

NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000)"
SLOW = {
    "postgresql": "SELECT pg_sleep(60)",
    "sqlite": f"{NUMBERS} SELECT count(*) FROM n",
}


class Statement(ReportProvider):
    """Runs one statement and gives the first value it returns, as text."""

    name = "STATEMENT"
    definition = "The first value that a statement returns."
    parameters_schema = Schema
    data_schema = Schema.from_dict({"value": fields.String(required=True)})

    def __init__(self, statement: str) -> None:
        self._statement = statement

    def generate(self, context: ReportContext) -> Mapping[str, Any]:
        result = context.connection.execute(text(self._statement))
        return {"value": str(result.scalar_one() if result.returns_rows else "")}


def answer(engine: Engine, statement: str, *, ours: bool, **keys: Any) -> Any:
    """The value, or the status of an error."""
    arguments: dict[str, Any] = {"providers": [Statement(statement)]}
    if not ours:
        arguments["engine"] = engine
    app = create_app(engine if ours else None, arguments=arguments, **keys)
    response = ask(app.test_client(), "STATEMENT")
    if response.status_code != 200:
        return response.status_code
    return response.get_json()["responseObject"]["reportData"]["value"]


@pytest.fixture
def autocommit(postgresql: Engine) -> Engine:
    """A host's engine that commits every statement, on which SET LOCAL alone does nothing."""
    return create_engine(postgresql.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("transaction_read_only", "on"),
        ("transaction_isolation", "read committed"),
        ("timezone", "UTC"),
        ("row_security", "off"),
        ("client_connection_check_interval", "1s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("work_mem", "64MB"),
        ("max_parallel_workers_per_gather", "0"),
        ("plan_cache_mode", "force_custom_plan"),
        ("application_name", "flask_powerauth_telemetry"),
    ],
)
def test_postgresql_session(autocommit: Engine, setting: str, value: str, ours: bool) -> None:
    assert answer(autocommit, f"SHOW {setting}", ours=ours, STATEMENT_TIMEOUT=2.5) == value


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(("setting", "most"), [("statement_timeout", 2500), ("lock_timeout", 375)])
def test_postgresql_time_limits(autocommit: Engine, setting: str, most: int, ours: bool) -> None:
    """On a busy machine a statement begins late, and has what is left of the time."""
    value = answer(autocommit, f"SHOW {setting}", ours=ours, STATEMENT_TIMEOUT=2.5)

    assert 0.6 * most < int(value.removesuffix("ms")) <= most


@pytest.mark.parametrize("ours", [True, False])
def test_parallel_workers_that_are_allowed(postgresql: Engine, ours: bool) -> None:
    statement = "SHOW max_parallel_workers_per_gather"

    assert answer(postgresql, statement, ours=ours, PARALLEL_WORKERS=3) == "3"


@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, ("0", 2.5)), ({"statement_timeout": 70, "parallel_workers": 2}, ("2", 70))],
)
def test_bind_has_limits_of_its_own(
    postgresql: Engine, own: dict[str, Any], expected: tuple[str, float]
) -> None:
    workers, seconds = expected
    binds = {"replica": {"url": url_of(postgresql), **own}}
    keys = {"BINDS": binds, "REPORT_BINDS": {"STATEMENT": "replica"}, "PARALLEL_WORKERS": 1}

    shown, limit = [
        answer(postgresql, f"SELECT {value}", ours=True, STATEMENT_TIMEOUT=2.5, **keys)
        for value in (
            "current_setting('max_parallel_workers_per_gather')",
            "extract(epoch FROM current_setting('statement_timeout')::interval)",
        )
    ]

    assert shown == workers
    assert 0.6 * seconds < float(limit) <= seconds


def test_io_workers_of_postgresql_18_are_left_to_the_logins(postgresql: Engine) -> None:
    with postgresql.connect() as connection:
        before = connection.scalar(text("SHOW effective_io_concurrency"))
        version = connection.dialect.server_version_info

    held = answer(postgresql, "SHOW effective_io_concurrency", ours=True)

    assert held == ("0" if version and version >= (18,) else before)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_time_limit_is_ours_whatever_that_of_a_role(postgresql: Engine, driver: str) -> None:
    """Of a session that it ends, nobody would remember that it was too slow."""
    name = postgresql.url.database
    with postgresql.begin() as connection:
        version = connection.dialect.server_version_info
        setting = "transaction_timeout" if version and version >= (17,) else "statement_timeout"
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET {setting} = 100')
    url = postgresql.url.set(drivername=f"postgresql+{driver}")
    slow = answer(create_engine(url, poolclass=NullPool), "SELECT pg_sleep(0.3)::text", ours=True)
    assert slow == ""


def test_no_time_limit_on_postgresql(postgresql: Engine) -> None:
    for limit in ("statement", "lock", "idle_in_transaction_session"):
        assert answer(postgresql, f"SHOW {limit}_timeout", ours=True, STATEMENT_TIMEOUT=0) == "0"
    statement = "SHOW statement_timeout"
    assert answer(postgresql, statement, ours=True, STATEMENT_TIMEOUT=0.0391) == "40ms"


@pytest.mark.parametrize("ours", [True, False])
def test_postgresql_writes_nothing(autocommit: Engine, ours: bool) -> None:
    powerauth.create_schema(autocommit)
    powerauth.add_applications(autocommit, ["retail"])

    assert answer(autocommit, "DELETE FROM pa_application", ours=ours) == 500

    with autocommit.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pa_application")) == 1


def test_host_engine_is_given_back_as_it_was(postgresql: Engine) -> None:
    pooled = create_engine(postgresql.url, pool_size=1, max_overflow=0)
    try:
        assert answer(pooled, "SHOW transaction_read_only", ours=False) == "on"
        with pooled.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE hosts_own (id INTEGER)")
            assert connection.scalar(text("SHOW statement_timeout")) == "0"
            assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"
    finally:
        pooled.dispose()


def test_sqlite_writes_nothing(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])

    assert answer(sqlite, "DELETE FROM pa_application", ours=True) == 500

    with sqlite.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pa_application")) == 1


def test_missing_sqlite_file_is_not_created(sqlite: Engine) -> None:
    assert answer(sqlite, "SELECT 1", ours=True) == 503
    assert url_of(sqlite).startswith("sqlite:///")
    assert not Path(str(sqlite.url.database)).exists()


def test_sqlite_file_that_was_replaced_is_read_no_more(sqlite: Engine, tmp_path: Path) -> None:
    newer = create_engine(f"sqlite:///{tmp_path / 'newer.sqlite'}", poolclass=NullPool)
    for engine, names in (sqlite, ["old", "kept"]), (newer, ["kept"]):
        powerauth.create_schema(engine)
        powerauth.add_applications(engine, names)
    client = create_app(sqlite, CACHE_SECONDS=0).test_client()
    assert users_of(client, "old", 30) == 0

    Path(str(newer.url.database)).replace(str(sqlite.url.database))

    assert ask(client, "CURRENT_MAU", {"application": "old"}).status_code == 400
    Path(str(sqlite.url.database)).unlink()
    assert ask(client, "CURRENT_MAU", {"application": "kept"}).status_code == 503


def test_slow_statement_ends_at_the_time_limit(database: Engine) -> None:
    with database.connect():
        pass  # SQLite's file has to be there
    started = time.monotonic()

    status = answer(database, SLOW[database.dialect.name], ours=True, STATEMENT_TIMEOUT=0.3)

    assert status == 503
    assert 0.3 <= time.monotonic() - started < 10


def test_answers_tell_when_to_try_again(database: Engine) -> None:
    with database.connect():
        pass
    app = create_app(
        database,
        arguments={"providers": [Statement(SLOW[database.dialect.name])]},
        STATEMENT_TIMEOUT=0.1,
    )

    response = ask(app.test_client(), "STATEMENT")

    assert response.headers["Retry-After"] == "60"


class DriverConnection:
    """Stands for a connection of a driver whose database can't be run here."""

    module = "the host's"
    call_timeout = 7_000
    timeout = 7


class NotRunConnection:
    """As much of a SQLAlchemy connection as the guard touches, for a dialect that can't be run."""

    def __init__(self) -> None:
        self.driver = DriverConnection()
        self.connection = SimpleNamespace(driver_connection=self.driver)


@pytest.mark.parametrize(
    ("dialect", "attribute", "held", "before"),
    [("oracle", "call_timeout", 2_500, 7_000), ("mssql", "timeout", 3, 7)],
)
def test_driver_time_limit_is_set_and_put_back(
    dialect: str, attribute: str, held: int, before: int
) -> None:
    connection: Any = NotRunConnection()

    with dialect_named(dialect).guard(connection, Limits(2.5)):
        assert getattr(connection.driver, attribute) == held

    assert getattr(connection.driver, attribute) == before


class Several(ReportProvider):
    """Sends several statements; between them it ends its transaction."""

    name = "SEVERAL"
    definition = "What the last statement gives."
    parameters_schema = Schema
    data_schema = Schema.from_dict({"value": fields.String(required=True)})

    def __init__(self, end: str, *statements: str) -> None:
        self._end = end
        self._statements = statements

    def generate(self, context: ReportContext) -> dict[str, str]:
        for statement in self._statements:
            context.connection.exec_driver_sql("SELECT 1").all()
            getattr(context.connection, self._end)()
            result = context.connection.exec_driver_sql(statement)
        return {"value": str(result.scalar_one() if result.returns_rows else "")}


def _several(engine: Engine, provider: ReportProvider, *, ours: bool, **keys: Any) -> int:
    arguments: dict[str, Any] = {"providers": [provider]}
    if not ours:
        arguments["engine"] = engine
    app = create_app(engine if ours else None, arguments=arguments, **keys)
    return ask(app.test_client(), "SEVERAL").status_code


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_provider_that_ends_its_transaction_writes_nothing(
    autocommit: Engine, end: str, ours: bool
) -> None:
    powerauth.create_schema(autocommit)
    writes = [
        "INSERT INTO pa_application (id, name) VALUES (1, 'forged')",
        "CREATE TABLE forged (id INTEGER)",
        "SELECT nextval('numbers')",
    ]
    with autocommit.connect() as connection:
        connection.exec_driver_sql("CREATE SEQUENCE numbers")

    for write in writes:
        assert _several(autocommit, Several(end, write), ours=ours) == 500

    with autocommit.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pa_application")) == 0


@pytest.mark.parametrize("options", [{"stream_results": True}, {"yield_per": 1}])
def test_host_engine_may_stream(postgresql: Engine, options: dict[str, Any]) -> None:
    streaming = create_engine(postgresql.url, execution_options=options)

    assert _several(streaming, Several("rollback", "SELECT 1"), ours=False) == 200


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_provider_that_ends_its_transactions_keeps_the_time_limit(
    autocommit: Engine, end: str, ours: bool
) -> None:
    naps = ["SELECT pg_sleep(0.4)"] * 5
    started = time.monotonic()

    assert _several(autocommit, Several(end, *naps), ours=ours, STATEMENT_TIMEOUT=1) == 503

    assert time.monotonic() - started < 1.6


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("setting", ["search_path", "role", "enable_seqscan"])
def test_provider_leaves_no_setting_to_the_next_report(
    postgresql: Engine, setting: str, driver: str
) -> None:
    reader = create_read_only_engine(
        postgresql.url.set(drivername=f"postgresql+{driver}"), {"pool_size": 1}
    )
    value = {"role": "pg_read_all_data", "enable_seqscan": "off"}
    change = f"SELECT set_config('{setting}', '{value.get(setting, 'elsewhere')}', false)"
    database = Database(
        engine=always(reader),
        timezone=UTC,
        tables=PowerAuthTables(),
        statement_timeout=5,
        ours=True,
    )
    shown = []
    for statement in ("SELECT 1", change, "SELECT 1"):
        with database.connect() as connection:
            shown.append(connection.scalar(text(f"SHOW {setting}")))
            connection.execute(text(statement))
            connection.commit()
    assert shown[0] == shown[1] == shown[2]
    reader.dispose()


WRITE = "INSERT INTO pa_application (id, name) VALUES (1, 'forged')"


class Told(ReportProvider):
    """Does on its connection what a test says."""

    name = "TOLD"
    definition = "Nothing."
    parameters_schema = Schema
    data_schema = Schema

    def __init__(self, do: Callable[[Connection], object]) -> None:
        self._do = do

    def generate(self, context: ReportContext) -> Mapping[str, Any]:
        self._do(context.connection)
        return {}


def told(engine: Engine, do: Callable[[Connection], object], *, ours: bool) -> int:
    arguments: dict[str, Any] = {"providers": [Told(do)]}
    if not ours:
        arguments["engine"] = engine
    app = create_app(engine if ours else None, arguments=arguments)
    return ask(app.test_client(), "TOLD").status_code


def forged(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM pa_application")) or 0)


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(
    "statement",
    [
        f"COMMIT; {WRITE}",
        f"ROLLBACK; BEGIN READ WRITE; {WRITE}; COMMIT",
        f"COMMIT AND CHAIN; SET TRANSACTION READ WRITE; {WRITE}; COMMIT",
        f"SELECT ';'; COMMIT; {WRITE}",
        f"SELECT E'\\\\'; COMMIT; {WRITE}; SELECT ''",
        f"SELECT 1 -- '\n; COMMIT; {WRITE}; --'",
        f"/* ' */ SELECT 1; COMMIT; {WRITE}; -- '",
        f"/* /* */ SELECT */ COMMIT; {WRITE}",
        f"SELECT $$'$$; COMMIT; {WRITE}; SELECT $$'$$",
        f"COMMIT; DO $$ BEGIN {WRITE}; END $$",
        "COMMIT; CREATE TEMPORARY TABLE pa_application AS SELECT 1 AS id, 'forged' AS name",
        "SET statement_timeout = 0",
        "ROLLBACK",
    ],
)
def test_provider_runs_single_queries_alone(autocommit: Engine, statement: str, ours: bool) -> None:
    powerauth.create_schema(autocommit)

    assert told(autocommit, lambda own: own.exec_driver_sql(statement), ours=ours) == 500

    assert forged(autocommit) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT ';', string_agg(name, '; ') AS \"a;b\" FROM pa_application;",
        "-- which ones\n/* all */ (VALUES (1), (2)) ; ",
        "WITH a AS (SELECT 1) SELECT '--', E'\\n' FROM a",
        "EXPLAIN SELECT 1",
        "TABLE pa_application",
    ],
)
def test_provider_may_write_queries_as_it_likes(postgresql: Engine, statement: str) -> None:
    powerauth.create_schema(postgresql)

    def query(own: Connection) -> None:
        with own.begin_nested():
            own.exec_driver_sql(statement).all()

    assert told(postgresql, query, ours=True) == 200


def leave_transactions(own: Connection) -> None:
    own.commit()
    own.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(WRITE)


def write_later(own: Connection) -> None:
    for _ in range(2):
        own.commit()
        own.exec_driver_sql("SELECT 1")
    own.exec_driver_sql(f"COMMIT; {WRITE}")


def open_another(own: Connection) -> None:
    with own.engine.begin() as another:
        another.exec_driver_sql(WRITE)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("do", [leave_transactions, write_later, open_another])
def test_provider_opens_nothing_that_writes(postgresql: Engine, do: Any, driver: str) -> None:
    powerauth.create_schema(postgresql)
    reader = create_engine(postgresql.url.set(drivername=f"postgresql+{driver}"))

    assert told(reader, do, ours=True) == 500

    assert forged(postgresql) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"isolation_level": "AUTOCOMMIT"},
        {"isolation_level": "SERIALIZABLE"},
        {"postgresql_readonly": False},
        {"postgresql_deferrable": True, "stream_results": True},
    ],
)
def test_provider_changes_no_way_to_begin(postgresql: Engine, options: dict[str, Any]) -> None:
    powerauth.create_schema(postgresql)

    def change(own: Connection) -> None:
        own.commit()
        own.execution_options(**options).exec_driver_sql("SELECT 1")

    assert told(postgresql, change, ours=True) == 500


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_session_of_a_role_changes_no_number(
    postgresql: Engine, driver: str, encoding: str
) -> None:
    name = "Žlutý kůň"
    powerauth.create_schema(postgresql)
    powerauth.add_applications(postgresql, [name, "corporate"])
    rows = powerauth.random_activations(seed=3, now=NOW, zone=UTC, count=300)
    powerauth.add_activations(postgresql, rows)
    with postgresql.begin() as connection:
        connection.exec_driver_sql(
            "CREATE VIEW with_zone AS SELECT application_id, user_id,"
            " timestamp_last_used AT TIME ZONE 'UTC' AS timestamp_last_used FROM pa_activation"
        )
    expected = [users_of(create_app(postgresql).test_client(), name, days) for days in (20, 300)]
    database = postgresql.url.database

    settings = (
        "timezone = 'Asia/Tokyo'",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "datestyle = 'SQL, DMY'",
        "intervalstyle = 'sql_standard'",
        "extra_float_digits = -15",
        f"client_encoding = '{encoding}'",
    )
    with postgresql.begin() as connection:
        for setting in settings:
            connection.exec_driver_sql(f"ALTER DATABASE {database} SET {setting}")
    url = url_of(create_engine(postgresql.url.set(drivername=f"postgresql+{driver}")))
    client = create_app(DATABASE_URL=url, TABLES={"pa_activation": "with_zone"}).test_client()

    assert [users_of(client, name, days) for days in (20, 300)] == expected
    assert min(expected) > 0


def test_policy_that_hides_rows_is_an_error(postgresql: Engine) -> None:
    powerauth.create_schema(postgresql)
    powerauth.add_applications(postgresql, ["retail"])
    with role(postgresql, *LEAST) as reader:
        client = create_app(reader).test_client()
        assert users_of(client, "retail", 30) == 0
        with postgresql.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE pa_activation ENABLE ROW LEVEL SECURITY")
            connection.exec_driver_sql("CREATE POLICY half ON pa_activation USING (user_id < 'm')")
        client = create_app(reader).test_client()
        assert ask(client, "CURRENT_MAU", {"application": "retail"}).status_code == 500


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE pa_activation ALTER user_id TYPE text USING user_id || ''",
        "CREATE TABLE kept AS SELECT * FROM pa_activation; TRUNCATE pa_activation;"
        " INSERT INTO pa_activation SELECT * FROM kept; DROP TABLE kept",
    ],
)
def test_report_that_waited_for_a_lock_counts_what_was_committed(
    postgresql: Engine, change: str
) -> None:
    powerauth.create_schema(postgresql)
    powerauth.add_applications(postgresql, ["retail", "corporate"])
    rows = powerauth.random_activations(seed=3, now=NOW, zone=UTC, count=300)
    powerauth.add_activations(postgresql, rows)
    expected = users_of(create_app(postgresql).test_client(), "retail", 365)
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")

    with ThreadPoolExecutor() as pool, postgresql.connect() as owner, owner.begin() as rewrite:
        owner.exec_driver_sql(change)
        late = pool.submit(lambda: users_of(create_app(postgresql).test_client(), "retail", 365))
        eventually(lambda: bool(owner.scalar(waiting)))
        rewrite.commit()
        assert late.result() == expected > 0


def test_no_statement_is_prepared_on_the_server(postgresql: Engine) -> None:
    count = "SELECT count(*) FROM pg_prepared_statements"

    assert answer(postgresql, count, ours=True) == "0"
    app = create_app(postgresql, arguments={"providers": [Several("commit", *[count] * 12)]})
    given = ask(app.test_client(), "SEVERAL").get_json()["responseObject"]["reportData"]
    assert given == {"value": "0"}
