"""Addresses of the dashboard's pages, below whatever it is mounted at."""

from flask import url_for

from flask_powerauth_telemetry.dashboard.parts import Part
from flask_powerauth_telemetry.dashboard.questions import Asked


class Links:
    """The addresses in the blueprint of this name; used within a request."""

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
