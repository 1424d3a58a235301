"""What is told to those who watch: the facts of each run of a report, and of each refusal."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_powerauth_telemetry.exceptions import ServerFault, TelemetryError
from flask_powerauth_telemetry.text import shortened

_REPORT_LENGTH = 64


@dataclass(frozen=True, kw_only=True)
class ReportRun:
    """One run of a report, answered or failed.

    ``report`` is the name as it is registered, or else (``known`` False) as it was asked for,
    shortened. ``applications`` are the names asked for, in scope or not, ``days`` is the window,
    from the parameters or else from the report data. ``seconds`` is how long the caller waited.
    A failure has the class of its ``error`` and the ``code`` of the answer, and no ``as_of``
    (aware, UTC), ``source`` ("live" or "recorded") or ``data``. ``kept`` is True when the data, or
    a part of them, were computed before.
    """

    report: str
    known: bool
    principal: str
    applications: tuple[str, ...]
    days: int | None
    seconds: float
    status: int = 200
    code: str | None = None
    error: str | None = None
    as_of: datetime | None = None
    source: str | None = None
    kept: bool = False
    data: Mapping[str, Any] | None = field(default=None, repr=False)


Observer = Callable[[ReportRun], None]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A request that was refused before a report was known.

    ``principal`` is who asked, None when the credentials were wrong or could not be checked.
    ``user`` is the start of the user name that came with wrong credentials.
    """

    status: int
    code: str
    error: str
    principal: str | None
    user: str | None = None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a run or a refusal comes from.

    ``instance`` is the ``name=`` of the extension's instance; ``request_id`` printable ASCII of at
    most 128 characters. It and the caller's ``address`` are None outside of a request.
    """

    instance: str
    request_id: str | None = None
    address: str | None = None


class Asked:
    """A run that goes on: what is known of it so far, for the facts at its end."""

    def __init__(self, name: str, principal: str) -> None:
        self.report = name
        self.known = False
        self.applications: Sequence[str] = ()
        self.arguments: Mapping[str, Any] = {}
        self._principal = principal
        self._start = time.perf_counter()

    def answered(
        self, data: Mapping[str, Any], *, as_of: datetime, source: str, kept: bool
    ) -> ReportRun:
        """The facts of a run that gave a report."""
        return ReportRun(
            report=self.report,
            known=True,
            principal=self._principal,
            applications=tuple(self.applications),
            days=_days(self.arguments) or _days(data),
            seconds=time.perf_counter() - self._start,
            as_of=as_of,
            source=source,
            kept=kept,
            data=data,
        )

    def failed(self, error: Exception) -> ReportRun:
        """The facts of a run that raised; what is no ``TelemetryError`` is a fault."""
        kind = type(error) if isinstance(error, TelemetryError) else ServerFault
        return ReportRun(
            report=self.report if self.known else shortened(self.report, _REPORT_LENGTH),
            known=self.known,
            principal=self._principal,
            applications=tuple(self.applications),
            days=_days(self.arguments),
            seconds=time.perf_counter() - self._start,
            status=kind.status,
            code=kind.code,
            error=type(error).__name__,
        )


def _days(values: Mapping[str, Any]) -> int | None:
    days = values.get("days")
    return days if type(days) is int else None
