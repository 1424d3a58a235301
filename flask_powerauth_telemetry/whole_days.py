"""Whole days between two times, exact to the microsecond on every supported dialect.

``WholeDays(end, start)`` is the number of complete 24-hour days from ``start`` to ``end``, a
fraction of either sign cut off. Both are naive times of one clock.
"""

from typing import Any

from sqlalchemy import Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

SUPPORTED_DIALECTS = frozenset({"postgresql", "oracle", "mssql", "sqlite"})
MICROSECONDS_PER_DAY = 86_400_000_000


class WholeDays(FunctionElement[int]):
    """The complete 24-hour days from a start to an end: ``WholeDays(end, start)``."""

    type = Integer()
    name = "whole_days"
    inherit_cache = True


def _operands(element: WholeDays, compiler: SQLCompiler, **options: Any) -> tuple[str, str]:
    end, start = (compiler.process(clause, **options) for clause in element.clauses)
    return end, start


@compiles(WholeDays, "postgresql")
def _postgresql(element: WholeDays, compiler: SQLCompiler, **options: Any) -> str:
    end, start = _operands(element, compiler, **options)
    # Subtracting timestamps gives an interval of days and a time below 24 hours. date_part was
    # measured faster than extract, which computes with numeric since PostgreSQL 14.
    return f"date_part('day', {end} - {start})"


@compiles(WholeDays, "oracle")
def _oracle(element: WholeDays, compiler: SQLCompiler, **options: Any) -> str:
    end, start = _operands(element, compiler, **options)
    return f"EXTRACT(DAY FROM (CAST({end} AS TIMESTAMP) - {start}))"


@compiles(WholeDays, "mssql")
def _mssql(element: WholeDays, compiler: SQLCompiler, **options: Any) -> str:
    end, start = _operands(element, compiler, **options)
    # A literal beyond 32 bits is numeric there, and would make the division a fractional one.
    return f"(DATEDIFF_BIG(MICROSECOND, {start}, {end}) / CAST({MICROSECONDS_PER_DAY} AS BIGINT))"


@compiles(WholeDays, "sqlite")
def _sqlite(element: WholeDays, compiler: SQLCompiler, **options: Any) -> str:
    end, start = _operands(element, compiler, **options)
    microseconds = f"{_sqlite_microseconds(end)} - {_sqlite_microseconds(start)}"
    return f"(({microseconds}) / {MICROSECONDS_PER_DAY})"


def _sqlite_microseconds(time: str) -> str:
    # Seconds and fraction apart: SQLite's own time functions round to milliseconds.
    return (
        f"(CAST(strftime('%s', substr({time}, 1, 19)) AS INTEGER) * 1000000"
        f" + CAST(substr(substr({time}, 21) || '000000', 1, 6) AS INTEGER))"
    )
