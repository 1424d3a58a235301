"""Figures of days and months of the calendar, out of the history."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from flask_powerauth_telemetry.dashboard.charts import column_plot, line_plot
from flask_powerauth_telemetry.dashboard.figures.base import (
    Asked,
    Content,
    Data,
    Figure,
    Number,
    Parameters,
    Table,
    ask_application,
)

HISTORY_DAYS = 180
"""How far back days are shown."""

_DAY = timedelta(days=1)
_MEANINGS = {
    "column": "recorded",
    "bound": "at least: not over, or not recorded at its end",
    "range": "at most",
}


def _ask_history(asked: Asked) -> Iterable[Parameters]:
    first = asked.today - (HISTORY_DAYS - 1) * _DAY
    period = {"from": first.isoformat(), "to": asked.today.isoformat()}
    yield {"application": asked.application, **period}


def _show_history(data: Data, asked: Asked) -> Content:
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


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += _DAY


HISTORY = Figure(
    key="history",
    title="Active users, day by day",
    report="MAU_HISTORY",
    ask=_ask_history,
    show=_show_history,
)


def _show_months(data: Data, asked: Asked) -> Content:
    """A column for each month; where only bounds are known, one up to each of them."""
    (one,) = data
    months = one["months"]
    series = {
        "range": [month["upperBound"] for month in months],
        "bound": [month["lowerBound"] for month in months],
        "column": [month["users"] for month in months],
    }
    return Content(
        numbers=[
            Number("Average of recorded months", one["average"]),
            Number("Maximum of recorded months", one["maximum"]),
        ],
        plot=column_plot(
            "A column for each month, the last one still running.",
            series,
            {place: months[place]["month"] for place in range(0, len(months), 6)},
        ),
        legend=[(kind, _MEANINGS[kind]) for kind in reversed(series) if any(series[kind])],
        table=Table(
            "Users by month",
            ("Month", "Users", "At least", "At most", "State", f"As of ({asked.zone_name})"),
            [
                (
                    month["month"],
                    month["users"],
                    month["lowerBound"],
                    month["upperBound"],
                    month["state"],
                    asked.shown(month["asOf"]),
                )
                for month in reversed(months)
            ],
            backwards=True,
        ),
    )


MONTHS = Figure(
    key="months",
    title="Active users by month",
    report="USERS_BY_MONTH",
    ask=ask_application,
    show=_show_months,
)
