"""What the errors of drivers mean whose databases can't be run here, and of those that can."""

from typing import Any

import pytest
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004 - that of a pool
)

from flask_powerauth_telemetry.database.dialects import DIALECTS, dialect_named
from flask_powerauth_telemetry.exceptions import Cancelled, DatabaseFault, TooSlow, Unavailable

Kind = type[DBAPIError]


def cause(text: str, module: str = "driver", **attributes: Any) -> Exception:
    """An error as a driver raises it."""
    kind = type("Error", (Exception,), {"__module__": module})
    error: Exception = kind(text)
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def clickhouse(code: int) -> Exception:
    return cause("Code", "clickhouse_connect.driver.exceptions", code=code)


def spark(text: str) -> Exception:
    return cause(text, "impala.error")


@pytest.mark.parametrize(
    ("dialect", "kind", "error", "meaning"),
    [
        ("postgresql", OperationalError, cause("", sqlstate="57014"), TooSlow),
        ("postgresql", OperationalError, cause("", pgcode="57014"), TooSlow),
        *(
            ("postgresql", OperationalError, cause("", sqlstate=state), Cancelled)
            for state in ("53000", "53100", "53200", "53400")
        ),
        ("postgresql", OperationalError, cause("", sqlstate="53300"), Unavailable),
        ("postgresql", OperationalError, cause("", sqlstate="40001"), Cancelled),
        ("postgresql", OperationalError, cause("", pgcode="40001"), Cancelled),
        ("postgresql", OperationalError, cause("", sqlstate="57P01"), Unavailable),
        ("postgresql", ProgrammingError, cause("", sqlstate="42P01"), DatabaseFault),
        ("sqlite", OperationalError, cause("", sqlite_errorname="SQLITE_INTERRUPT"), TooSlow),
        ("sqlite", OperationalError, cause("", sqlite_errorname="SQLITE_BUSY"), Unavailable),
        ("sqlite", OperationalError, cause("", sqlite_errorname="SQLITE_ERROR"), DatabaseFault),
        ("oracle", OperationalError, cause("DPY-4024: call timeout"), TooSlow),
        ("oracle", InterfaceError, cause("DPY-4011: closed"), Unavailable),
        ("oracle", DBAPIError, cause("ORA-00942: no such table"), DatabaseFault),
        ("mssql", OperationalError, cause("HYT00"), TooSlow),
        ("mssql", OperationalError, cause("HYT01"), TooSlow),
        ("mssql", OperationalError, cause("08S01"), Unavailable),
        ("mssql", ProgrammingError, cause("42S02"), DatabaseFault),
        ("clickhousedb", DBAPIError, clickhouse(159), TooSlow),
        *(("clickhousedb", DBAPIError, clickhouse(code), Cancelled) for code in (241, 243)),
        *(
            ("clickhousedb", DBAPIError, clickhouse(code), Unavailable)
            for code in (202, 209, 210, 279, 415)
        ),
        ("clickhousedb", DBAPIError, clickhouse(60), DatabaseFault),
        ("clickhousedb", DBAPIError, cause("of another module", code=159), DatabaseFault),
        ("impala", OperationalError, spark("TIMEDOUT_STATE"), TooSlow),
        ("impala", OperationalError, spark("an executor was lost"), Unavailable),
        ("impala", OperationalError, spark("AnalysisException: no table"), DatabaseFault),
        ("impala", OperationalError, spark("ParseException"), DatabaseFault),
        ("impala", OperationalError, spark("SQLSTATE: 42P01"), DatabaseFault),
        ("impala", OperationalError, spark("SQLSTATE: 22012"), DatabaseFault),
        ("impala", OperationalError, spark("SQLSTATE: 08006"), Unavailable),
        ("impala", OperationalError, spark("ERROR: permission denied"), DatabaseFault),
        ("impala", OperationalError, cause("SQLSTATE: 42P01"), Unavailable),
        ("impala", ProgrammingError, cause("of another module"), DatabaseFault),
        ("mysql", OperationalError, cause("gone away"), Unavailable),
        ("mysql", ProgrammingError, cause("no table"), DatabaseFault),
    ],
)
def test_error_of_a_driver(dialect: str, kind: Kind, error: Exception, meaning: type) -> None:
    meant = dialect_named(dialect).translate(kind("SELECT 1", None, error))

    assert type(meant) is meaning
    assert meant.message.startswith(f"{kind.__name__}: ")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_error_that_every_database_has(dialect: str) -> None:
    lost = DBAPIError("SELECT 1", None, cause("lost"), connection_invalidated=True)
    errors: list[tuple[SQLAlchemyError, type]] = [
        (lost, Unavailable),
        (TimeoutError("no connection is left in the pool"), Unavailable),
        (ArgumentError("of the provider"), DatabaseFault),
    ]

    for error, meaning in errors:
        assert type(dialect_named(dialect).translate(error)) is meaning


def test_message_of_spark_has_neither_the_plan_nor_the_stack() -> None:
    error = OperationalError("SELECT 1", None, spark("\nno column\n'Filter (name = secret)\n at x"))

    assert dialect_named("impala").translate(error).message == "OperationalError: no column"


@pytest.mark.parametrize(
    ("denied", "statement", "cure"),
    [
        ("schema pa", "SELECT 1", "USAGE on the schema pa"),
        ("schema pa", "CREATE TABLE a (b int)", "USAGE and CREATE on the schema pa"),
        ('table "pa_x"', "select 1", "SELECT on pa_x, or on the columns that are read"),
        ("relation pa_x", "", "SELECT on pa_x, or on the columns that are read"),
        ("materialized view v", " SELECT 1", "SELECT on v, or on the columns that are read"),
        ("view v", "INSERT INTO v VALUES (1)", "INSERT on v"),
        ("sequence s", "SELECT nextval('s')", "USAGE and SELECT on the sequence s"),
        ("function f", "SELECT f()", "EXECUTE on the function f"),
        ("language plpgsql", "SELECT 1", None),
    ],
)
def test_cure_of_a_privilege_that_is_missing(denied: str, statement: str, cure: str | None) -> None:
    text = f"permission denied for {denied}"
    error = ProgrammingError(statement, None, cause(text, sqlstate="42501"))

    told = f" (grant this account {cure})" if cure else ""
    meant = dialect_named("postgresql").translate(error)
    assert meant.message == f"ProgrammingError: {text}{told}"
