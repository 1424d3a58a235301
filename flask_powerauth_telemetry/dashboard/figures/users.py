"""Figures of users, of one application or of several, by the reports that know no calendar."""

from dataclasses import replace
from functools import partial

from flask_powerauth_telemetry.dashboard.charts import Series, plot
from flask_powerauth_telemetry.dashboard.figures.base import (
    Asked,
    Content,
    Data,
    Figure,
    Number,
    Table,
    in_days,
    table_of_shares,
)
from flask_powerauth_telemetry.dashboard.formats import isolated

_SHOWN_DAYS = (1, 7, 30, 90, 365)
"""The windows in days that are shown as numbers."""

_WINDOW_LABELS = {days - 1: f"{days}\u202fd" for days in (30, 90, 180, 270, 365)}
"""The labels below a chart of all windows, by place."""

_ALL_WINDOWS = "from the users of the past 24 hours to those of the past 365 days"
"""What a chart of all windows shows, for its description."""


@partial(Figure, key="now", title="Active users now", report="CURRENT_MAU")
def now(_: Asked, one: Data) -> Content:
    """The number alone."""
    return Content(numbers=[Number(f"Active users in the past {one['days']} days", one["users"])])


@partial(
    Figure,
    key="windows",
    title="Active users by window",
    report="USERS_IN_PAST_DAYS",
    # The widest first: its pass answers the others.
    ask=lambda asked: [
        {"application": asked.application, "days": days} for days in reversed(_SHOWN_DAYS)
    ],
    unless="USERS_BY_PAST_DAYS",
)
def windows(_: Asked, *data: Data) -> Content:
    """A number for each window."""
    return Content(numbers=[Number(in_days(one["days"]), one["users"]) for one in reversed(data)])


@partial(
    Figure,
    key="trend",
    title="Active users by window",
    report="USERS_BY_PAST_DAYS",
    unless="USERS_BY_MONTH",
)
def trend_by_window(_: Asked, one: Data) -> Content:
    """The curve over all windows."""
    users = one["users"]
    return Content(
        plot=plot(f"A line that rises {_ALL_WINDOWS}.", [Series("line", users)], _WINDOW_LABELS),
        table=Table("Active users by window", ("Days", "Users"), list(enumerate(users, start=1))),
        empty="Nobody used the application in the past 365 days.",
    )


@partial(Figure, key="curve", title="Active users by window", report="USERS_BY_PAST_DAYS")
def curve(asked: Asked, one: Data) -> Content:
    """The curve over all windows, and some of them as numbers."""
    users = one["users"]
    numbers = [Number(in_days(days), users[days - 1]) for days in _SHOWN_DAYS]
    return replace(trend_by_window.show(asked, one), numbers=numbers)


@partial(
    Figure,
    key="committed",
    title="Users of committed activations",
    report="COMMITTED_USERS_IN_PAST_DAYS",
    by_days=True,
    cost="It reads the activations once more.",
)
def committed(_: Asked, one: Data) -> Content:
    """The users counted, and those left out by reason."""
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


@partial(Figure, key="new-users", title="New users", report="NEW_USERS_IN_PAST_DAYS", by_days=True)
def new_users(_: Asked, one: Data) -> Content:
    """A column for each day, the newest to the right."""
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


@partial(
    Figure,
    key="statuses",
    title="Users by status",
    report="USERS_BY_STATUS",
    cost="It reads the activations once more.",
)
def statuses(_: Asked, one: Data) -> Content:
    """Everyone, and a row for each status."""
    return Content(
        numbers=[
            Number("Users with an activation", one["users"]),
            Number("Activations", one["activations"]),
        ],
        table=Table(
            "Users and activations by status",
            ("Status", "Users", "Activations"),
            [(row["status"], row["users"], row["activations"]) for row in one["byStatus"]],
            unfolded=True,
        ),
        notes=["A user with activations of several statuses is in each of them."],
    )


@partial(
    Figure,
    key="across",
    title="Users across applications",
    report="USERS_ACROSS_APPLICATIONS",
    ask=lambda asked: [{"applications": list(asked.applications), "days": asked.days}],
    by_days=True,
)
def across(_: Asked, one: Data) -> Content:
    """Everyone once, each application, and each pair of them."""
    by_application, pairs = one["usersByApplication"], one["overlaps"]
    return Content(
        numbers=[Number(in_days(one["days"]), one["users"], "each user once")],
        table=table_of_shares(
            "Users of each application, and of each two in common",
            ("Applications", "Users", "Share of everyone"),
            one["users"],
            [(name, by_application[name]) for name in one["applications"]]
            + [
                (" and ".join(map(isolated, pair["applications"])), pair["users"]) for pair in pairs
            ],
        ),
        notes=["Users of two applications may be users of a third one as well."],
    )


@partial(
    Figure,
    key="curves",
    title="Active users by window, side by side",
    report="USERS_BY_PAST_DAYS",
    ask=lambda asked: [{"application": name} for name in asked.applications],
    cost="It reads the activations of each application.",
)
def curves(_: Asked, *data: Data) -> Content:
    """A line for each application, over all windows."""
    names = [one["application"] for one in data]
    users_of_each = [one["users"] for one in data]
    lines = [
        Series(f"line line-{number}", users, name)
        for number, (name, users) in enumerate(zip(names, users_of_each, strict=True), start=1)
    ]
    rows = [(days, *users) for days, users in enumerate(zip(*users_of_each, strict=True), start=1)]
    return Content(
        plot=plot(f"A line for each application, {_ALL_WINDOWS}.", lines[::-1], _WINDOW_LABELS),
        table=Table("Active users of each application by window", ("Days", *names), rows),
        empty="Nobody used any of these applications in the past 365 days.",
    )
