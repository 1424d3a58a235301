"""Addresses: what those of requests ask for, and those of the dashboard's pages."""

from collections.abc import Sequence

from flask import request, url_for

from flask_powerauth_telemetry.dashboard.figures.base import Asked
from flask_powerauth_telemetry.dashboard.parts import Part
from flask_powerauth_telemetry.exceptions import InvalidRequest, NotFound, TelemetryError
from flask_powerauth_telemetry.fields import MAXIMUM_DAYS
from flask_powerauth_telemetry.reports.across_applications import FEWEST, MOST
from flask_powerauth_telemetry.service import read_clock
from flask_powerauth_telemetry.state import TelemetryState

DAYS = (30, 90, 365)
"""The windows that pages offer; an address may have any other."""


class Forged(InvalidRequest):
    """A page of another site asks in the name of whoever looks at it."""

    status = 403


def refuse_forged() -> None:
    """Refuse what a page of another site has embedded; a link that is followed is answered.

    Browsers tell it by Fetch Metadata: https://www.w3.org/TR/fetch-metadata/.
    """
    headers = request.headers
    followed = (headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest"))
    if is_foreign() and followed != ("navigate", "document"):
        raise Forged("A page of another site can't show this")


def is_foreign() -> bool:
    """Whether a page of another origin has caused the request, as far as the browser tells."""
    return request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")


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


class Links:
    """The addresses below the blueprint of this name, wherever it is mounted; within a request."""

    def __init__(self, blueprint: str) -> None:
        self._blueprint = blueprint

    @property
    def overview(self) -> str:
        """The page of all applications."""
        return url_for(f"{self._blueprint}.overview")

    @property
    def compare(self) -> str:
        """The page of several applications side by side."""
        return url_for(f"{self._blueprint}.compare")

    def application(self, name: str, days: int | None = None) -> str:
        """The page of an application."""
        return url_for(f"{self._blueprint}.application", application=name, days=days)

    def figure(self, part: Part) -> str:
        """The page of a figure alone."""
        return self._figure("figure", part)

    def csv(self, part: Part) -> str:
        """The figure as CSV."""
        return self._figure("figure_csv", part)

    def static(self, filename: str) -> str:
        """A style sheet, script or image."""
        return url_for(f"{self._blueprint}.static", filename=filename)

    def page_of(self, asked: Asked) -> str:
        """The page that a figure stands on."""
        if len(asked.applications) == 1:
            return self.application(asked.application, asked.days)
        return url_for(
            f"{self._blueprint}.compare", application=asked.applications, days=asked.days
        )

    def _figure(self, endpoint: str, part: Part) -> str:
        return url_for(
            f"{self._blueprint}.{endpoint}",
            key=part.figure.key,
            application=part.asked.applications,
            days=part.asked.days if part.figure.by_days else None,
        )
