"""The figures of the pages, in their order, each out of one report."""

from collections.abc import Iterable

from flask_powerauth_telemetry.dashboard.figures.across_applications import ACROSS, CURVES
from flask_powerauth_telemetry.dashboard.figures.active_users import (
    COMMITTED,
    CURVE,
    NEW_USERS,
    NOW,
    TREND_BY_WINDOW,
    WINDOWS,
)
from flask_powerauth_telemetry.dashboard.figures.base import Figure
from flask_powerauth_telemetry.dashboard.figures.calendar import HISTORY, MONTHS, TREND
from flask_powerauth_telemetry.dashboard.figures.signatures import LOAD, SIGNATURES
from flask_powerauth_telemetry.dashboard.figures.signatures_in_month import SIGNATURES_OF_MONTH
from flask_powerauth_telemetry.dashboard.figures.statuses import STATUSES

APPLICATION_FIGURES = (
    NOW,
    WINDOWS,
    CURVE,
    MONTHS,
    SIGNATURES_OF_MONTH,
    STATUSES,
    HISTORY,
    NEW_USERS,
    SIGNATURES,
    LOAD,
    COMMITTED,
)
"""Those of one application; what goes by the page's window comes last.

A further report gets a file here with its ``Figure``, which is named in this tuple.
"""

OVERVIEW_FIGURES = (NOW, TREND, TREND_BY_WINDOW)
"""Those of each application on the page of all."""

COMPARED_FIGURES = (ACROSS, CURVES)
"""Those of several applications side by side."""

FIRST = (CURVE, TREND_BY_WINDOW, WINDOWS)
"""What is computed before everything else, because its pass answers narrower questions as well."""


def offered(figures: Iterable[Figure], reports: frozenset[str]) -> list[Figure]:
    """The figures whose reports are switched on."""
    return [
        figure for figure in figures if figure.report in reports and figure.unless not in reports
    ]


def switched_off(figures: Iterable[Figure], reports: frozenset[str]) -> list[str]:
    """The reports that would show further figures, in order, each once."""
    return list(dict.fromkeys(one.report for one in figures if one.report not in reports))
