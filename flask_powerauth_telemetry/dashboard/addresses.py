"""What the address of a request asks for, and whether it may."""

from collections.abc import Sequence
from typing import Any

from flask import request
from marshmallow import ValidationError, fields

from flask_powerauth_telemetry.dashboard.figures.base import Asked
from flask_powerauth_telemetry.exceptions import InvalidRequest, NotFound, TelemetryError
from flask_powerauth_telemetry.fields import MAXIMUM_DAYS, DaysField
from flask_powerauth_telemetry.reports.calendar import Month, MonthField
from flask_powerauth_telemetry.service import read_clock
from flask_powerauth_telemetry.state import TelemetryState

DAYS = (30, 90, 365)
"""The windows that pages offer; an address may have any other."""


class Forged(InvalidRequest):
    """A page of another site asks in the name of whoever looks at it."""

    status = 403


def refuse_forged() -> None:
    """Refuse what a page has embedded: only pages that are gone to and our script are answered.

    An image costs its viewer no click, even on a page of the same origin, so it may cost the
    database nothing. Browsers tell it by Fetch Metadata: https://www.w3.org/TR/fetch-metadata/.
    """
    headers = request.headers
    told = (headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest"))
    by_script = not is_foreign() and told in ((None, None), ("cors", "empty"))
    if not by_script and told != ("navigate", "document"):
        raise Forged("A page can't show this as a part of it")


def is_foreign() -> bool:
    """Whether a page of another origin has caused the request, as far as the browser tells."""
    return request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")


def asked_applications(
    visible: Sequence[str], fewest: int = 0, most: int | None = None
) -> Sequence[str]:
    """The applications that the address names, each once.

    Raises ``NotFound`` for one that isn't visible, whether it exists or not, ``TelemetryError``
    for fewer than ``fewest`` or more than ``most``.
    """
    names = list(dict.fromkeys(request.args.getlist("application")))
    if not set(names) <= set(visible):
        raise NotFound("There is no such application, or these credentials may not see it")
    if len(names) < fewest or (most is not None and len(names) > most):
        wanted = "one application" if most == 1 else f"{fewest} to {most} applications"
        raise TelemetryError(f"The address has to name {wanted}")
    return names


def asked(state: TelemetryState, applications: Sequence[str]) -> Asked:
    """All that a figure may want to know; raises ``TelemetryError`` for a wrong window."""
    zone = state.config.report_timezone
    today = read_clock(state.clock).astimezone(zone).date()
    days = _given("days", DaysField(), DAYS[0], f"a whole number from 1 to {MAXIMUM_DAYS}")
    return Asked(applications=applications, days=days, today=today, zone=zone)


def asked_month() -> Month | None:
    """The month that the address names, or None; raises ``TelemetryError`` for no month."""
    month: Month | None = _given("month", MonthField(), None, "a month such as 2026-10")
    return month


def _given(name: str, field: "fields.Field[Any]", default: object, wanted: str) -> Any:
    text = request.args.get(name)
    if text is None:
        return default
    try:
        return field.deserialize(text)
    except ValidationError as error:
        raise TelemetryError(f"{name} must be {wanted}") from error
