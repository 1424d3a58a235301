"""What is asked of the service for a figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any

from flask_powerauth_telemetry.dashboard import formats


@dataclass(frozen=True)
class Question:
    """A report by its name, and its raw parameters."""

    report: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a page is about: applications, a window of ``days``, and ``today`` in ``zone``."""

    applications: Sequence[str]
    days: int
    today: date
    zone: tzinfo

    @property
    def application(self) -> str:
        """The only application."""
        (name,) = self.applications
        return name

    @property
    def application_and_days(self) -> Mapping[str, Any]:
        """The parameters of most reports."""
        return {"application": self.application, "days": self.days}

    @property
    def zone_name(self) -> str:
        """The zone's IANA name."""
        return formats.zone_name(self.zone)

    def shown(self, text: str) -> str:
        """An instant in ISO 8601 as clocks in the zone show it, by the minute."""
        return f"{datetime.fromisoformat(text).astimezone(self.zone):%Y-%m-%d %H:%M}"
