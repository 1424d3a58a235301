"""The table of docs/scaling.md is what the model says."""

from pathlib import Path

from benchmarks.model import TIME_LIMIT, Cost, lines

DOCUMENT = Path(__file__).parents[2] / "docs/scaling.md"


def test_documented_table_is_that_of_the_model() -> None:
    assert "\n".join(lines()) in DOCUMENT.read_text(encoding="utf-8")


def test_shards_are_the_fewest_that_keep_the_time_limit() -> None:
    cost = Cost(10**8)

    assert Cost(cost.users // cost.shards).pass_seconds <= TIME_LIMIT
    assert Cost(cost.users // (cost.shards - 1)).pass_seconds > TIME_LIMIT
