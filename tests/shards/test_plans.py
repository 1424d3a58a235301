"""What the coordinator asks of the shards, as EXPLAIN tells under our guard."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import ClauseElement, Engine, Executable, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from flask_powerauth_telemetry.cli.counts import reference_statement
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.reports.across_applications import kind_by_application
from flask_powerauth_telemetry.reports.activity import profile_statement
from flask_powerauth_telemetry.reports.clock_hours import WallSlots
from flask_powerauth_telemetry.reports.committed_users import standing_of
from flask_powerauth_telemetry.reports.kinds import growths_statement
from flask_powerauth_telemetry.reports.new_users import new_users_statement
from flask_powerauth_telemetry.reports.signatures import PastDays
from flask_powerauth_telemetry.reports.verifications import signatures_statement
from flask_powerauth_telemetry.state import EXTENSION_KEY
from tests.database.test_statements import edges
from tests.shards.cluster import SHARDS, Cluster
from tests.support.service import create_app

TABLES = PowerAuthTables()
UTC_EDGES = edges("UTC")
MONTH = (UTC_EDGES[30], UTC_EDGES[0])


class Explain(Executable, ClauseElement):
    """The plan of a statement, a line in each row."""

    inherit_cache = False

    def __init__(self, statement: Executable) -> None:
        assert isinstance(statement, ClauseElement)
        self.statement = statement


@compiles(Explain)
def _explain(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN (VERBOSE) {compiler.process(element.statement, **options)}"


def plan_of(engine: Engine, statement: Executable, *settings: str) -> str:
    """The plan under our guard; ``settings`` are those of a session without the documented ones."""
    (state,) = create_app(engine).extensions[EXTENSION_KEY].values()
    with state.databases[None].connect() as connection:
        for setting in settings:
            connection.exec_driver_sql(f"SET LOCAL {setting}")
        return "\n".join(line for (line,) in connection.execute(Explain(statement)))


def remote(plan: str) -> list[str]:
    """The statements that are sent to shards."""
    return re.findall(r"Remote SQL: (.*)", plan)


PUSHED: Mapping[str, Executable] = {
    "pass of 30 days": profile_statement(TABLES, 1, UTC_EDGES[:31]),
    "pass of 365 days": profile_statement(TABLES, 1, UTC_EDGES),
    "pass across clock changes": profile_statement(TABLES, 1, edges("Europe/Prague")),
    "sets of applications": growths_statement(
        TABLES, [1, 2], kind_by_application(TABLES.pa_activation, [1, 2]), UTC_EDGES
    ),
    "standings": growths_statement(TABLES, [1], standing_of(TABLES.pa_activation), UTC_EDGES),
}
NOT_PUSHED: Mapping[str, Executable] = {
    "the reference's": reference_statement(TABLES, "retail", *MONTH),
    "users counted as distinct": select(
        func.count(TABLES.pa_activation.c.user_id.distinct())
    ).where(TABLES.pa_activation.c.application_id == 1),
    "new users": new_users_statement(TABLES, 1, UTC_EDGES),
    "signatures": signatures_statement(
        TABLES,
        1,
        PastDays(UTC_EDGES[:31]),
        WallSlots(UTC_EDGES[365], 3600, {}),
        ("signature_type",),
    ),
}


@pytest.mark.parametrize("name", PUSHED)
def test_shards_group_by_user(sharded: Cluster, name: str) -> None:
    plan = plan_of(sharded.reader, PUSHED[name])

    statements = remote(plan)
    assert len(statements) == SHARDS
    for statement in statements:
        assert re.search(r" GROUP BY \d+(, \d+)?$", statement), plan
        assert re.search(r"application_id = (1|ANY)", statement), plan
    assert plan.count("Async Foreign Scan") == SHARDS


@pytest.mark.parametrize("name", PUSHED)
def test_shards_do_not_group_without_the_documented_setting(sharded: Cluster, name: str) -> None:
    plan = plan_of(sharded.reader, PUSHED[name], "enable_partitionwise_aggregate = off")

    assert len(remote(plan)) == SHARDS
    assert "GROUP BY" not in plan


@pytest.mark.parametrize("name", NOT_PUSHED)
def test_shards_do_not_group_for_a_join_or_a_distinct_count(sharded: Cluster, name: str) -> None:
    plan = plan_of(sharded.reader, NOT_PUSHED[name])

    assert len(remote(plan)) == SHARDS
    assert "GROUP BY" not in plan
    assert "count(" not in "".join(remote(plan))
