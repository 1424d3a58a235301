"""The figures of several applications: side by side, and what they have in common."""

from collections.abc import Iterable

from flask_powerauth_telemetry.dashboard.charts import lines_plot
from flask_powerauth_telemetry.dashboard.figures.active_users import WINDOW_LABELS
from flask_powerauth_telemetry.dashboard.figures.base import (
    Asked,
    Bar,
    Content,
    Data,
    Figure,
    Number,
    Parameters,
    Share,
    Table,
    bar,
    in_days,
)


def _ask_across(asked: Asked) -> Iterable[Parameters]:
    yield {"applications": list(asked.applications), "days": asked.days}


def _show_across(data: Data, _: Asked) -> Content:
    """Everyone once, each application, and each pair of them."""
    (one,) = data
    everyone = one["users"]
    rows = [
        _row(name, one["usersByApplication"][name], everyone) for name in one["applications"]
    ] + [
        _row(" and ".join(pair["applications"]), pair["users"], everyone)
        for pair in one["overlaps"]
    ]
    return Content(
        numbers=[Number(in_days(one["days"]), everyone, "each user once")],
        table=Table(
            "Users of each application, and of each two in common",
            ("Applications", "Users", "Share of everyone", ""),
            rows,
            unfolded=True,
        ),
        notes=["Users of two applications may be users of a third one as well."],
    )


def _row(name: str, users: int, everyone: int) -> tuple[str, int, Share, Bar]:
    return name, users, Share(users, everyone), bar(everyone, users)


ACROSS = Figure(
    key="across",
    title="Users across applications",
    report="USERS_ACROSS_APPLICATIONS",
    ask=_ask_across,
    show=_show_across,
    by_days=True,
)


def _ask_curves(asked: Asked) -> Iterable[Parameters]:
    for name in asked.applications:
        yield {"application": name}


def _show_curves(data: Data, _: Asked) -> Content:
    """A line for each application, over all windows."""
    names = [one["application"] for one in data]
    curves = [one["users"] for one in data]
    lines = {f"line line-{number}": users for number, users in enumerate(curves, start=1)}
    rows = [(days, *users) for days, users in enumerate(zip(*curves, strict=True), start=1)]
    return Content(
        plot=lines_plot(
            "A line for each application, from the users of the past 24 hours to those of the past"
            " 365 days.",
            lines,
            WINDOW_LABELS,
        ),
        legend=list(zip(lines, names, strict=True)),
        table=Table("Active users of each application by window", ("Days", *names), rows),
    )


CURVES = Figure(
    key="curves",
    title="Active users by window, side by side",
    report="USERS_BY_PAST_DAYS",
    ask=_ask_curves,
    show=_show_curves,
    cost="It reads the activations of each application.",
)
