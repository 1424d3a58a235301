"""The reports that can be asked for, by name."""

import re
import string
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError

from flask_powerauth_telemetry.exceptions import (
    InvalidProvider,
    ProviderFault,
    UnknownReport,
    class_path,
)
from flask_powerauth_telemetry.providers import Computation, ReportContext, ReportProvider, Result
from flask_powerauth_telemetry.schemas import DECODER, encode

ENTRY_POINT_GROUP = "flask_powerauth_telemetry.providers"

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
# Only ASCII letters fold: str.upper would also turn a dotless i into an I.
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


@dataclass(frozen=True)
class RegisteredReport:
    """A provider with its schemas made ready.

    ``bind`` is the database that it reads. ``shares`` tells that it names computations, which it
    may have in common with others.
    """

    provider: ReportProvider
    bind: str | None
    shares: bool
    parameters_schema: Schema
    data_schema: Schema

    @property
    def name(self) -> str:
        """The report's name on the wire."""
        return self.provider.name

    @property
    def definition(self) -> str:
        """What the report counts; empty where its author left that out."""
        return str(self.provider.definition or "")

    def computations(self, arguments: Mapping[str, Any]) -> Sequence[Computation]:
        """What may answer: the provider's own computations, or else that of its report data."""
        if self.shares:
            return self.provider.computations(**arguments)
        key = (self.name, _frozen(arguments))
        return [Computation(key, partial(self._generated, arguments))]

    def _generated(self, arguments: Mapping[str, Any], context: ReportContext) -> Result:
        given = self.provider.generate(context, **arguments)
        result = given if isinstance(given, Result) else Result(given)
        return replace(result, value=self._fitting(result.value))  # checked before they are kept

    def data(self, result: Any, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The report data made of a result of the provider's own computations.

        Raises ``ProviderFault`` for data that their schema doesn't take, or that are no JSON.
        """
        return self._fitting(self.provider.report_data(result, **arguments))

    def _fitting(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            # What has no such members would be dumped without them, as if there was nothing.
            if not isinstance(data, list if self.data_schema.many else Mapping):
                raise TypeError(f"they are a {type(data).__name__}")
            # As callers get them, and nobody else's: a provider may change its own objects later,
            # and a hook of the schema what it is given.
            text = encode(self.data_schema.dump(data))
            self.data_schema.load(DECODER.decode(text), unknown=EXCLUDE)
            fitting: Mapping[str, Any] = DECODER.decode(text)
            if encode(fitting) != text:
                raise ValueError("two members of an object have one name")
        except (ValidationError, TypeError, ValueError, AttributeError) as error:
            cause = f"{self.name}: its data don't fit its schema: {error}"
            raise ProviderFault(cause) from error
        return fitting


class ReportRegistry:
    """Reports by their names, without regard to ASCII case.

    ``binds`` are the databases that reports read in place of their provider's, by name.
    """

    def __init__(self, binds: Mapping[str, str] | None = None) -> None:
        self._binds = binds or {}
        self._reports: dict[str, RegisteredReport] = {}

    def __iter__(self) -> Iterator[RegisteredReport]:
        return iter(self._reports.values())

    def register(self, provider: ReportProvider) -> RegisteredReport:
        """Add a provider; raises ``InvalidProvider`` when its contract is not kept."""
        _check_declaration(provider)
        shares = _shares(provider)
        taken = self._reports.get(provider.name)
        if taken is not None:
            kind = type(taken.provider)
            by = "itself: register it once" if kind is type(provider) else class_path(kind)
            raise InvalidProvider(provider, f"has the name {provider.name}, taken by {by}")
        report = self._reports[provider.name] = RegisteredReport(
            provider,
            bind=self._binds.get(provider.name, provider.bind),
            shares=shares,
            parameters_schema=_schema(provider, "parameters_schema"),
            data_schema=_schema(provider, "data_schema"),
        )
        return report

    def get(self, name: str) -> RegisteredReport:
        """The report of this name; raises ``UnknownReport``."""
        try:
            return self._reports[name.translate(_UPPER)]
        except KeyError:
            raise UnknownReport(name) from None


def load_entry_points(names: Collection[str]) -> Iterator[ReportProvider]:
    """Instances of the providers that installed packages offer under these entry-point names.

    Raises ``LookupError`` for a name that no package offers, or several, and what loading a class
    raises.
    """
    if not names:
        return  # packages are not even looked for, which takes milliseconds
    offered = entry_points(group=ENTRY_POINT_GROUP)
    for name in names:
        # A package that is found twice on the path offers the same.
        found = {point.value: point for point in offered if point.name == name}
        if not found:
            known = ", ".join(sorted(offered.names)) or "none"
            raise LookupError(f"no installed package offers {name!r} (offered: {known})")
        if len(found) > 1:
            raise LookupError(f"several packages offer {name!r}: {', '.join(sorted(found))}")
        (point,) = found.values()
        yield point.load()()


def _frozen(value: Any) -> Hashable:
    """A key that two parameters share only if they are the same, of the same types."""
    if isinstance(value, Mapping):
        return type(value), frozenset((_frozen(key), _frozen(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value), *map(_frozen, value)
    try:
        hash(value)
    except TypeError:
        return object()  # equal to nothing else
    return type(value), value, repr(value)  # an instant in two zones is equal, and is not the same


def _check_declaration(provider: object) -> None:
    if isinstance(provider, type):
        raise InvalidProvider(provider, "is a class, register an instance of it")
    if not isinstance(provider, ReportProvider):
        raise InvalidProvider(provider, "is not a ReportProvider")
    name: object = provider.name
    if not isinstance(name, str) or not name:
        raise InvalidProvider(provider, "has no name")
    if not _NAME.fullmatch(name):
        raise InvalidProvider(
            provider, f"has the name {name!r}: use A to Z, digits and underscores, 64 at most"
        )
    keep: object = provider.keep_seconds
    if not (keep is None or (isinstance(keep, int | float) and keep >= 0)):
        raise InvalidProvider(provider, f"has {keep!r} as keep_seconds: set seconds, or None")
    tables: object = provider.tables
    for named in (tables, *(tables.values() if isinstance(tables, Mapping) else ())):
        if isinstance(named, str):  # it would be taken letter by letter
            raise InvalidProvider(provider, f"has text as tables: write ({named!r},)")
        if not isinstance(named, Collection):
            raise InvalidProvider(provider, f"has {named!r} as tables: name them in a tuple")


def _shares(provider: ReportProvider) -> bool:
    """Whether it has computations; raises ``InvalidProvider`` unless it has one way to answer."""
    kind = type(provider)
    generate, computations, report_data = (
        getattr(kind, name) is not getattr(ReportProvider, name)
        for name in ("generate", "computations", "report_data")
    )
    if computations != report_data or generate == computations:
        raise InvalidProvider(
            provider, "has to have either generate, or computations and report_data"
        )
    return computations


def _schema(provider: ReportProvider, attribute: str) -> Schema:
    schema: object = getattr(provider, attribute)
    if isinstance(schema, type):
        schema = schema()
    if not isinstance(schema, Schema):
        raise InvalidProvider(provider, f"has no {attribute}, set it to a marshmallow Schema")
    return schema
