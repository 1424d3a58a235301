"""From a report's name and raw parameters to the report; no Flask up to here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from flask_powerauth_telemetry.credentials import Principal
from flask_powerauth_telemetry.database import Database
from flask_powerauth_telemetry.exceptions import (
    InvalidParameters,
    ProviderFault,
    UnknownApplication,
)
from flask_powerauth_telemetry.faults import fault_of
from flask_powerauth_telemetry.providers.base import ReportContext, ReportProvider
from flask_powerauth_telemetry.providers.fields import loaded_applications
from flask_powerauth_telemetry.registry import RegisteredReport, ReportRegistry

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Report:
    """A report: its name, its data as JSON can carry it, and the aware UTC instant it holds for."""

    name: str
    data: Mapping[str, Any]
    as_of: datetime


def system_clock() -> datetime:
    """The time now, aware, in UTC."""
    return datetime.now(UTC)


class ReportService:
    """Runs the registered reports.

    ``databases`` holds the database of each bind, the main one under None. ``clock`` gives the
    time now as an aware datetime.
    """

    def __init__(
        self,
        registry: ReportRegistry,
        databases: Mapping[str | None, Database],
        clock: Clock = system_clock,
    ) -> None:
        self._registry = registry
        self._databases = databases
        self._clock = clock

    def run(self, name: str, parameters: Mapping[str, Any], principal: Principal) -> Report:
        """The report called ``name``, as of now.

        Raises ``UnknownReport``; ``InvalidParameters``; ``UnknownApplication``, also for one out
        of the principal's scope; ``Unavailable`` or ``DatabaseFault`` for the database's faults;
        ``ProviderFault`` and whatever else a provider raises.
        """
        report = self._registry.get(name)
        arguments = _load_parameters(report, parameters, principal)
        now = self._now()
        data = self._generate(report.provider, arguments, now)
        return Report(name=report.name, data=_dump_data(report, data), as_of=now)

    def _now(self) -> datetime:
        now = self._clock()
        if now.tzinfo is None:
            raise ProviderFault("the clock gave a naive time, it must give an aware one")
        return now.astimezone(UTC)

    def _generate(
        self, provider: ReportProvider, arguments: Mapping[str, Any], now: datetime
    ) -> Mapping[str, Any]:
        try:
            with ReportContext(self._databases[provider.bind], now) as context:
                return provider.generate(context, **arguments)
        except SQLAlchemyError as error:
            raise fault_of(error) from error


def _load_parameters(
    report: RegisteredReport, parameters: Mapping[str, Any], principal: Principal
) -> Mapping[str, Any]:
    with loaded_applications() as applications:
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
    """The report data as the provider's schema gives them, refused if it would not load them."""
    try:
        dumped: Mapping[str, Any] = report.data_schema.dump(data)
        report.data_schema.load(dumped, unknown=EXCLUDE)
    except (ValidationError, TypeError, ValueError, AttributeError) as error:
        raise ProviderFault(f"{report.name}: its data don't fit its schema: {error}") from error
    return dumped
