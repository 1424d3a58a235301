"""Which of several conditions hold anywhere in a group, as one number, on every dialect.

``AnyBits(first, second, …)`` is an aggregate. The bit of value 1 is set where the first condition
holds for any row of the group, that of value 2 for the second, and so on. No two conditions may
hold for the same row.
"""

from typing import Any

from sqlalchemy import Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class AnyBits(FunctionElement[int]):
    """The bits of the conditions that hold for any row: ``AnyBits(first, second, …)``."""

    type = Integer()
    name = "any_bits"
    inherit_cache = True


def _branches(element: AnyBits, compiler: SQLCompiler, **options: Any) -> list[str]:
    conditions = (compiler.process(condition, **options) for condition in element.clauses)
    return [f"WHEN {condition} THEN {1 << place}" for place, condition in enumerate(conditions)]


@compiles(AnyBits, "oracle")
@compiles(AnyBits, "mssql")
@compiles(AnyBits, "sqlite")
def _sum_of_maxima(element: AnyBits, compiler: SQLCompiler, **options: Any) -> str:
    branches = _branches(element, compiler, **options)
    return "(" + " + ".join(f"max(CASE {branch} ELSE 0 END)" for branch in branches) + ")"


@compiles(AnyBits, "postgresql")
@compiles(AnyBits, "impala")
def _bit_or(element: AnyBits, compiler: SQLCompiler, **options: Any) -> str:
    # One state for each group, where the sum has one for each condition: for ten of them it was
    # measured to take a quarter less CPU and a third of the memory. So more users fit into it.
    branches = _branches(element, compiler, **options)
    return f"bit_or(CASE {' '.join(branches)} ELSE 0 END)"


@compiles(AnyBits, "clickhousedb")
def _group_bit_or(element: AnyBits, compiler: SQLCompiler, **options: Any) -> str:
    return f"groupBitOr(CASE {' '.join(_branches(element, compiler, **options))} ELSE 0 END)"
