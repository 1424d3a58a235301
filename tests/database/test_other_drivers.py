"""What drivers of Spark, ClickHouse and Oracle are given, and how they fail, by stand-ins."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import ColumnElement, DateTime, literal, literal_column, select
from sqlalchemy.engine.default import DefaultDialect

from flask_powerauth_telemetry.database.dialects import dialect_named, spark
from flask_powerauth_telemetry.reports.activity import WholeDays, WholeSlots
from tests.database.test_guard import Statement
from tests.support.drivers import FAULT, Connection, StandIn, stand_in
from tests.support.held import GRACE_SECONDS, Answer, answer_of
from tests.support.service import create_app

NOT_AVAILABLE = (503, "5")
TOO_SLOW = (503, "60")
FAULT_OF_THE_SERVER = (500, None)


class TTransportException(Exception):
    """An error of the network, as thrift calls it."""


@pytest.fixture
def impyla(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return stand_in(monkeypatch, "impala")


@pytest.fixture
def clickhouse(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return stand_in(monkeypatch, "clickhousedb")


def answer(driver: StandIn, folder: Path, query: str = "", **keys: Any) -> Answer:
    """That to a report whose statement is the driver's fault."""
    url = f"{driver.dialect}:///{folder}/file{query}"
    app = create_app(DATABASE_URL=url, arguments={"providers": [Statement(FAULT)]}, **keys)
    return answer_of(app, {}, "STATEMENT")


def raising(error: BaseException) -> Callable[[Connection], object]:
    def fault(_: Connection) -> None:
        raise error

    return fault


def meaning(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.headers.get("Retry-After")


@pytest.mark.parametrize(
    ("limit", "first", "second"), [(9.5, "9s", "4s"), (0.5, "1s", "1s"), (0, "0s", "0s")]
)
def test_session_on_spark(
    impyla: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: float,
    first: str,
    second: str,
) -> None:
    """The server counts each statement alone, so the next one is given what is left."""
    slow = iter([0, 5])
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + next(slow))
    monkeypatch.setattr(spark, "time", clock)
    provider = Statement(FAULT)
    generate = provider.generate

    def twice(context: Any) -> Any:
        generate(context)
        return generate(context)

    provider.generate = twice  # type: ignore[method-assign]
    app = create_app(
        DATABASE_URL=f"impala:///{tmp_path}/file",
        STATEMENT_TIMEOUT=limit,
        arguments={"providers": [provider]},
    )

    assert answer_of(app, {}, "STATEMENT").status == 200

    assert impyla.connected == [{"timeout": 10, "retries": 1}]
    assert {cursor["user"] for cursor in impyla.cursors} == {"flask_powerauth_telemetry"}
    sent = [cursor["configuration"] for cursor in impyla.cursors if "configuration" in cursor]
    assert [one.pop("set:hiveconf:spark.sql.thriftServer.queryTimeout") for one in sent] == [
        first,
        second,
    ]
    assert sent[-1] == {
        "set:hiveconf:spark.sql.session.timeZone": "UTC",
        "set:hiveconf:spark.sql.ansi.enabled": "true",
        "set:hiveconf:spark.sql.parser.escapedStringLiterals": "false",
    }


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyError(8), TOO_SLOW),
        (KeyError(9), FAULT_OF_THE_SERVER),
        (EOFError("closed"), NOT_AVAILABLE),
        (ConnectionResetError("reset"), NOT_AVAILABLE),
        (TTransportException("read 0 bytes"), NOT_AVAILABLE),
        (ValueError("TIMEDOUT_STATE"), FAULT_OF_THE_SERVER),
    ],
)
def test_error_that_sparks_driver_lets_through(
    impyla: StandIn,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    expected: tuple[int, str | None],
) -> None:
    impyla.fault = raising(error)
    assert meaning(answer(impyla, tmp_path)) == expected
    if expected == NOT_AVAILABLE:
        assert f"OperationalError: {type(error).__name__}: {error}" in caplog.text

    impyla.refusal = error
    at_connecting = expected if expected == NOT_AVAILABLE else FAULT_OF_THE_SERVER
    assert meaning(answer(impyla, tmp_path)) == at_connecting


@pytest.mark.parametrize("has_socket", [True, False])
def test_statement_that_hangs_on_spark_is_cut_off(
    impyla: StandIn, tmp_path: Path, has_socket: bool
) -> None:
    ended = threading.Event()

    def hang(connection: Connection) -> None:
        if has_socket:
            handle = SimpleNamespace(shutdown=lambda _: connection.cut.set())
            connection.transport._trans = SimpleNamespace(handle=handle)
            connection.transport.close = None
        if connection.cut.wait(5):
            ended.set()
        raise EOFError("the connection is closed")

    impyla.fault = hang

    given = answer(impyla, tmp_path, STATEMENT_TIMEOUT=0.1)

    assert (given.status, given.seconds < GRACE_SECONDS) == (503, True)
    assert ended.wait(5)


def test_connection_to_spark_is_not_opened_again(impyla: StandIn, tmp_path: Path) -> None:
    assert answer(impyla, tmp_path).status == 200

    with pytest.raises(EOFError):
        impyla.connections[-1].transport.open()

    assert answer(impyla, tmp_path, "?use_http_transport=true").status == 200
    impyla.connections[-1].transport.open()


def test_session_on_clickhouse(clickhouse: StandIn, tmp_path: Path) -> None:
    waits: list[tuple[float, float]] = []

    def note(connection: Connection) -> None:
        timeout = connection.client.timeout
        waits.append((timeout.connect_timeout, timeout.read_timeout))

    clickhouse.fault = note
    assert answer(clickhouse, tmp_path, STATEMENT_TIMEOUT=2.5).status == 200
    assert answer(clickhouse, tmp_path, STATEMENT_TIMEOUT=0).status == 200

    connecting = {"connect_timeout": 5, "query_retries": 0, "autogenerate_session_id": False}
    assert clickhouse.connected == [connecting, connecting]
    assert waits == [(5, 3.0), (5, 300)]
    assert [one.client.timeout.read_timeout for one in clickhouse.connections] == [300, 300]
    sent = [cursor["settings"] for cursor in clickhouse.cursors if "settings" in cursor]
    assert [settings.pop("max_execution_time") for settings in sent] == [2.5, 0]
    throwing = {name: value for name, value in sent[0].items() if "overflow_mode" in name}
    assert set(throwing.values()) == {"throw"}
    assert {name: value for name, value in sent[0].items() if name not in throwing} == {
        "readonly": 2,
        "skip_unavailable_shards": 0,
        "log_comment": "flask_powerauth_telemetry",
    }


@pytest.mark.parametrize(
    ("name", "microseconds", "division"),
    [
        ("impala", "unix_micros(CAST({} AS TIMESTAMP))", "(({}) DIV ({} * 1000000L))"),
        ("clickhousedb", "toUnixTimestamp64Micro({})", "intDiv({}, {} * 1000000)"),
    ],
)
def test_spans_are_counted_in_microseconds(name: str, microseconds: str, division: str) -> None:
    dialect = DefaultDialect()
    dialect.name = name
    older, newer = (literal_column(one, DateTime) for one in ("older", "newer"))

    def compiled(element: ColumnElement[int]) -> str:
        return str(element.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))

    between = f"{microseconds.format('newer')} - {microseconds.format('older')}"
    assert compiled(WholeDays(newer, older)) == division.format(between, 86400)
    assert compiled(WholeSlots(newer, older, 1800)) == division.format(between, 1800)


def test_clickhouse_is_given_and_gives_microseconds_of_the_wall_clock() -> None:
    kind: Any = dialect_named("clickhousedb").wall_clock
    dialect = DefaultDialect()
    shown = datetime(2026, 11, 25, 12, 0, 0, 1)

    statement = select(literal(shown, kind)).compile(dialect=dialect)

    assert "toDateTime64(:param_1, 6, 'UTC')" in str(statement)
    given = [kind.process_bind_param(time, dialect) for time in (shown, None)]
    assert given == ["2026-11-25 12:00:00.000001", None]
    hour = timedelta(hours=1)
    read = [shown, shown.replace(tzinfo=UTC), (shown + hour).replace(tzinfo=timezone(hour)), None]
    found = [kind.process_result_value(time, dialect) for time in read]
    assert found == [shown, shown, shown, None]


def test_statement_that_hangs_on_oracle_is_cancelled() -> None:
    told: list[str] = []

    dialect_named("oracle").interrupt(SimpleNamespace(cancel=lambda: told.append("cancel")))

    assert told == ["cancel"]
