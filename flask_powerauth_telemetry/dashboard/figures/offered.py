"""The figures that there are, each out of one report."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_powerauth_telemetry.dashboard.contents import Content
from flask_powerauth_telemetry.dashboard.figures.across_applications import (
    ask_across,
    ask_curves,
    show_across,
    show_curves,
)
from flask_powerauth_telemetry.dashboard.figures.active_users import (
    ask_committed,
    ask_curve,
    ask_new_users,
    ask_now,
    ask_windows,
    show_committed,
    show_curve,
    show_new_users,
    show_now,
    show_windows,
)
from flask_powerauth_telemetry.dashboard.figures.calendar import (
    ask_history,
    ask_months,
    show_history,
    show_months,
)
from flask_powerauth_telemetry.dashboard.figures.signatures import (
    ask_signatures,
    show_load,
    show_signatures,
)
from flask_powerauth_telemetry.dashboard.questions import Asked, Question


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure: the report that it shows, what it asks of it, and how it shows the answers.

    ``key`` is its name in addresses. ``unless`` names a report that shows the same and more.
    ``by_days`` tells that the page's window matters. ``cost`` is a sentence on what it scans that
    other figures scan as well; with one the figure is only shown when it is asked for.
    """

    key: str
    title: str
    report: str
    ask: Callable[[Asked], Iterator[Question]]
    show: Callable[[Sequence[Mapping[str, Any]], Asked], Content]
    unless: str | None = None
    by_days: bool = False
    cost: str = ""


NOW = Figure(key="now", title="Active users now", report="CURRENT_MAU", ask=ask_now, show=show_now)
ACROSS = Figure(
    key="across",
    title="Users across applications",
    report="USERS_ACROSS_APPLICATIONS",
    ask=ask_across,
    show=show_across,
    by_days=True,
)
CURVES = Figure(
    key="curves",
    title="Active users by window, side by side",
    report="USERS_BY_PAST_DAYS",
    ask=ask_curves,
    show=show_curves,
    cost="It reads the activations of each application.",
)
WINDOWS = Figure(
    key="windows",
    title="Active users by window",
    report="USERS_IN_PAST_DAYS",
    ask=ask_windows,
    show=show_windows,
    unless="USERS_BY_PAST_DAYS",
)
CURVE = Figure(
    key="curve",
    title="Active users by window",
    report="USERS_BY_PAST_DAYS",
    ask=ask_curve,
    show=show_curve,
)
APPLICATION_FIGURES = (
    NOW,
    WINDOWS,
    CURVE,
    Figure(
        key="history",
        title="Active users, day by day",
        report="MAU_HISTORY",
        ask=ask_history,
        show=show_history,
    ),
    Figure(
        key="months",
        title="Active users by month",
        report="USERS_IN_MONTH",
        ask=ask_months,
        show=show_months,
    ),
    Figure(
        key="new-users",
        title="New users",
        report="NEW_USERS_IN_PAST_DAYS",
        ask=ask_new_users,
        show=show_new_users,
        by_days=True,
    ),
    Figure(
        key="signatures",
        title="Signatures verified",
        report="SIGNATURES_IN_PAST_DAYS",
        ask=ask_signatures,
        show=show_signatures,
        by_days=True,
    ),
    Figure(
        key="load",
        title="Signature load by hour of the day",
        report="SIGNATURES_IN_PAST_DAYS",
        ask=ask_signatures,
        show=show_load,
        by_days=True,
    ),
    Figure(
        key="committed",
        title="Users of committed activations",
        report="COMMITTED_USERS_IN_PAST_DAYS",
        ask=ask_committed,
        show=show_committed,
        by_days=True,
        cost="It reads the activations once more.",
    ),
)
"""Those of one application, in the order of the page."""

COMPARED_FIGURES = (ACROSS, CURVES)
"""Those of several applications side by side."""

FIRST = (CURVE, WINDOWS)
"""What is computed before everything else, because its pass answers narrower questions as well."""


def offered(figures: Iterable[Figure], reports: frozenset[str]) -> list[Figure]:
    """The figures whose reports are switched on."""
    return [
        figure for figure in figures if figure.report in reports and figure.unless not in reports
    ]
