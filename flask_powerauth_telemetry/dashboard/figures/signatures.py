"""Figures of signature verifications: by type, by hour of the day, and by day of the month."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from flask_powerauth_telemetry.dashboard.charts import Series, plot
from flask_powerauth_telemetry.dashboard.figures.base import (
    Asked,
    Content,
    Data,
    Figure,
    Number,
    Share,
    Table,
    bar,
    in_days,
)
from flask_powerauth_telemetry.dashboard.formats import percentage

_HOUR = timedelta(hours=1)
_PARTS = (("part-1", "valid"), ("part-2", "invalid"))
_LABELLED = ("00:", "06:", "12:", "18:")


@partial(
    Figure,
    key="signatures",
    title="Signatures verified",
    report="SIGNATURES_IN_PAST_DAYS",
    by_days=True,
)
def signatures(_: Asked, one: Data) -> Content:
    """All together, and each type."""
    most = max((kind["total"] for kind in one["byType"]), default=0)
    rows = [
        (
            kind["type"] or "(no type)",
            kind["algorithm"] or "",
            kind["total"],
            kind["invalid"],
            Share(kind["invalid"], kind["total"]),
            bar(most, kind["valid"], kind["invalid"]),
        )
        for kind in one["byType"]
    ]
    columns = ("Type", "Algorithm", "All", "Invalid", "Invalid share", "")
    return Content(
        numbers=[
            Number(in_days(one["days"]), one["total"], "verifications"),
            Number("Invalid", one["invalid"], percentage(one["invalid"], one["total"])),
        ],
        table=Table("Verifications by type", columns, rows, unfolded=True, legend=_PARTS),
        empty="PowerAuth's signature audit has no row of this application in this window.",
    )


@partial(
    Figure,
    key="load",
    title="Signature load by hour of the day",
    report="SIGNATURES_IN_PAST_DAYS",
    by_days=True,
)
def load(asked: Asked, one: Data) -> Content:
    """A column for each hour of the day, as the clock in the zone of reports shows it."""
    loads = _loads(one["byHour"], asked)
    averages = [sum(loads[hour]) / len(loads[hour]) for hour in loads]
    highest = [max(loads[hour]) for hour in loads]
    return Content(
        numbers=list(_busiest_hour(one["busiestHour"], asked)),
        plot=plot(
            "Columns for each hour of the day: the average of that hour, before the highest.",
            [Series("range", highest, "highest"), Series("column", averages, "average")],
            {place: hour for place, hour in enumerate(loads) if hour.startswith(_LABELLED)},
        ),
        table=Table(
            "Verifications by hour of the day",
            (f"Hour from ({asked.zone})", "Average", "Highest"),
            [
                (hour, round(average, 1), most)
                for hour, average, most in zip(loads, averages, highest, strict=True)
            ],
        ),
        empty="No whole hour of this window has a verification in PowerAuth's signature audit.",
        notes=["Only whole hours are in the chart, and none that a clock set back has repeated."],
    )


def _loads(by_hour: Mapping[str, Any], asked: Asked) -> Mapping[str, Sequence[int]]:
    """The verifications of whole hours, by the time of day that each begins at, in its order."""
    first = datetime.fromisoformat(by_hour["start"])
    loads: dict[str, list[int]] = {}
    for place, (here, after) in enumerate(pairwise(by_hour["verifications"])):
        # The first hour began before the window, and the last one is no first of a pair.
        if place > 0 and here is not None and after is not None:
            hour = (first + place * _HOUR).astimezone(asked.zone)
            loads.setdefault(f"{hour:%H:%M}", []).append(here)
    return dict(sorted(loads.items()))


def _busiest_hour(hour: Mapping[str, Any] | None, asked: Asked) -> Iterator[Number]:
    """The numbers of an hour of the report, none without one."""
    if hour is None:
        return
    start = f"{asked.shown(hour['start'])} {asked.zone}"
    yield Number("Verifications in the busiest hour", hour["verifications"], start)
    mean = hour["perSecond"]
    shown = round(mean) if mean >= 100 else float(f"{mean:.2g}")
    yield Number("Per second in that hour", shown)


@partial(
    Figure,
    key="month-signatures",
    title="Signatures verified this month",
    report="SIGNATURES_IN_MONTH",
    ask=lambda asked: [{"application": asked.application, "month": f"{asked.today:%Y-%m}"}],
    cost="It reads the verifications of this month once more.",
)
def signatures_of_month(asked: Asked, one: Data) -> Content:
    """All together, and a column for each day that has begun."""
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
            *_busiest_hour(one["busiestHour"], asked),
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
