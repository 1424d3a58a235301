"""Figures of signature verifications: by type, and by hour of the day."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
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


def _show_signatures(data: Data, _: Asked) -> Content:
    """All together, and each type."""
    (one,) = data
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


SIGNATURES = Figure(
    key="signatures",
    title="Signatures verified",
    report="SIGNATURES_IN_PAST_DAYS",
    show=_show_signatures,
    by_days=True,
)


def _show_load(data: Data, asked: Asked) -> Content:
    """A column for each hour of the day, as the clock in the zone of reports shows it."""
    (one,) = data
    loads = _loads(one["byHour"], asked)
    averages = [sum(loads[hour]) / len(loads[hour]) for hour in loads]
    highest = [max(loads[hour]) for hour in loads]
    return Content(
        numbers=list(busiest_hour(one["busiestHour"], asked)),
        plot=plot(
            "Columns for each hour of the day: the average of that hour, before the highest.",
            [
                Series("range", highest, "highest"),
                Series("column", averages, "average"),
            ],
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


def busiest_hour(hour: Mapping[str, Any] | None, asked: Asked) -> Iterator[Number]:
    """The numbers of an hour of the report, none without one."""
    if hour is None:
        return
    start = f"{asked.shown(hour['start'])} {asked.zone}"
    yield Number("Verifications in the busiest hour", hour["verifications"], start)
    yield Number("Per second in that hour", float(f"{hour['perSecond']:.2g}"))


LOAD = Figure(
    key="load",
    title="Signature load by hour of the day",
    report="SIGNATURES_IN_PAST_DAYS",
    show=_show_load,
    by_days=True,
)
