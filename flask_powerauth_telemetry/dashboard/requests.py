"""What a request asks for, out of its address."""

from collections.abc import Sequence

from flask import request

from flask_powerauth_telemetry.dashboard.questions import Asked
from flask_powerauth_telemetry.exceptions import NotFound, TelemetryError
from flask_powerauth_telemetry.fields import MAXIMUM_DAYS
from flask_powerauth_telemetry.reports.across_applications import FEWEST, MOST
from flask_powerauth_telemetry.service import read_clock
from flask_powerauth_telemetry.state import TelemetryState

DAYS = (30, 90, 365)
"""The windows that pages offer; an address may have any other."""


def asked_applications(visible: Sequence[str]) -> Sequence[str]:
    """The applications that the address names, each once.

    Raises ``NotFound`` for one that isn't visible, whether it exists or not.
    """
    names = list(dict.fromkeys(request.args.getlist("application")))
    if not set(names) <= set(visible):
        raise NotFound("There is no such application, or these credentials may not see it")
    return names


def one_application(visible: Sequence[str]) -> Sequence[str]:
    """The only application that the address names, in a list; raises ``NotFound``."""
    names = asked_applications(visible)
    if len(names) != 1:
        raise NotFound("The address has to name one application")
    return names


def several_applications(visible: Sequence[str]) -> Sequence[str]:
    """The applications that the address names, as many as may be compared.

    Raises ``NotFound`` for one that isn't visible, ``TelemetryError`` for too few or too many.
    """
    names = asked_applications(visible)
    if not comparable(names):
        raise TelemetryError(f"The address has to name {FEWEST} to {MOST} applications")
    return names


def comparable(names: Sequence[str]) -> bool:
    """Whether they are as many as may be compared."""
    return FEWEST <= len(names) <= MOST


def asked(state: TelemetryState, applications: Sequence[str]) -> Asked:
    """All that a figure may want to know; raises ``TelemetryError`` for a wrong window."""
    zone = state.config.report_timezone
    today = read_clock(state.clock).astimezone(zone).date()
    return Asked(applications=applications, days=_days(), today=today, zone=zone)


def _days() -> int:
    text = request.args.get("days", str(DAYS[0]))
    if len(text) <= 3 and text.isascii() and text.isdigit() and 1 <= int(text) <= MAXIMUM_DAYS:
        return int(text)
    raise TelemetryError(f"days must be a whole number from 1 to {MAXIMUM_DAYS}")
