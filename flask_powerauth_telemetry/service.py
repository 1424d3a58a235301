"""From a report's name and raw parameters to the report; no Flask up to here."""

import logging
from collections.abc import Hashable, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marshmallow import EXCLUDE, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.clock import Clock, ageing_clock, read_clock, system_clock
from flask_powerauth_telemetry.computation import Computations
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.database.errors import fault_of
from flask_powerauth_telemetry.exceptions import (
    InvalidParameters,
    ProviderFault,
    UnknownApplication,
)
from flask_powerauth_telemetry.fields import loaded_applications
from flask_powerauth_telemetry.monitoring.events import Asked, Observer, ReportRun
from flask_powerauth_telemetry.parts import TaskParts
from flask_powerauth_telemetry.places import Task
from flask_powerauth_telemetry.providers import RECORDED, ReportContext
from flask_powerauth_telemetry.registry import RegisteredReport, ReportRegistry
from flask_powerauth_telemetry.schemas import encode

logger = logging.getLogger("flask_powerauth_telemetry.service")


@dataclass(frozen=True)
class Report:
    """A report: its name, and its data as JSON can carry them.

    ``as_of`` is the aware UTC instant that the data hold for, ``age_seconds`` the time since then.
    ``kept`` tells that they, or a part of them, were computed before this was asked. ``source``
    is ``live``, or ``recorded`` for data that were recorded beforehand.
    """

    name: str
    data: Mapping[str, Any]
    as_of: datetime
    age_seconds: float
    kept: bool
    source: str


@dataclass(frozen=True)
class _Computed:
    data: Mapping[str, Any]
    now: datetime
    as_of: datetime
    source: str


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
        asked = Asked(name, principal.name)
        try:
            report = self._run(asked, parameters, principal)
        except Exception as error:
            self._tell(asked.failed(error))
            raise
        self._tell(
            asked.answered(report.data, as_of=report.as_of, source=report.source, kept=report.kept)
        )
        return report

    def _tell(self, run: ReportRun) -> None:
        if self._observer is None:
            return
        try:
            self._observer(run)
        except Exception:
            logger.exception("An observer of reports failed")

    def _run(self, asked: Asked, parameters: Mapping[str, Any], principal: Principal) -> Report:
        report = self._registry.get(asked.report)
        asked.report, asked.known = report.name, True
        asked.arguments = _load_parameters(report, parameters, principal, asked)
        computed, kept = self._computed(report, asked.arguments)
        return Report(
            name=report.name,
            data=computed.data,
            as_of=computed.as_of,
            age_seconds=max(0.0, (read_clock(self._clock) - computed.as_of).total_seconds()),
            kept=kept or computed.as_of < computed.now or computed.source == RECORDED,
            source=computed.source,
        )

    def _computed(
        self, report: RegisteredReport, arguments: Mapping[str, Any]
    ) -> tuple[_Computed, bool]:
        provider = report.provider
        database = self._databases[report.bind]
        keep = self._keep_seconds if provider.keep_seconds is None else provider.keep_seconds
        computed: _Computed
        computed, kept = self._computations.result(
            (report.name, _frozen(arguments)),
            lambda task: self._compute(report, arguments, database, task),
            keep_seconds=keep,
            limit=database.time_limit,
        )
        return computed, kept

    def _compute(
        self,
        report: RegisteredReport,
        arguments: Mapping[str, Any],
        database: Database,
        task: Task,
    ) -> _Computed:
        sharing = TaskParts(self._computations, task)
        try:
            with ReportContext(database, read_clock(self._clock), sharing) as context:
                data = report.provider.generate(context, **arguments)
        except SQLAlchemyError as error:
            raise fault_of(error) from error
        return _Computed(_dump_data(report, data), context.now, context.as_of, context.source)


def _frozen(value: Any) -> Hashable:
    """A key that two parameters share only if they are the same, of the same types."""
    if isinstance(value, Mapping):
        return tuple(sorted((key, _frozen(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return _Unique()
    return type(value), value


class _Unique:
    """Equal to nothing else: stands for a value that can't be compared."""


def _load_parameters(
    report: RegisteredReport, parameters: Mapping[str, Any], principal: Principal, asked: Asked
) -> Mapping[str, Any]:
    with loaded_applications() as applications:
        asked.applications = applications
        try:
            loaded = report.parameters_schema.load(parameters, unknown=EXCLUDE)
        except ValidationError as error:
            raise InvalidParameters(report.name, error.messages) from error
    if not isinstance(loaded, Mapping):
        raise ProviderFault(f"{report.name}: the parameters schema does not load a mapping")
    for application in applications:
        if not principal.may_read(application):
            raise UnknownApplication(application)
    return loaded


def _dump_data(report: RegisteredReport, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The report data as its schema gives them; refused if they don't load again or are no JSON."""
    try:
        dumped: Mapping[str, Any] = report.data_schema.dump(data)
        report.data_schema.load(dumped, unknown=EXCLUDE)
        encode(dumped)
    except (ValidationError, TypeError, ValueError, AttributeError) as error:
        raise ProviderFault(f"{report.name}: its data don't fit its schema: {error}") from error
    return dumped
