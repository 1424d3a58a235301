"""The figure of several applications side by side, and of what they have in common."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask_powerauth_telemetry.dashboard.activity_figures import in_days
from flask_powerauth_telemetry.dashboard.contents import Bar, Content, Number, Share, Table
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


def _row(name: str, users: int, everyone: int) -> tuple[str, int, Share, Bar]:
    bar = Bar([100 * users / everyone if everyone else 0.0])
    return name, users, Share(users, everyone), bar
