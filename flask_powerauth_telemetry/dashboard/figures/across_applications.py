"""The figures of several applications: side by side, and what they have in common."""

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
from flask_powerauth_telemetry.dashboard.figures.users import ALL_WINDOWS, WINDOW_LABELS
from flask_powerauth_telemetry.dashboard.formats import isolated


@partial(
    Figure,
    key="across",
    title="Users across applications",
    report="USERS_ACROSS_APPLICATIONS",
    ask=lambda asked: [{"applications": list(asked.applications), "days": asked.days}],
    by_days=True,
)
def across(data: Data, _: Asked) -> Content:
    """Everyone once, each application, and each pair of them."""
    (one,) = data
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
def curves(data: Data, _: Asked) -> Content:
    """A line for each application, over all windows."""
    names = [one["application"] for one in data]
    users_of_each = [one["users"] for one in data]
    lines = [
        Series(f"line line-{number}", users, name)
        for number, (name, users) in enumerate(zip(names, users_of_each, strict=True), start=1)
    ]
    rows = [(days, *users) for days, users in enumerate(zip(*users_of_each, strict=True), start=1)]
    return Content(
        plot=plot(f"A line for each application, {ALL_WINDOWS}.", lines[::-1], WINDOW_LABELS),
        table=Table("Active users of each application by window", ("Days", *names), rows),
        empty="Nobody used any of these applications in the past 365 days.",
    )
