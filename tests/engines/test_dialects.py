"""Every statement, compiled by the dialects that drivers bring, and parsed."""

import re

import pytest
import sqlglot
from sqlglot import exp

from tests.database.test_statements import ELSEWHERE, compiled, statements

GRAMMARS = {"clickhousedb+connect": "clickhouse"}


@pytest.mark.parametrize("name", statements())
@pytest.mark.parametrize("driver", GRAMMARS)
def test_statement_compiles_to_a_select_of_the_dialect(driver: str, name: str) -> None:
    sql = compiled(statements()[name], driver)

    parsed = sqlglot.parse_one(re.sub(r"%\(\w+\)s", "NULL", sql), read=GRAMMARS[driver])
    assert isinstance(parsed, exp.Select)
    assert not parsed.find(exp.Command, exp.Insert, exp.Update, exp.Delete, exp.Create)


def test_every_dialect_is_compiled_here() -> None:
    assert {driver.partition("+")[0] for driver in GRAMMARS} == ELSEWHERE
