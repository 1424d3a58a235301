"""The charts of the dashboard: that shapes stand where their numbers do."""

import re
from datetime import UTC, datetime
from random import Random
from zoneinfo import ZoneInfo

import pytest

from flask_powerauth_telemetry.dashboard.charts import (
    HEIGHT,
    Series,
    plot,
)
from flask_powerauth_telemetry.dashboard.figures.base import Bar, bar
from flask_powerauth_telemetry.dashboard.formats import instant, number, percentage


@pytest.mark.parametrize(
    ("maximum", "labels"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (5, [0, 1, 2, 3, 4, 5]),
        (6, [0, 2, 4, 6]),
        (999, [0, 200, 400, 600, 800, 1000]),
        (1001, [0, 500, 1000, 1500]),
        (12_345, [0, 5000, 10_000, 15_000]),
    ],
)
def test_levels_are_round_numbers_up_to_the_maximum(maximum: int, labels: list[int]) -> None:
    drawn = plot("", [Series("column", [0, maximum])], {})

    assert [label for _, label in drawn.levels] == labels
    assert drawn.levels[0][0] == 100
    assert drawn.levels[-1][0] == 0


def test_levels_fit_every_maximum() -> None:
    source = Random(4)
    for _ in range(2000):
        maximum = int(10 ** source.uniform(0, 9))
        marks = [int(label) for _, label in plot("", [Series("column", [maximum])], {}).levels]
        assert marks[-1] >= maximum > marks[-2] - 1
        assert 2 <= len(marks) <= 6


def test_line_goes_through_its_values_and_stops_at_gaps() -> None:
    drawn = plot("", [Series("line", [0, 5, None, 10, None, None, 2, 4])], {})

    (below, area), (kind, line) = drawn.shapes
    assert (below, kind) == ("area", "line")
    assert line == "M1 1000L3 500M6.5 0h1M13 800L15 600"
    assert area.count("Z") == 3
    assert drawn.width == 16


def test_lines_share_their_levels_and_the_last_is_in_front() -> None:
    series = [Series("line line-2", [4, 0], "two"), Series("line line-1", [1, 2], "one")]

    drawn = plot("", series, {})

    assert drawn.shapes == [
        ("line line-2", "M1 0L3 1000"),
        ("line line-1", "M1 750L3 500"),
    ]
    assert drawn.width == 4
    assert drawn.legend == [("line line-1", "one"), ("line line-2", "two")]


def test_columns_are_as_high_as_their_values() -> None:
    values = [0, 3, 10, 1]

    ((_, path),) = plot("", [Series("column", values)], {}).shapes

    columns = re.findall(r"M(\S+) 1000V(\d+)h1.6V1000Z", path)
    assert [(float(x) // 2, HEIGHT - int(y)) for x, y in columns] == [(1, 300), (2, 1000), (3, 100)]


def test_averages_below_one_are_drawn() -> None:
    drawn = plot("", [Series("range", [2, 1]), Series("column", [0.5, 0.25])], {})

    assert drawn.shapes[1][1] == "M0.2 1000V750h1.6V1000ZM2.2 1000V875h1.6V1000Z"
    assert drawn.levels == [(100, 0), (50, 1), (0, 2)]
    assert plot("", [Series("column", [0.5])], {}).levels == [(100, 0), (0, 1)]


def test_ranges_are_behind_the_columns() -> None:
    drawn = plot("", [Series("range", [8, None]), Series("column", [None, 4])], {})

    assert [kind for kind, _ in drawn.shapes] == ["range", "column"]
    assert drawn.levels[-1] == (0, 8)


def test_legend_names_what_is_drawn_alone() -> None:
    drawn = plot("", [Series("range", [0, None], "most"), Series("column", [1, 4], "known")], {})

    assert drawn.legend == [("column", "known")]


@pytest.mark.parametrize("values", [[None, None], [0, 0], [0, None]])
def test_chart_without_any_number_is_blank(values: list[int | None]) -> None:
    drawn = plot("", [Series("column", values)], {})

    assert drawn.blank
    assert [label for _, label in drawn.levels] == [0, 1]
    assert not plot("", [Series("column", [*values, 1])], {}).blank


def test_labels_stand_below_the_places_they_name() -> None:
    drawn = plot("", [Series("line", [1] * 365)], {0: "first", 182: "middle", 364: "last"})

    assert [percent for percent, _ in drawn.places] == [0.14, 50, 99.86]


def test_numbers_and_times_are_the_same_for_every_reader() -> None:
    assert number(1_234_567) == "1\u202f234\u202f567"
    assert (number(0.031111), number(503_727.0)) == ("0.031111", "503\u202f727")
    assert (number(0), number(None)) == ("0", "\u2013")
    assert (percentage(1, 3), percentage(0, 0)) == ("33.3\u202f%", "\u2013")
    summer = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    assert instant(summer, UTC) == "2026-07-01 23:30:00 UTC"
    assert instant(summer, ZoneInfo("Europe/Prague")) == (
        "2026-07-02 01:30:00 Europe/Prague (UTC+02:00)"
    )
    assert instant(summer, ZoneInfo("America/St_Johns")).endswith("(UTC-02:30)")


def test_parts_of_a_bar_follow_one_another_from_the_left() -> None:
    assert bar(16, 4, 0, 10) == Bar([(0, 25), (25, 0), (25, 62.5)])
    assert bar(0, 0) == Bar([(0, 0)])
