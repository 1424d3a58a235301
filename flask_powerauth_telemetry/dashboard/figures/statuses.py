"""The figure of users and activations by status."""

from flask_powerauth_telemetry.dashboard.figures.base import (
    Asked,
    Content,
    Data,
    Figure,
    Number,
    Table,
)


def _show_statuses(data: Data, _: Asked) -> Content:
    """Everyone, and a row for each status."""
    (one,) = data
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


STATUSES = Figure(
    key="statuses",
    title="Users by status",
    report="USERS_BY_STATUS",
    show=_show_statuses,
    cost="It reads the activations once more.",
)
