"""Every report on shards answers what it answers on one server."""

from datetime import datetime

import pytest

from tests.shards.cluster import Cluster
from tests.shards.conftest import ZONES_AND_INSTANTS
from tests.support.questions import answers, test_every_report_is_asked_for  # noqa: F401
from tests.support.service import url_of


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_INSTANTS, ids=lambda value: str(value)[:9])
def test_reports_answer_as_on_one_server(sharded: Cluster, zone: str, now: datetime) -> None:
    on_shards = answers(zone, now, DATABASE_URL=url_of(sharded.reader))

    assert on_shards == answers(zone, now, DATABASE_URL=url_of(sharded.unsharded))
    assert {status for status, _ in on_shards} == {200}


def test_rows_lie_on_every_shard(sharded: Cluster) -> None:
    rows = sharded.rows()

    assert min(rows) > 0.4 * sum(rows) > 0
