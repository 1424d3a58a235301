"""What is particular to each kind of database: a file for each, found by its name.

Another database takes a file here, with a class derived from ``base.DatabaseDialect``, and one
line of ``DIALECTS``.
"""

from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Any

from sqlalchemy import ColumnElement, Integer, literal_column
from sqlalchemy.exc import UnsupportedCompilationError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from flask_powerauth_telemetry.database.dialects.base import DatabaseDialect

DIALECTS = {
    "clickhousedb": "clickhouse:ClickHouse",
    "impala": "spark:Spark",
    "mssql": "mssql:SQLServer",
    "oracle": "oracle:Oracle",
    "postgresql": "postgresql:PostgreSQL",
    "sqlite": "sqlite:SQLite",
}
"""The databases that reports can read: SQLAlchemy's name of the dialect, our module and class."""

_UNKNOWN = "base:DatabaseDialect"


@cache
def dialect_named(name: str) -> DatabaseDialect:
    """What is particular to SQLAlchemy's dialect of this name; the defaults for another one.

    Its module is imported at the first look-up.
    """
    module, _, kind = DIALECTS.get(name, _UNKNOWN).partition(":")
    dialect: DatabaseDialect = getattr(import_module(f"{__name__}.{module}"), kind)()
    return dialect


class WholeDays(FunctionElement[int]):
    """The complete 24-hour days from a start to an end: ``WholeDays(end, start)``.

    Both are naive times of one clock. A fraction of either sign is cut off.
    """

    type = Integer()
    name = "whole_days"
    inherit_cache = True


class WholeSlots(FunctionElement[int]):
    """The complete spans of ``seconds`` from a start to an end: ``WholeSlots(end, start, 60)``.

    The end must not be before the start.
    """

    type = Integer()
    name = "whole_slots"
    inherit_cache = True

    def __init__(
        self, end: ColumnElement[datetime], start: ColumnElement[datetime], seconds: int
    ) -> None:
        # A clause, so that statements with other lengths are not taken for the same.
        super().__init__(end, start, literal_column(str(int(seconds)), Integer))


@compiles(WholeDays)
@compiles(WholeSlots)
def _sql_of(element: FunctionElement[int], compiler: SQLCompiler, **options: Any) -> str:
    """The SQL of a function, exact to the microsecond: its dialect has a method of this name."""
    write = getattr(dialect_named(compiler.dialect.name), element.name)
    try:
        sql: str = write(*(compiler.process(clause, **options) for clause in element.clauses))
    except NotImplementedError:
        raise UnsupportedCompilationError(compiler, type(element)) from None
    return sql
