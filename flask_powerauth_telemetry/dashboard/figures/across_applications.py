"""The figures of several applications: side by side, and what they have in common."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask_powerauth_telemetry.dashboard.charts import lines_plot
from flask_powerauth_telemetry.dashboard.contents import Bar, Content, Number, Share, Table, bar
from flask_powerauth_telemetry.dashboard.figures.active_users import WINDOW_LABELS, in_days
from flask_powerauth_telemetry.dashboard.questions import Asked, Question


def ask_across(asked: Asked) -> Iterator[Question]:
    """``USERS_ACROSS_APPLICATIONS``."""
    names = list(asked.applications)
    yield Question("USERS_ACROSS_APPLICATIONS", {"applications": names, "days": asked.days})


def show_across(data: Sequence[Mapping[str, Any]], _: Asked) -> Content:
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


def ask_curves(asked: Asked) -> Iterator[Question]:
    """``USERS_BY_PAST_DAYS`` of each application."""
    for name in asked.applications:
        yield Question("USERS_BY_PAST_DAYS", {"application": name})


def show_curves(data: Sequence[Mapping[str, Any]], _: Asked) -> Content:
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


def _row(name: str, users: int, everyone: int) -> tuple[str, int, Share, Bar]:
    return name, users, Share(users, everyone), bar(everyone, users)
