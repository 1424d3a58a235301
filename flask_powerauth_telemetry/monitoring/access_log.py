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
_NO_RUN = dict.fromkeys(("report", "application", "days", "as_of", "seconds", "source", "kept"))
_NO_OUTCOME = dict.fromkeys(("status", "code", "error", "database"))


def fields_of_run(event: str, run: ReportRun, origin: Origin) -> Fields:
    """What the records of a run tell."""
    as_of = run.as_of and run.as_of.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    asked = {
        "report": run.report,
        "application": ",".join(run.applications) or None,
        "days": run.days,
        "as_of": as_of,
        "seconds": round(run.seconds, 6),
        "source": run.source,
        "kept": run.kept,
    }
    who = {"principal": run.principal, "user": None}
    return _fields(event, origin, who | asked | _outcome(run))


def fields_of_refusal(event: str, refusal: Refusal, origin: Origin) -> Fields:
    """What the records of a request tell that was refused before a report was known."""
    who = {"principal": refusal.principal, "user": refusal.user}
    return _fields(event, origin, who | _NO_RUN | _outcome(refusal))


def fields_so_far(origin: Origin | None, asked: Asked | None) -> Fields:
    """What records tell that are written before the outcome of a request, or outside of one."""
    known = dict(_NO_RUN)
    if asked is not None:
        known |= {
            "report": asked.report,
            "application": ",".join(asked.applications) or None,
            "days": asked.days,
        }
    who = {"principal": asked and asked.principal, "user": None}
    outcome = {**_NO_OUTCOME, "database": asked and asked.database}
    return _fields(None, origin, who | known | outcome)


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


def _outcome(told: ReportRun | Refusal) -> dict[str, Any]:
    return {name: getattr(told, name) for name in _NO_OUTCOME}


def _fields(event: str | None, origin: Origin | None, facts: Mapping[str, Any]) -> Fields:
    # The address comes first, so that what a caller sent never stands before it in the line.
    fields = {
        "event": event,
        "address": origin and origin.address,
        "instance": origin and origin.instance,
        "request_id": origin and origin.request_id,
        **facts,
    }
    return {
        name: printable(shortened(value)) if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _quoted(value: Any) -> str:
    """A value in the line: bare, or else as a JSON string in ASCII without an equals sign."""
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    if _PLAIN.fullmatch(text):
        return text
    return json.dumps(text).replace("=", "\\u003d")
