"""The figure of the verifications of the month that runs, day by day."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from flask_powerauth_telemetry.dashboard.charts import Series, plot
from flask_powerauth_telemetry.dashboard.figures.base import (
    Asked,
    Content,
    Data,
    Figure,
    Number,
    Parameters,
    Table,
)
from flask_powerauth_telemetry.dashboard.figures.signatures import busiest_hour
from flask_powerauth_telemetry.dashboard.formats import percentage


def _ask_month(asked: Asked) -> Iterable[Parameters]:
    yield {"application": asked.application, "month": f"{asked.today:%Y-%m}"}


def _show_month(data: Data, asked: Asked) -> Content:
    """All together, and a column for each day that has begun."""
    (one,) = data
    first = date.fromisoformat(f"{one['month']}-01")
    rows = [
        ((first + timedelta(days=place)).isoformat(), number)
        for place, number in enumerate(one["byDay"])
    ]
    reach = _reach(one, asked)
    return Content(
        numbers=[
            Number(f"Verifications in {one['month']}", one["total"]),
            Number("Valid", one["valid"]),
            Number("Invalid", one["invalid"], percentage(one["invalid"], one["total"])),
            *busiest_hour(one["busiestHour"], asked),
        ],
        plot=plot(
            "A column for each day of the month, none for those that are not known or to come.",
            [Series("column", one["byDay"])],
            {place: rows[place][0] for place in (0, len(rows) // 2, len(rows) - 1)},
        ),
        table=Table(
            "Verifications by day",
            (f"Day ({asked.zone})", "Verifications"),
            rows[::-1],
            backwards=True,
        ),
        notes=[reach],
        empty=f"No verification of this application is in this month. {reach}",
    )


def _reach(month: Mapping[str, Any], asked: Asked) -> str:
    """From when to when the audit has rows, and what that means for the month."""
    ends = [asked.shown(month[key]) for key in ("auditSince", "auditUntil") if month[key]]
    told = "PowerAuth's signature audit has no row at all"
    if ends:
        told = f"PowerAuth's signature audit has rows from {' to '.join(ends)} {asked.zone}"
    if recorded := len(month["recordedDays"]):
        told += f"; {recorded} {'day is' if recorded == 1 else 'days are'} as recorded before"
    if missing := len(month["missing"]):
        days = f"{missing} {'day' if missing == 1 else 'days'}"
        told += f": verifications of {days} of the month may have been deleted"
    return f"{told}."


SIGNATURES_OF_MONTH = Figure(
    key="month-signatures",
    title="Signatures verified this month",
    report="SIGNATURES_IN_MONTH",
    ask=_ask_month,
    show=_show_month,
    cost="It reads the verifications of this month once more.",
)
