"""The figures of the pages, in their order, each out of one report."""

from collections.abc import Iterable

from flask_powerauth_telemetry.dashboard.figures import calendar, signatures, users
from flask_powerauth_telemetry.dashboard.figures.base import Figure

APPLICATION_FIGURES = (
    users.now,
    users.windows,
    users.curve,
    calendar.months,
    signatures.signatures_of_month,
    users.statuses,
    calendar.history,
    users.new_users,
    signatures.signatures,
    signatures.load,
    users.committed,
)
"""Those of one application; what goes by the page's window comes last.

The figure of a further report is named in this tuple.
"""

OVERVIEW_FIGURES = (users.now, calendar.trend, users.trend_by_window)
"""Those of each application on the page of all."""

COMPARED_FIGURES = (users.across, users.curves)
"""Those of several applications side by side."""

FIRST = (users.curve, users.trend_by_window, users.windows)
"""What is computed before everything else, because its pass answers narrower questions as well."""


def offered(figures: Iterable[Figure], reports: frozenset[str]) -> list[Figure]:
    """The figures whose reports are switched on."""
    return [one for one in figures if one.report in reports and one.unless not in reports]


def switched_off(figures: Iterable[Figure], reports: frozenset[str]) -> list[str]:
    """The reports that would show further figures, in order, each once."""
    return list(dict.fromkeys(one.report for one in figures if one.report not in reports))
