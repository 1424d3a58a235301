"""One log record for each request that asks for a report: its fields, and its line.

What callers sent is escaped, so that nobody can forge a line or a field. No record holds a
password, a token, a user id or a statement.
"""

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from flask_powerauth_telemetry.monitoring.events import Origin, Refusal
from flask_powerauth_telemetry.service import Asked, ReportRun
from flask_powerauth_telemetry.text import printable, shortened

logger = logging.getLogger("flask_powerauth_telemetry.access_log")

EXTRA_PREFIX = "telemetry_"

Fields = Mapping[str, Any]
"""What is told of a request: names without the prefix, and values that are safe to show."""

_PLAIN = re.compile(r"[A-Za-z0-9_.:/+@-]+")
_WHO = ("principal", "user")
_RUN = ("report", "application", "days", "as_of", "seconds", "source", "kept")
_OUTCOME = ("status", "code", "error", "database")


def fields_of(
    event: str | None, origin: Origin | None, told: ReportRun | Refusal | Asked | None
) -> Fields:
    """What records tell of a run, of a refusal, or of a run under way; None is not known."""
    # The address comes first, so that what a caller sent never stands before it in the line.
    fields = {
        "event": event,
        "address": origin and origin.address,
        "instance": origin and origin.instance,
        "request_id": origin and origin.request_id,
        **{name: getattr(told, name, None) for name in (*_WHO, *_RUN, *_OUTCOME)},
    }
    if isinstance(told, ReportRun | Asked):
        fields["application"] = ",".join(told.applications) or None
    if isinstance(told, ReportRun):
        fields["seconds"] = round(told.seconds, 6)
        as_of = told.as_of and told.as_of.isoformat(timespec="milliseconds")
        fields["as_of"] = as_of and as_of.replace("+00:00", "Z")
    return {
        name: shortened(printable(value)) if isinstance(value, str) else value
        for name, value in fields.items()
    }


def write(level: int, fields: Fields) -> None:
    """Write the record of a request."""
    event = fields["event"]
    line = " ".join(
        f"{name}={_quoted(value)}"
        for name, value in fields.items()
        if name != "event" and value is not None
    )
    logger.log(level, "%s: %s", event.replace("_", " "), line, extra=as_extra(fields))


def as_extra(fields: Fields) -> Mapping[str, Any]:
    """The fields as attributes of a log record."""
    return {EXTRA_PREFIX + name: value for name, value in fields.items()}


def _quoted(value: Any) -> str:
    """A value in the line: bare, or else as a JSON string in ASCII without an equals sign."""
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    if _PLAIN.fullmatch(text):
        return text
    return json.dumps(text).replace("=", "\\u003d")
