"""Figures of active users, out of the reports that know no calendar."""

from collections.abc import Iterable
from dataclasses import replace

from flask_powerauth_telemetry.dashboard.charts import Series, plot
from flask_powerauth_telemetry.dashboard.figures.base import (
    Asked,
    Content,
    Data,
    Figure,
    Number,
    Parameters,
    Table,
    in_days,
    table_of_shares,
)

SHOWN_DAYS = (1, 7, 30, 90, 365)
"""The windows in days that are shown as numbers."""

WINDOW_LABELS = {days - 1: f"{days}\u202fd" for days in (30, 90, 180, 270, 365)}
"""The labels below a chart of all windows, by place."""

ALL_WINDOWS = "from the users of the past 24 hours to those of the past 365 days"
"""What a chart of all windows shows, for its description."""


def _show_now(data: Data, _: Asked) -> Content:
    (one,) = data
    return Content(numbers=[Number(f"Active users in the past {one['days']} days", one["users"])])


NOW = Figure(key="now", title="Active users now", report="CURRENT_MAU", show=_show_now)


def _ask_windows(asked: Asked) -> Iterable[Parameters]:
    """Each window, the widest first: its pass answers the others."""
    for days in reversed(SHOWN_DAYS):
        yield {"application": asked.application, "days": days}


def _show_windows(data: Data, _: Asked) -> Content:
    return Content(numbers=[Number(in_days(one["days"]), one["users"]) for one in reversed(data)])


WINDOWS = Figure(
    key="windows",
    title="Active users by window",
    report="USERS_IN_PAST_DAYS",
    ask=_ask_windows,
    show=_show_windows,
    unless="USERS_BY_PAST_DAYS",
)


def _show_curve(data: Data, asked: Asked) -> Content:
    """The curve over all windows, and some of them as numbers."""
    users = data[0]["users"]
    numbers = [Number(in_days(days), users[days - 1]) for days in SHOWN_DAYS]
    return replace(_show_curve_alone(data, asked), numbers=numbers)


def _show_curve_alone(data: Data, _: Asked) -> Content:
    users = data[0]["users"]
    return Content(
        plot=plot(f"A line that rises {ALL_WINDOWS}.", [Series("line", users)], WINDOW_LABELS),
        table=Table("Active users by window", ("Days", "Users"), list(enumerate(users, start=1))),
        empty="Nobody used the application in the past 365 days.",
    )


CURVE = Figure(
    key="curve", title="Active users by window", report="USERS_BY_PAST_DAYS", show=_show_curve
)

TREND_BY_WINDOW = replace(CURVE, key="trend", show=_show_curve_alone, unless="USERS_BY_MONTH")


def _show_committed(data: Data, _: Asked) -> Content:
    """The users counted, and those left out by reason."""
    (one,) = data
    left_out, everyone = one["usersLeftOut"], one["usersInPastDays"]
    parts = [
        ("Committed, and used", one["users"]),
        ("Left out: activation removed", left_out["removed"]),
        ("Left out: not committed", left_out["notCommitted"]),
        ("Left out: never used", left_out["neverUsed"]),
        ("All active users", everyone),
    ]
    columns = ("Users", "Number", "Share of all active users")
    return Content(
        numbers=[Number(in_days(one["days"]), one["users"])],
        table=table_of_shares("Who is counted, and who is not", columns, everyone, parts),
    )


COMMITTED = Figure(
    key="committed",
    title="Users of committed activations",
    report="COMMITTED_USERS_IN_PAST_DAYS",
    show=_show_committed,
    by_days=True,
    cost="It reads the activations once more.",
)


def _show_new_users(data: Data, _: Asked) -> Content:
    """A column for each day, the newest to the right."""
    (one,) = data
    by_day = one["usersByDay"]
    days = len(by_day)
    ages = {days, days * 2 // 3, days // 3, 1} - {0}
    return Content(
        numbers=[Number(in_days(days), one["users"])],
        plot=plot(
            "A column for each day of 24 hours, from the oldest to the one that ends now.",
            [Series("column", by_day[::-1])],
            {days - age: "now" if age == 1 else f"{age}\u202fd ago" for age in ages},
        ),
        table=Table(
            "New users by day of 24 hours",
            ("Days ago", "New users"),
            [(f"{day} to {day + 1}", users) for day, users in enumerate(by_day)],
            backwards=True,
        ),
        empty="Nobody became a user in this window.",
    )


NEW_USERS = Figure(
    key="new-users",
    title="New users",
    report="NEW_USERS_IN_PAST_DAYS",
    show=_show_new_users,
    by_days=True,
)
