"""Whole days between two times, exact to the microsecond on every supported dialect.

``WholeDays(end, start)`` is the number of complete 24-hour days from ``start`` to ``end``, a
fraction of either sign cut off. ``WholeSlots(end, start, seconds)`` counts complete spans of so
many seconds, for an ``end`` that is not before ``start``. All are naive times of one clock.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

SUPPORTED_DIALECTS = frozenset(
    {"postgresql", "oracle", "mssql", "sqlite", "clickhousedb", "impala"}
)
_SECONDS_PER_DAY = 86_400


class WholeDays(FunctionElement[int]):
    """The complete 24-hour days from a start to an end: ``WholeDays(end, start)``."""

    type = Integer()
    name = "whole_days"
    inherit_cache = True

    def __init__(self, end: ColumnElement[datetime], start: ColumnElement[datetime]) -> None:
        super().__init__(end, start, _literal(_SECONDS_PER_DAY))


class WholeSlots(FunctionElement[int]):
    """The complete spans of ``seconds`` from a start to an end: ``WholeSlots(end, start, 60)``."""

    type = Integer()
    name = "whole_slots"
    inherit_cache = True

    def __init__(
        self, end: ColumnElement[datetime], start: ColumnElement[datetime], seconds: int
    ) -> None:
        super().__init__(end, start, _literal(int(seconds)))


def _literal(seconds: int) -> ColumnElement[int]:
    # A clause, so that statements with other lengths are not taken for the same.
    return literal_column(str(seconds), Integer)


def _operands(element: FunctionElement[int], compiler: SQLCompiler, **options: Any) -> list[str]:
    """The end, the start, and the seconds of a span."""
    return [compiler.process(clause, **options) for clause in element.clauses]


@compiles(WholeDays, "postgresql")
def _postgresql(element: WholeDays, compiler: SQLCompiler, **options: Any) -> str:
    end, start, _ = _operands(element, compiler, **options)
    # Subtracting timestamps gives an interval of days and a time below 24 hours. date_part was
    # measured faster than extract, which computes with numeric since PostgreSQL 14.
    return f"date_part('day', {end} - {start})"


@compiles(WholeSlots, "postgresql")
def _postgresql_slots(element: WholeSlots, compiler: SQLCompiler, **options: Any) -> str:
    end, start, seconds = _operands(element, compiler, **options)
    # A double holds the microseconds of 285 years exactly.
    return f"floor(date_part('epoch', {end} - {start}) / {seconds})"


@compiles(WholeDays, "oracle")
def _oracle(element: WholeDays, compiler: SQLCompiler, **options: Any) -> str:
    end, start, _ = _operands(element, compiler, **options)
    return f"EXTRACT(DAY FROM (CAST({end} AS TIMESTAMP) - {start}))"


@compiles(WholeSlots, "oracle")
def _oracle_slots(element: WholeSlots, compiler: SQLCompiler, **options: Any) -> str:
    end, start, seconds = _operands(element, compiler, **options)
    day, hour, minute, second = (
        f"EXTRACT({part} FROM (CAST({end} AS TIMESTAMP) - CAST({start} AS TIMESTAMP)))"
        for part in ("DAY", "HOUR", "MINUTE", "SECOND")
    )
    return f"FLOOR((({day} * 24 + {hour}) * 3600 + {minute} * 60 + {second}) / {seconds})"


@compiles(WholeDays, "mssql")
@compiles(WholeSlots, "mssql")
def _mssql(element: FunctionElement[int], compiler: SQLCompiler, **options: Any) -> str:
    end, start, seconds = _operands(element, compiler, **options)
    # A literal beyond 32 bits is numeric there, and would make the division a fractional one.
    span = f"(CAST({seconds} AS BIGINT) * 1000000)"
    return f"(DATEDIFF_BIG(MICROSECOND, {start}, {end}) / {span})"


@compiles(WholeDays, "sqlite")
@compiles(WholeSlots, "sqlite")
def _sqlite(element: FunctionElement[int], compiler: SQLCompiler, **options: Any) -> str:
    end, start, seconds = _operands(element, compiler, **options)
    microseconds = f"{_sqlite_microseconds(end)} - {_sqlite_microseconds(start)}"
    return f"(({microseconds}) / ({seconds} * 1000000))"


def _sqlite_microseconds(time: str) -> str:
    # Seconds and fraction apart: SQLite's own time functions round to milliseconds.
    return (
        f"(CAST(strftime('%s', substr({time}, 1, 19)) AS INTEGER) * 1000000"
        f" + CAST(substr(substr({time}, 21) || '000000', 1, 6) AS INTEGER))"
    )


@compiles(WholeDays, "impala")
@compiles(WholeSlots, "impala")
def _spark(element: FunctionElement[int], compiler: SQLCompiler, **options: Any) -> str:
    end, start, seconds = _operands(element, compiler, **options)
    microseconds = f"{_spark_microseconds(end)} - {_spark_microseconds(start)}"
    return f"(({microseconds}) DIV ({seconds} * 1000000L))"


def _spark_microseconds(time: str) -> str:
    # Values are bound as text, and a column may be a TIMESTAMP_NTZ.
    return f"unix_micros(CAST({time} AS TIMESTAMP))"


@compiles(WholeDays, "clickhousedb")
@compiles(WholeSlots, "clickhousedb")
def _clickhouse(element: FunctionElement[int], compiler: SQLCompiler, **options: Any) -> str:
    end, start, seconds = _operands(element, compiler, **options)
    microseconds = f"toUnixTimestamp64Micro({end}) - toUnixTimestamp64Micro({start})"
    # intDiv cuts a fraction off, of either sign; dateDiff counts midnights.
    return f"intDiv({microseconds}, {seconds} * 1000000)"
