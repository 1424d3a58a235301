"""From a report's name and raw parameters to the report; no Flask up to here."""

import logging
import time
from collections.abc import Callable, Hashable, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from marshmallow import ValidationError

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.computation import Computations, Compute, Perishable, Task
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.exceptions import (
    InvalidParameters,
    ProviderFault,
    ServerFault,
    TelemetryError,
    UnknownApplication,
    UnknownReport,
)
from flask_powerauth_telemetry.fields import Loaded, load_parameters
from flask_powerauth_telemetry.providers import RECORDED, Computation, ReportContext, Result
from flask_powerauth_telemetry.registry import RegisteredReport, ReportRegistry
from flask_powerauth_telemetry.text import shortened

logger = logging.getLogger("flask_powerauth_telemetry.service")

Clock = Callable[[], datetime]
"""Gives the time now, aware."""

system_clock: Clock = partial(datetime.now, UTC)
"""The time now, aware, in UTC."""

_REPORT_LENGTH = 64


@dataclass(frozen=True)
class Report:
    """A report: its name, and its data as JSON can carry them.

    ``as_of`` is the aware UTC instant that the data hold for, ``age_seconds`` the time since then.
    ``kept`` tells that they were computed before this was asked. ``source`` is ``live``, or
    ``recorded`` for data that were recorded beforehand.
    """

    name: str
    data: Mapping[str, Any]
    as_of: datetime
    age_seconds: float
    kept: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class ReportRun:
    """The facts of one run of a report, answered or failed, for those who watch.

    ``report`` is the name as it is registered, or else (``known`` False) as it was asked for,
    shortened. ``applications`` are the names asked for, in scope or not, ``days`` is the window,
    from the parameters or else from the report data. ``seconds`` is how long the caller waited.
    A failure has the class of its ``error`` and the ``code`` of the answer, and no ``as_of``
    (aware, UTC), ``source`` ("live" or "recorded") or ``data``. ``kept`` is True when the data
    were computed before.
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


class _Asked(NamedTuple):
    """What is known of a run before its outcome, as in ``ReportRun``; ``started`` by the timer."""

    report: str
    known: bool
    principal: str
    applications: tuple[str, ...]
    started: float

    def answered(self, report: Report, days: int | None) -> ReportRun:
        """The facts of a run that gave a report."""
        return self._run(
            days=_days(report.data) if days is None else days,
            as_of=report.as_of,
            source=report.source,
            kept=report.kept,
            data=report.data,
        )

    def failed(self, error: Exception, days: int | None = None) -> ReportRun:
        """The facts of a run that raised; what is no ``TelemetryError`` is a fault."""
        kind = type(error) if isinstance(error, TelemetryError) else ServerFault
        return self._run(days=days, status=kind.status, code=kind.code, error=type(error).__name__)

    def _run(self, **outcome: Any) -> ReportRun:
        return ReportRun(
            report=self.report,
            known=self.known,
            principal=self.principal,
            applications=self.applications,
            seconds=time.perf_counter() - self.started,
            **outcome,
        )


@dataclass(eq=False)
class _Computed:
    """The value of a result, and its facts; ``before`` tells that it holds for an earlier time.

    ``checked`` is the report and the parameters whose data, made of this, were checked last.
    """

    value: Any
    as_of: datetime
    source: str
    before: bool
    checked: tuple[str, Mapping[str, Any]] | None = None


class ReportService:
    """Runs the registered reports.

    ``databases`` holds the database of each bind, the main one under None. ``clock`` gives the
    time now as an aware datetime. Results are kept for ``keep_seconds``, unless a provider says
    otherwise. ``observer`` is told the facts of each run, on the caller's thread.
    """

    def __init__(
        self,
        registry: ReportRegistry,
        databases: Mapping[str | None, Database],
        clock: Clock = system_clock,
        *,
        computations: Computations | None = None,
        keep_seconds: float = 0,
        observer: Observer | None = None,
    ) -> None:
        self._registry = registry
        self._databases = databases
        self._clock = clock
        self._computations = computations or Computations(clock=ageing_clock(clock))
        self._keep_seconds = keep_seconds
        self._observer = observer

    def unobserved(self) -> "ReportService":
        """The same reports and kept results, but nobody is told of the runs."""
        service = copy(self)
        service._observer = None
        return service

    def run(self, name: str, parameters: Mapping[str, Any], principal: Principal) -> Report:
        """The report called ``name``, as of now or a short while ago.

        Raises ``UnknownReport``; ``InvalidParameters``; ``UnknownApplication``, also for one out
        of the principal's scope; ``Unavailable`` or ``DatabaseFault`` for the database's faults;
        ``ProviderFault`` and whatever else a provider raises.
        """
        started = time.perf_counter()
        try:
            registered = self._registry.get(name)
        except UnknownReport as error:
            shown = shortened(name, _REPORT_LENGTH)
            self._tell(_Asked(shown, False, principal.name, (), started).failed(error))
            raise
        loaded = load_parameters(registered.parameters_schema, parameters)
        asked = _Asked(registered.name, True, principal.name, loaded.applications, started)
        days = None
        try:
            arguments = _arguments(registered, loaded, principal)
            days = _days(arguments)
            report = self._report(registered, arguments)
        except Exception as error:
            self._tell(asked.failed(error, days))
            raise
        self._tell(asked.answered(report, days))
        return report

    def _tell(self, run: ReportRun) -> None:
        if self._observer is None:
            return
        try:
            self._observer(run)
        except Exception:
            logger.exception("An observer of reports failed")

    def _report(self, report: RegisteredReport, arguments: Mapping[str, Any]) -> Report:
        computed, kept = self._computed(report, arguments)
        return Report(
            name=report.name,
            data=_data(report, computed, arguments),
            as_of=computed.as_of,
            age_seconds=max(0.0, (read_clock(self._clock) - computed.as_of).total_seconds()),
            kept=kept or computed.before,
            source=computed.source,
        )

    def _computed(
        self, report: RegisteredReport, arguments: Mapping[str, Any]
    ) -> tuple[_Computed, bool]:
        database = self._databases[report.bind]
        keep = report.provider.keep_seconds
        choices: dict[Hashable, Compute] = {
            (report.bind, one.key): partial(self._compute, database, one)
            for one in report.computations(arguments)
        }
        if not choices:
            raise ProviderFault(f"{report.name}: it names no computation")
        computed: _Computed
        computed, kept = self._computations.result(
            choices,
            keep_seconds=self._keep_seconds if keep is None else keep,
            limit=database.time_limit,
        )
        return computed, kept

    def _compute(self, database: Database, computation: Computation, task: Task) -> Perishable:
        now = read_clock(self._clock)
        with ReportContext(database, now, task.interrupt_by) as context:
            given = computation.run(context)
        result = given if isinstance(given, Result) else Result(given)
        as_of = min(result.as_of or now, now)
        before = as_of < now or result.source == RECORDED
        return Perishable(
            _Computed(result.value, as_of, result.source, before), result.keep_seconds
        )


def read_clock(clock: Clock) -> datetime:
    """The time that a clock gives, in UTC; raises ``ProviderFault`` for a naive one."""
    now = clock()
    if now.tzinfo is None:
        raise ProviderFault("the clock gave a naive time, it must give an aware one")
    return now.astimezone(UTC)


def ageing_clock(clock: Clock) -> Callable[[], float]:
    """The seconds by which results age.

    As many as have passed, or as many as ``clock`` was moved by, whichever are more: so a result
    never outlives a clock that is set, and still grows old by one that stands still.
    """
    monotonic_start, start = time.monotonic(), clock()

    def seconds() -> float:
        moved = abs((clock() - start).total_seconds())
        return max(time.monotonic() - monotonic_start, moved)

    return seconds


def _arguments(report: RegisteredReport, loaded: Loaded, principal: Principal) -> Mapping[str, Any]:
    """The parameters as a provider gets them, once the caller's scope is checked."""
    if isinstance(loaded.error, ValidationError):
        raise InvalidParameters(report.name, loaded.error.messages) from loaded.error
    if loaded.error is not None:
        raise loaded.error
    if not isinstance(loaded.values, Mapping):
        raise ProviderFault(f"{report.name}: the parameters schema does not load a mapping")
    for application in loaded.applications:
        if not principal.may_read(application):
            raise UnknownApplication(application)
    return loaded.values


def _data(
    report: RegisteredReport, computed: _Computed, arguments: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The report data made of a result; they are checked unless the last ones were the same."""
    data: Mapping[str, Any]
    if not report.shares:
        data = computed.value
        return data
    data = report.data(computed.value, arguments)
    asked = (report.name, arguments)
    if computed.checked != asked:
        report.check(data)
        computed.checked = asked
    return data


def _days(values: Mapping[str, Any]) -> int | None:
    days = values.get("days")
    return days if type(days) is int else None
