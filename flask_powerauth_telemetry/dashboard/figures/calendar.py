"""Figures of days and months of the calendar, out of the history."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from flask_powerauth_telemetry.dashboard.charts import column_plot, line_plot
from flask_powerauth_telemetry.dashboard.contents import Content, Number, Table
from flask_powerauth_telemetry.dashboard.questions import Asked, Question

HISTORY_DAYS = 180
MONTHS = 13
"""How far back days and months are shown."""

_DAY = timedelta(days=1)
_MEANINGS = {
    "column": "recorded",
    "bound": "at least: not over, or not recorded at its end",
    "range": "at most",
}

Data = Sequence[Mapping[str, Any]]


def ask_history(asked: Asked) -> Iterator[Question]:
    """``MAU_HISTORY`` up to today."""
    first = asked.today - (HISTORY_DAYS - 1) * _DAY
    period = {"from": first.isoformat(), "to": asked.today.isoformat()}
    yield Question("MAU_HISTORY", {"application": asked.application, **period})


def show_history(data: Data, asked: Asked) -> Content:
    """A line through the days that were recorded, their average and maximum."""
    (one,) = data
    users = one["usersByDay"]
    days = list(_days(date.fromisoformat(one["from"]), date.fromisoformat(one["to"])))
    firsts = {place: day.isoformat() for place, day in enumerate(days) if day.day == 1}
    every_other = dict(list(firsts.items())[::-2])
    missing = len(one["missing"])
    return Content(
        numbers=[
            Number("Average", one["average"]),
            Number("Maximum", one["maximum"]),
            Number("Days without a recording", missing, f"of {len(days)}"),
        ],
        plot=line_plot(
            "A line through the users of each day that was recorded, with gaps where none was.",
            [users.get(day.isoformat()) for day in days],
            every_other,
        ),
        table=Table(
            f"Users active in {one['days']} days, as recorded on each day",
            (f"Day ({asked.zone_name})", "Users"),
            [(day.isoformat(), users.get(day.isoformat())) for day in reversed(days)],
            backwards=True,
        ),
    )


def ask_months(asked: Asked) -> Iterator[Question]:
    """``USERS_IN_MONTH`` for the months up to this one."""
    months = list(_months(asked.today))
    for month in reversed(months):
        yield Question("USERS_IN_MONTH", {"application": asked.application, "month": month})


def show_months(data: Data, asked: Asked) -> Content:
    """A column for each month; where only bounds are known, one up to each of them."""
    known = [one["users"] for one in data if one["users"] is not None]
    series = {
        "range": [one["upperBound"] for one in data],
        "bound": [one["lowerBound"] for one in data],
        "column": [one["users"] for one in data],
    }
    return Content(
        numbers=[
            Number("Average of recorded months", _average(known)),
            Number("Maximum of recorded months", max(known, default=None)),
        ],
        plot=column_plot(
            "A column for each month, the last one still running.",
            series,
            {place: data[place]["month"] for place in range(0, len(data), 6)},
        ),
        legend=[(kind, _MEANINGS[kind]) for kind in reversed(series) if any(series[kind])],
        table=_table_of_months(data, asked),
    )


def _table_of_months(data: Data, asked: Asked) -> Table:
    return Table(
        "Users by month",
        ("Month", "Users", "At least", "At most", "State", f"As of ({asked.zone_name})"),
        [
            (
                one["month"],
                one["users"],
                one["lowerBound"],
                one["upperBound"],
                one["state"],
                asked.shown(one["asOf"]),
            )
            for one in reversed(data)
        ],
        backwards=True,
    )


def _average(values: Sequence[int]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += _DAY


def _months(today: date) -> Iterator[str]:
    """The names of months, this one first."""
    for count in range(MONTHS):
        year, month = divmod(today.year * 12 + today.month - 1 - count, 12)
        yield f"{year:04}-{month + 1:02}"
