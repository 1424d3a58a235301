"""Figures of days and months of the calendar, out of the history."""

from collections.abc import Iterable
from datetime import date, timedelta
from functools import partial

from flask_powerauth_telemetry.dashboard.charts import Series, plot
from flask_powerauth_telemetry.dashboard.figures.base import (
    Asked,
    Content,
    Data,
    Figure,
    Number,
    Parameters,
    Table,
    people,
)

HISTORY_DAYS = 180
"""How far back days are shown."""

_DAY = timedelta(days=1)


def _ask_history(asked: Asked) -> Iterable[Parameters]:
    first = asked.today - (HISTORY_DAYS - 1) * _DAY
    period = {"from": first.isoformat(), "to": asked.today.isoformat()}
    yield {"application": asked.application, "days": asked.days, **period}


@partial(
    Figure,
    key="history",
    title="Active users, day by day",
    report="MAU_HISTORY",
    ask=_ask_history,
    by_days=True,
)
def history(asked: Asked, one: Data) -> Content:
    """A line through the days that were recorded, their average and maximum."""
    users, first = one["usersByDay"], date.fromisoformat(one["from"])
    length = (date.fromisoformat(one["to"]) - first).days + 1
    days = [(first + count * _DAY).isoformat() for count in range(length)]
    firsts = [(place, day) for place, day in enumerate(days) if day.endswith("-01")]
    rows = [(day, users.get(day)) for day in days]
    return Content(
        numbers=[
            Number("Average", people(one["average"])),
            Number("Maximum", one["maximum"]),
            Number("Not recorded", len(one["missing"]), f"of {length} days"),
        ],
        plot=plot(
            "A line through the users of each day that was recorded, with gaps where none was.",
            [Series("line", [number for _, number in rows])],
            dict(firsts[::-2]),
        ),
        table=Table(
            f"Users active in {one['days']} days, as recorded on each day",
            (f"Day ({asked.zone})", "Users"),
            rows[::-1],
            backwards=True,
        ),
        notes=[f"The past {length} days, each with the users of the {one['days']} days before it."],
        empty=f"No recording of the past {length} days has a user.",
    )


@partial(Figure, key="months", title="Active users by month", report="USERS_BY_MONTH")
def months(asked: Asked, one: Data) -> Content:
    """A column for each month; where only bounds are known, one up to each of them."""
    known = one["months"]
    keys = ("month", "users", "lowerBound", "upperBound", "state")
    rows = [(*(month[key] for key in keys), asked.shown(month["asOf"])) for month in known]
    names, users, lower, upper, *_ = zip(*rows, strict=True)
    return Content(
        numbers=[
            Number("Average of recorded months", people(one["average"])),
            Number("Maximum of recorded months", one["maximum"]),
        ],
        plot=plot(
            "A column for each month, the last one still running.",
            [
                Series("range", upper, "at most"),
                Series("bound", lower, "at least: not over, or not recorded at its end"),
                Series("column", users, "recorded"),
            ],
            dict(list(enumerate(names))[::6]),
        ),
        table=Table(
            "Users by month",
            ("Month", "Users", "At least", "At most", "State", f"As of ({asked.zone})"),
            rows[::-1],
            backwards=True,
        ),
        empty="No month has a recording yet.",
    )


@partial(Figure, key="trend", title="Active users by month", report="USERS_BY_MONTH")
def trend(_: Asked, one: Data) -> Content:
    """A line through the months that were recorded."""
    known = [(month["month"], month["users"]) for month in one["months"]]
    return Content(
        plot=plot(
            "A line through the users of each month that was recorded.",
            [Series("line", [users for _, users in known])],
            {place: known[place][0] for place in (0, len(known) - 1)},
        ),
        table=Table("Users by month", ("Month", "Users"), known[::-1], backwards=True),
        empty="No month is recorded yet.",
    )
