"""The figures of the pages, in their order, each out of one report."""

from collections.abc import Iterable

from flask_powerauth_telemetry.dashboard.figures.across_applications import ACROSS, CURVES
from flask_powerauth_telemetry.dashboard.figures.active_users import (
    COMMITTED,
    CURVE,
    NEW_USERS,
    NOW,
    WINDOWS,
)
from flask_powerauth_telemetry.dashboard.figures.base import Figure
from flask_powerauth_telemetry.dashboard.figures.calendar import HISTORY, MONTHS
from flask_powerauth_telemetry.dashboard.figures.signatures import LOAD, SIGNATURES

APPLICATION_FIGURES = (
    NOW,
    WINDOWS,
    CURVE,
    HISTORY,
    MONTHS,
    NEW_USERS,
    SIGNATURES,
    LOAD,
    COMMITTED,
)
"""Those of one application."""

COMPARED_FIGURES = (ACROSS, CURVES)
"""Those of several applications side by side."""

FIRST = (CURVE, WINDOWS)
"""What is computed before everything else, because its pass answers narrower questions as well."""


def offered(figures: Iterable[Figure], reports: frozenset[str]) -> list[Figure]:
    """The figures whose reports are switched on."""
    return [
        figure for figure in figures if figure.report in reports and figure.unless not in reports
    ]
