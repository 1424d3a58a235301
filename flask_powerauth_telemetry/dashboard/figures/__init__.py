"""The figures of the pages, in their order, each out of one report."""

from collections.abc import Iterable

from flask_powerauth_telemetry.dashboard.figures.base import Figure
from flask_powerauth_telemetry.dashboard.figures.calendar import history, months, trend
from flask_powerauth_telemetry.dashboard.figures.signatures import (
    load,
    signatures,
    signatures_of_month,
)
from flask_powerauth_telemetry.dashboard.figures.users import (
    across,
    committed,
    curve,
    curves,
    new_users,
    now,
    statuses,
    trend_by_window,
    windows,
)

APPLICATION_FIGURES = (
    now,
    windows,
    curve,
    months,
    signatures_of_month,
    statuses,
    history,
    new_users,
    signatures,
    load,
    committed,
)
"""Those of one application; what goes by the page's window comes last.

The figure of a further report is named in this tuple.
"""

OVERVIEW_FIGURES = (now, trend, trend_by_window)
"""Those of each application on the page of all."""

COMPARED_FIGURES = (across, curves)
"""Those of several applications side by side."""

FIRST = (curve, trend_by_window, windows)
"""What is computed before everything else, because its pass answers narrower questions as well."""


def offered(figures: Iterable[Figure], reports: frozenset[str]) -> list[Figure]:
    """The figures whose reports are switched on."""
    return [
        figure for figure in figures if figure.report in reports and figure.unless not in reports
    ]


def switched_off(figures: Iterable[Figure], reports: frozenset[str]) -> list[str]:
    """The reports that would show further figures, in order, each once."""
    return list(dict.fromkeys(one.report for one in figures if one.report not in reports))
