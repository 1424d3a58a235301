"""From a report's name and raw parameters to the report; no Flask up to here."""

import logging
import time
from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from marshmallow import ValidationError

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.computation import Computations, Compute, Perishable, Task, read_once
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.exceptions import (
    InvalidParameters,
    ProviderFault,
    ServerFault,
    TelemetryError,
    UnknownApplication,
)
from flask_powerauth_telemetry.fields import load_parameters
from flask_powerauth_telemetry.providers import RECORDED, Computation, ReportContext, Result
from flask_powerauth_telemetry.registry import RegisteredReport, ReportRegistry
from flask_powerauth_telemetry.text import shortened

logger = logging.getLogger("flask_powerauth_telemetry.service")

Clock = Callable[[], datetime]
"""Gives the time now, aware."""

system_clock: Clock = partial(datetime.now, UTC)
"""The time now, aware, in UTC."""

_REPORT_LENGTH = 64
_QUESTIONS = 128
_QUESTION_LENGTH = 512


# Named tuples are made several times faster than frozen data classes, for each answer.
class Report(NamedTuple):
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


class ReportRun(NamedTuple):
    """The facts of one run of a report, answered or failed, for those who watch.

    ``report`` is the name as it is registered, or else (``known`` False) as it was asked for,
    shortened. ``applications`` are the names asked for, in scope or not, ``days`` is the window,
    from the parameters or else from the report data. ``seconds`` is how long the caller waited.
    A failure has the class of its ``error`` and the ``code`` of the answer, and no ``as_of``
    (aware, UTC), ``source`` ("live" or "recorded") or ``data``. ``kept`` is True when the data
    were computed before. ``database`` is the name of the one that failed.
    """

    report: str
    known: bool
    principal: str
    applications: tuple[str, ...] = ()
    days: int | None = None
    seconds: float = 0.0
    status: int = 200
    code: str | None = None
    error: str | None = None
    as_of: datetime | None = None
    source: str | None = None
    kept: bool = False
    data: Mapping[str, Any] | None = None
    database: str | None = None


class Asked(NamedTuple):
    """What is known of a run that is under way, as in ``ReportRun``.

    ``database`` is the name of the one that it reads.
    """

    report: str
    principal: str
    applications: tuple[str, ...]
    days: int | None
    database: str


under_way: ContextVar[Asked | None] = ContextVar("under_way", default=None)
"""The run that is under way, in its computation too."""

Observer = Callable[[ReportRun], None]


@dataclass(frozen=True, eq=False)
class _Computed:
    """The value of a result, and its facts; ``before`` tells that it holds for an earlier time."""

    value: Any
    as_of: datetime
    source: str
    before: bool


class _Question:
    """A report with its parameters, as a caller sent them, and what has been made of them.

    ``applications`` are all that are named, ``days`` is the window if there is one, ``error`` what
    loading the parameters raised.
    """

    def __init__(self, report: RegisteredReport, parameters: Mapping[str, Any]) -> None:
        self.report = report
        loaded = load_parameters(report.parameters_schema, parameters)
        self.applications, self.error = loaded.applications, loaded.error
        self.days = _days(loaded.values)
        self._arguments = loaded.values
        self._choices: Mapping[Hashable, Compute] | None = None
        self._answered: tuple[_Computed, Mapping[str, Any]] | None = None

    @property
    def is_constant(self) -> bool:
        """Whether no provider can change what was loaded, as it can change a list."""
        return isinstance(self._arguments, Mapping) and all(
            one is None or isinstance(one, str | int | float) for one in self._arguments.values()
        )

    def check(self, principal: Principal) -> None:
        """Raise what is wrong with the parameters, or that one is out of the caller's scope."""
        if isinstance(self.error, ValidationError):
            raise InvalidParameters(self.report.name, self.error.messages) from self.error
        if self.error is not None:
            raise self.error
        if not isinstance(self._arguments, Mapping):
            raise ProviderFault(f"{self.report.name}: the parameters schema loads no mapping")
        for application in self.applications:
            if not principal.may_read(application):
                raise UnknownApplication(application)

    def choices(
        self, compute: Callable[["_Question", Computation, Task], Perishable]
    ) -> Mapping[Hashable, Compute]:
        """The computations that may answer, by their keys."""
        if self._choices is None:
            self._choices = {
                (self.report.bind, one.key): partial(compute, self, one)
                for one in self.report.computations(self._arguments)
            }
            if not self._choices:
                raise ProviderFault(f"{self.report.name}: it names no computation")
        return self._choices

    def data(self, computed: _Computed) -> Mapping[str, Any]:
        """The report data made of a result, checked; the same ones while the result is."""
        if not self.report.shares:
            data: Mapping[str, Any] = computed.value
            return data
        answered = self._answered  # another thread may replace it meanwhile
        if answered is None or answered[0] is not computed:
            answered = computed, self.report.data(computed.value, self._arguments)
            self._answered = answered
        return answered[1]


class ReportService:
    """Runs the registered reports.

    ``databases`` holds the database of each bind, the main one under None. ``clock`` gives the
    time now as an aware datetime. Results are kept for ``keep_seconds``, unless a provider says
    otherwise, and ``cache_size`` of them; ``max_waiting`` callers may wait for one, 0 for no limit.
    ``observer`` is told the facts of each run, on the caller's thread.
    """

    def __init__(
        self,
        registry: ReportRegistry,
        databases: Mapping[str | None, Database],
        clock: Clock = system_clock,
        *,
        keep_seconds: float = 0,
        cache_size: int = 1024,
        max_waiting: int = 0,
        observer: Observer | None = None,
    ) -> None:
        self._registry = registry
        self._databases = databases
        self._clock = clock
        self._computations = Computations(
            size=cache_size, max_waiting=max_waiting, clock=_ageing_clock(clock)
        )
        self._keep_seconds = keep_seconds
        self._observer = observer
        self._questions: dict[tuple[str, str], _Question] = {}

    def unobserved(self) -> "ReportService":
        """The same reports and kept results, but nobody is told of the runs."""
        service = copy(self)
        service._observer = None
        return service

    @property
    def waiting(self) -> int:
        """How many callers wait for a result now."""
        return self._computations.waiting

    def run(self, name: str, parameters: Mapping[str, Any], principal: Principal) -> Report:
        """The report called ``name``, as of now or a short while ago.

        Raises ``UnknownReport``; ``InvalidParameters``; ``UnknownApplication``, also for one out
        of the principal's scope; ``Unavailable`` or ``DatabaseFault`` for the database's faults;
        ``ProviderFault`` and whatever else a provider raises.
        """
        started = time.perf_counter()
        known: dict[str, Any] = {"report": name, "known": False}
        try:
            registered = self._registry.get(name)
            question = self._question(registered, parameters)
            named = question.applications
            known = {"report": registered.name, "known": True, "applications": named}
            question.check(principal)
            known["days"] = question.days
            report = self._report(question, principal)
        except Exception as error:
            if not known["known"]:
                known["report"] = shortened(name, _REPORT_LENGTH)
            self._tell(principal, started, **known, **_failure(error))
            raise
        if question.days is None:
            known["days"] = _days(report.data)
        self._tell(
            principal,
            started,
            **known,
            as_of=report.as_of,
            source=report.source,
            kept=report.kept,
            data=report.data,
        )
        return report

    def _question(self, report: RegisteredReport, parameters: Mapping[str, Any]) -> _Question:
        """What is asked; if it depends on nothing else, as it was made when it was asked before."""
        # The text of what JSON can hold tells 1 from True and from "1".
        text = repr(parameters) if report.provider.pure else ""
        if not 0 < len(text) <= _QUESTION_LENGTH:
            return _Question(report, parameters)
        key = (report.name, text)
        question = self._questions.get(key)
        if question is None:
            question = _Question(report, parameters)
            if len(self._questions) >= _QUESTIONS:
                self._questions.clear()
            if question.error is None and question.is_constant:
                self._questions[key] = question
        return question

    def _tell(self, principal: Principal, started: float, **facts: Any) -> None:
        """Tell the observer the facts of a run that began at a time of ``perf_counter``."""
        if self._observer is None:
            return
        seconds = time.perf_counter() - started
        try:
            self._observer(ReportRun(principal=principal.name, seconds=seconds, **facts))
        except Exception:
            logger.exception("An observer of reports failed")

    def _report(self, question: _Question, principal: Principal) -> Report:
        report = question.report
        keep = report.provider.keep_seconds
        database = self._databases[report.bind]
        asked = Asked(
            report.name, principal.name, question.applications, question.days, database.name
        )
        token = under_way.set(asked)
        computed: _Computed
        try:
            computed, kept = self._computations.result(
                question.choices(self._compute),
                keep_seconds=self._keep_seconds if keep is None else keep,
                limit=database.time_limit,
                caller=principal.name,
            )
        except TelemetryError as error:
            database.name_in(error)
            raise
        finally:
            under_way.reset(token)
        return Report(
            name=report.name,
            data=question.data(computed),
            as_of=computed.as_of,
            age_seconds=max(0.0, (read_clock(self._clock) - computed.as_of).total_seconds()),
            kept=kept or computed.before,
            source=computed.source,
        )

    def _compute(self, question: _Question, computation: Computation, task: Task) -> Perishable:
        database, now = self._databases[question.report.bind], read_clock(self._clock)
        with ReportContext(
            database,
            now,
            task.interrupt_by,
            question.applications,
            history=self._databases.get(HISTORY_BIND),
        ) as context:
            given = computation.run(context)
        result = given if isinstance(given, Result) else Result(given)
        once = read_once(result.value)
        if once is not None:  # the next caller would find nothing left in it
            what = f"{'is' if once is result.value else 'holds'} a {type(once).__name__}"
            raise ProviderFault(f"{question.report.name}: its result {what}, make it a list")
        as_of = min(result.as_of or now, now).astimezone(UTC)
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


def _ageing_clock(clock: Clock) -> Callable[[], float]:
    """The seconds by which results age; they never go back.

    Between two calls as many as have passed, or as many as ``clock`` was moved by, whichever are
    more: so a result never outlives a clock that is set, also to and fro, and still grows old by
    one that stands still.
    """
    read = time.monotonic(), clock(), 0.0

    def seconds() -> float:
        nonlocal read
        monotonic, shown, aged = read  # another thread may replace it meanwhile
        now = time.monotonic(), clock()
        aged += max(now[0] - monotonic, abs((now[1] - shown).total_seconds()))
        read = *now, aged
        return aged

    return seconds


def _failure(error: Exception) -> dict[str, Any]:
    """The facts of a run that raised; what is no ``TelemetryError`` is a fault."""
    known = error if isinstance(error, TelemetryError) else ServerFault()
    kind = type(error).__name__
    return {"status": known.status, "code": known.code, "error": kind, "database": known.database}


def _days(values: Any) -> int | None:
    days = values.get("days") if isinstance(values, Mapping) else None
    return days if type(days) is int else None
