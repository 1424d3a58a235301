"""What an author tests a report provider with: its contract in one line, its numbers in a few.

In a test module of the author's::

    from flask_powerauth_telemetry.testing import NOW, contract_suite, report_data

    TestActiveDevices = contract_suite(ActiveDevices(), parameters={"days": 30})


    def test_counts_active_devices():
        rows = {"pa_activation": [{"application_id": 1, "timestamp_last_used": NOW}]}
        data = report_data(ActiveDevices(), {"application": "retail", "days": 30}, rows)
        assert data["devices"] == 1

The provider runs as the service runs it, on an SQLite database of its own with the applications
``retail`` (id 1) and ``corporate`` (id 2). Needs pytest.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from marshmallow import fields
from sqlalchemy import NullPool, create_engine, event, insert, make_url

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.database.connection import Database, always
from flask_powerauth_telemetry.database.engine import create_read_only_engine
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.exceptions import (
    InvalidParameters,
    TelemetryError,
    UnknownApplication,
)
from flask_powerauth_telemetry.fields import ApplicationField, DaysField, by_key, load_parameters
from flask_powerauth_telemetry.providers import ReportContext, ReportProvider, Result
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.service import ReportService

NOW = datetime(2026, 6, 15, 9, 30, tzinfo=UTC)
"""The instant that the tests run at."""

Rows = Mapping[str, Iterable[Mapping[str, Any]]]
"""The rows of each table: values by column."""

_ZONE = timezone(timedelta(hours=5, minutes=30))
"""The zone of the database's clock: not UTC, so that a time that is not sent through it shows."""

_APPLICATIONS: Rows = {
    "pa_application": [{"id": 1, "name": "retail"}, {"id": 2, "name": "corporate"}]
}
_ANYONE = Principal("anyone")
_NOBODY = Principal("nobody", applications=frozenset())


def contract_suite(
    provider: ReportProvider, parameters: Mapping[str, Any] | None = None
) -> type["ReportProviderContract"]:
    """A test class for a provider; assign it to a name that starts with ``Test``.

    ``parameters`` are an example that the report accepts. An ``ApplicationField`` that is left
    out is given ``retail``, a ``DaysField`` 30, or its maximum if that is less.
    """
    return type(
        "ReportProviderContract",
        (ReportProviderContract,),
        {"provider": provider, "example": parameters or {}},
    )


def report_data(
    provider: ReportProvider, parameters: Mapping[str, Any], rows: Rows, *, now: datetime = NOW
) -> Mapping[str, Any]:
    """The report data that a provider gives at an aware ``now``, of a database with these rows.

    An aware time is written as PowerAuth would write it, by a clock five and a half hours ahead of
    UTC; columns that are left out are null. The applications are there, unless ``rows`` names
    others. Raises what the service raises, and ``ValueError`` for an unknown column.
    """
    with TemporaryDirectory() as folder:
        database = ContractDatabase(Path(folder) / "powerauth.sqlite", rows)
        try:
            service = _service(provider, database, now)
            return service.run(provider.name, parameters, _ANYONE).data
        finally:
            database.close()


class ReportProviderContract:
    """The tests; made for one provider by ``contract_suite``."""

    provider: ReportProvider
    example: Mapping[str, Any]

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator["ContractDatabase"]:
        """An SQLite database with every table that reports may read."""
        database = ContractDatabase(tmp_path / "powerauth.sqlite")
        yield database
        database.close()

    @pytest.fixture
    def service(self, database: "ContractDatabase") -> ReportService:
        """The service, with this provider alone."""
        return _service(self.provider, database, NOW)

    def test_definition_is_one_sentence(self) -> None:
        definition = self.provider.definition
        assert definition.endswith("."), "the definition is no sentence"
        assert definition == " ".join(definition.split()), "the definition has stray blanks"

    def test_gives_data_that_fit_the_schema_and_json(self, service: ReportService) -> None:
        service.run(self.provider.name, self._parameters(), _ANYONE)

    def test_gives_the_same_data_at_the_same_instant(self, database: "ContractDatabase") -> None:
        # A service each: it would keep the result of the first run.
        services = [_service(self.provider, database, NOW) for _ in range(2)]
        first, second = (
            service.run(self.provider.name, self._parameters(), _ANYONE).data
            for service in services
        )
        assert first == second, "the data differ at one instant"

    def test_gives_data_when_nothing_was_ever_used(
        self, service: ReportService, database: "ContractDatabase"
    ) -> None:
        database.forget_activity()
        service.run(self.provider.name, self._parameters(), _ANYONE)

    def test_leaves_unknown_parameters_out(self, service: ReportService) -> None:
        parameters = self._parameters()
        plain = service.run(self.provider.name, parameters, _ANYONE)
        more = service.run(self.provider.name, {**parameters, "no such": 1}, _ANYONE)
        assert more.data == plain.data, "an unknown parameter changes the data"

    def test_refuses_required_parameters_that_are_missing_or_null(
        self, service: ReportService
    ) -> None:
        for key, field in self._fields().items():
            if field.required:
                parameters = self._parameters()
                del parameters[key]
                self._refused(service, parameters, key)
                if not field.allow_none:
                    self._refused(service, {**parameters, key: None}, key)

    def test_refuses_an_unknown_application(self, service: ReportService) -> None:
        for parameters in self._with_application("no such application"):
            with pytest.raises(UnknownApplication):
                service.run(self.provider.name, parameters, _ANYONE)

    def test_answers_out_of_scope_as_unknown_without_a_query(
        self, service: ReportService, database: "ContractDatabase"
    ) -> None:
        for parameters in self._with_application("retail"):
            with pytest.raises(UnknownApplication):
                service.run(self.provider.name, parameters, _NOBODY)
        assert not database.statements, "a query tells what is out of scope"

    def test_reads_only_the_tables_it_names(
        self, service: ReportService, database: "ContractDatabase"
    ) -> None:
        service.run(self.provider.name, self._parameters(), _ANYONE)
        named = self.provider.tables
        for table, columns in database.read.items():
            assert table in named, f"it reads more than its tables: {table}"
            more = columns.difference(named[table]) if isinstance(named, Mapping) else ()
            assert not more, f"it reads more columns of {table} than it names: {more}"

    def test_every_computation_gives_the_same_data(self, database: "ContractDatabase") -> None:
        report = ReportRegistry().register(self.provider)
        if not report.shares:
            return
        source = database.read_only()
        parameters = load_parameters(report.parameters_schema, self._parameters()).values
        computations = self.provider.computations(**parameters)
        keys = [one.key for one in computations]
        assert keys, "it names no computation"
        assert len({*keys}) == len(keys), "two computations have one key"
        same = [one.key for one in self.provider.computations(**parameters)]
        assert same == keys, "the keys differ for the same parameters, so nothing is shared"
        for one in computations:
            with ReportContext(source, NOW) as context:
                given = one.run(context)
            result = given.value if isinstance(given, Result) else given
            data = report.data(result, parameters)
            again = report.data(result, parameters)
            assert again == data, "report_data changes the result, which others are given too"
            if one is computations[0]:
                narrowest = data
            assert data == narrowest, f"{one.key} gives other data than {keys[0]}"

    def test_keeps_results_for_those_alone_who_ask_the_same(
        self, database: "ContractDatabase"
    ) -> None:
        if not ReportRegistry().register(self.provider).shares:
            return
        keeping = _service(self.provider, database, NOW, keep_seconds=60)
        for parameters in self._different():
            fresh = _service(self.provider, database, NOW)
            try:
                own = fresh.run(self.provider.name, parameters, _ANYONE).data
            except TelemetryError:  # not every provider takes all of them
                continue
            given = keeping.run(self.provider.name, parameters, _ANYONE).data
            assert given == own, f"a key names less than its result depends on: {parameters}"

    def test_writes_nothing(self, service: ReportService, database: "ContractDatabase") -> None:
        before = database.path.read_bytes()
        service.run(self.provider.name, self._parameters(), _ANYONE)
        assert database.path.read_bytes() == before, "it has written"

    def _fields(self) -> Mapping[str, Any]:
        return by_key(ReportRegistry().register(self.provider).parameters_schema.load_fields)

    def _parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {}
        for key, field in self._fields().items():
            if field.required and isinstance(field, ApplicationField):
                parameters[key] = "retail"
            elif field.required and isinstance(field, DaysField):
                parameters[key] = min(30, field.maximum)
        return {**parameters, **self.example}

    def _with_application(self, name: str) -> Iterator[dict[str, Any]]:
        for key, field in self._fields().items():
            if isinstance(field, ApplicationField):
                yield {**self._parameters(), key: name}
            elif isinstance(field, fields.List) and isinstance(field.inner, ApplicationField):
                given = self._parameters().get(key, ())
                yield {**self._parameters(), key: [name, *given[1:]]}

    def _different(self) -> Iterator[dict[str, Any]]:
        yield self._parameters()
        yield from self._with_application("corporate")
        for key, field in self._fields().items():
            if isinstance(field, DaysField):
                yield {**self._parameters(), key: 1}

    def _refused(self, service: ReportService, parameters: dict[str, Any], key: str) -> None:
        with pytest.raises(InvalidParameters) as refused:
            service.run(self.provider.name, parameters, _ANYONE)
        assert key in refused.value.message, "the error does not name the parameter"


def _service(
    provider: ReportProvider, database: "ContractDatabase", now: datetime, keep_seconds: float = 0
) -> ReportService:
    registry = ReportRegistry()
    registry.register(provider)
    databases: Mapping[str | None, Database] = {provider.bind: database.read_only()}
    return ReportService(registry, databases, lambda: now, keep_seconds=keep_seconds)


class ContractDatabase:
    """A small PowerAuth database in an SQLite file.

    Without ``rows``, 40 users of ``retail`` (id 1) and ``corporate`` (id 2) with one to three
    activations of every status, last used from now to 400 days ago, and an audit record, an
    operation and a history record for each. ``statements`` are those that reports sent to it,
    ``read`` the columns that they read, by table.
    """

    def __init__(self, path: Path, rows: Rows | None = None) -> None:
        self.path = path
        self.statements: list[str] = []
        self.read: defaultdict[str, set[str]] = defaultdict(set)
        self._tables = PowerAuthTables()
        self._owner = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        self._tables.metadata.create_all(self._owner)
        self._fill(_example() if rows is None else rows)
        self._reader = create_read_only_engine(make_url(f"sqlite:///{path}"), {})
        event.listen(
            self._reader, "before_cursor_execute", lambda *given: self.statements.append(given[2])
        )
        event.listen(self._reader, "connect", lambda driver, _: driver.set_authorizer(self._note))

    def read_only(self) -> Database:
        """The database as the service sees it."""
        return Database(
            engine=always(self._reader),
            timezone=_ZONE,
            tables=self._tables,
            statement_timeout=20,
            ours=True,
        )

    def forget_activity(self) -> None:
        """Empty every table but that of the applications."""
        with self._owner.begin() as connection:
            for table in self._tables.metadata.sorted_tables:
                if table.name != "pa_application":
                    connection.execute(table.delete())

    def close(self) -> None:
        """Close the connections."""
        self._reader.dispose()

    def _note(self, action: int, table: str, column: str, *_: object) -> int:
        """Note what SQLite is about to read: names in a statement may be aliases and labels."""
        if action == sqlite3.SQLITE_READ and table in self._tables.metadata.tables:
            self.read[table] |= {column} - {""}
        return sqlite3.SQLITE_OK

    def _fill(self, rows: Rows) -> None:
        with self._owner.begin() as connection:
            for name, given in {**_APPLICATIONS, **rows}.items():
                table = getattr(self._tables, name)
                nulls = dict.fromkeys(table.columns.keys())
                filled = [nulls | {key: _written(row[key]) for key in row} for row in given]
                for row in filled:
                    if unknown := row.keys() - nulls.keys():
                        raise ValueError(f"{name} has no column {', '.join(sorted(unknown))}")
                if filled:
                    connection.execute(insert(table), filled)


def _written(value: Any) -> Any:
    """What the database holds of a value: an aware time is one of its clock."""
    is_aware = isinstance(value, datetime) and value.tzinfo is not None
    return value.astimezone(_ZONE).replace(tzinfo=None) if is_aware else value


def _example() -> Rows:
    rows = [_rows(number) for number in range(80)]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _rows(number: int) -> dict[str, dict[str, Any]]:
    """One activation and what belongs to it, by table."""
    used = NOW - timedelta(days=number * 5, hours=number)
    key = f"00000000-0000-0000-0000-{number:012}"
    common = {"activation_id": key, "timestamp_created": used}
    status = 1 + number % 5
    return {
        "pa_activation": common
        | {
            "application_id": 1 + number % 3 // 2,
            "user_id": f"user-{number % 40}",
            "activation_status": status,
            "platform": ("ios", "android", None)[number % 3],
            "protocol": ("powerauth", "fido2")[number % 2],
            "timestamp_last_used": used,
        },
        "pa_activation_history": common | {"id": number, "activation_status": status},
        "pa_signature_audit": common
        | {"id": number, "valid": number % 4 > 0, "signature_type": "possession_knowledge"},
        "pa_operation": {
            "id": key,
            "user_id": f"user-{number % 40}",
            "status": 1 + number % 6,
            "template_name": "login",
            "timestamp_created": used,
            "timestamp_finalized": used,
        },
        "pa_operation_application": {"application_id": 1 + number % 3 // 2, "operation_id": key},
    }
