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
from flask_powerauth_telemetry.service import ReportRun
from flask_powerauth_telemetry.text import printable, shortened

logger = logging.getLogger("flask_powerauth_telemetry.access_log")

EXTRA_PREFIX = "telemetry_"

_PLAIN = re.compile(r"[A-Za-z0-9_.:/+@-]+")
_NO_RUN = dict.fromkeys(("report", "application", "days", "as_of", "seconds", "source", "kept"))


def log_run(level: int, event: str, run: ReportRun, origin: Origin) -> None:
    """Write the record of a run."""
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
    _write(level, event, origin, who | asked | _outcome(run))


def log_refusal(event: str, refusal: Refusal, origin: Origin) -> None:
    """Write the record of a request that was refused before a report was known, at WARNING."""
    who = {"principal": refusal.principal, "user": refusal.user}
    _write(logging.WARNING, event, origin, who | _NO_RUN | _outcome(refusal))


def _outcome(told: ReportRun | Refusal) -> dict[str, Any]:
    return {"status": told.status, "code": told.code, "error": told.error}


def _write(level: int, event: str, origin: Origin, facts: Mapping[str, Any]) -> None:
    # The address comes first, so that what a caller sent never stands before it in the line.
    fields = {
        "address": origin.address,
        "instance": origin.instance,
        "request_id": origin.request_id,
        **facts,
    }
    clean = {
        name: printable(shortened(value)) if isinstance(value, str) else value
        for name, value in fields.items()
    }
    line = " ".join(
        f"{name}={_quoted(value)}" for name, value in clean.items() if value is not None
    )
    extra = {EXTRA_PREFIX + name: value for name, value in {"event": event, **clean}.items()}
    logger.log(level, "%s: %s", event.replace("_", " "), line, extra=extra)


def _quoted(value: Any) -> str:
    """A value in the line: bare, or else as a JSON string in ASCII without an equals sign."""
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    if _PLAIN.fullmatch(text):
        return text
    return json.dumps(text).replace("=", "\\u003d")
