"""What our reports declare: the columns that they read, and what their data always have."""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from marshmallow import Schema, ValidationError

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.history.mau_history import MauHistory
from flask_powerauth_telemetry.history.signatures_in_month import (
    RecordedDaySchema,
    SignaturesInMonth,
)
from flask_powerauth_telemetry.history.source import RecordedReport
from flask_powerauth_telemetry.history.users_by_month import UsersByMonth
from flask_powerauth_telemetry.history.users_in_month import UsersInMonth
from flask_powerauth_telemetry.providers import ReportProvider
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.reports.across_applications import UsersAcrossApplications
from flask_powerauth_telemetry.reports.active_users import (
    CurrentMau,
    UsersByPastDays,
    UsersInPastDays,
)
from flask_powerauth_telemetry.reports.committed_users import CommittedUsersInPastDays
from flask_powerauth_telemetry.reports.new_users import NewUsersInPastDays
from flask_powerauth_telemetry.reports.signatures import SignaturesInPastDays
from flask_powerauth_telemetry.reports.users_by_status import UsersByStatus
from flask_powerauth_telemetry.schemas import encode
from flask_powerauth_telemetry.service import Report, ReportService
from flask_powerauth_telemetry.testing import NOW, ContractDatabase

WINDOW = {"application": "retail", "days": 200}
REPORTS: Mapping[ReportProvider, Mapping[str, Any]] = {
    CurrentMau(): {"application": "retail"},
    UsersInPastDays(): WINDOW,
    UsersByPastDays(): {"application": "retail"},
    UsersAcrossApplications(): {"applications": ["retail", "corporate"], "days": 200},
    CommittedUsersInPastDays(): WINDOW,
    NewUsersInPastDays(): WINDOW,
    SignaturesInPastDays(): WINDOW,
    SignaturesInMonth(): {"application": "retail", "month": f"{NOW:%Y-%m}"},
    UsersByStatus(): {"application": "retail"},
}
MAPS = frozenset({"usersByApplication", "usersByDay"})
"""Keys whose objects have the caller's words for keys."""

_COLUMN = re.compile(r"\b(pa_\w+)\.(\w+)")
each_report = pytest.mark.parametrize(
    ("provider", "parameters"), REPORTS.items(), ids=[provider.name for provider in REPORTS]
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ContractDatabase]:
    database = ContractDatabase(tmp_path / "powerauth.sqlite")
    yield database
    database.close()


def run(
    database: ContractDatabase, provider: ReportProvider, parameters: Mapping[str, Any]
) -> Report:
    registry = ReportRegistry()
    registry.register(provider)
    service = ReportService(registry, {None: database.read_only()}, lambda: NOW)
    return service.run(provider.name, parameters, Principal("anyone"))


@each_report
def test_tables_names_the_columns_that_statements_read(
    database: ContractDatabase, provider: ReportProvider, parameters: Mapping[str, Any]
) -> None:
    run(database, provider, parameters)

    read: dict[str, set[str]] = {}
    for statement in database.statements:
        for table, column in _COLUMN.findall(statement):
            read.setdefault(table, set()).add(column)
    assert isinstance(provider.tables, Mapping)
    declared = {table: set(columns) for table, columns in provider.tables.items()}
    assert declared == read


def places(data: Any) -> Iterator[tuple[Any, ...]]:
    """The way to each key of each object in report data, once for all objects of a list."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield (key,)
            if key not in MAPS:
                yield from ((key, *rest) for rest in places(value))
    elif isinstance(data, list) and data:
        yield from ((0, *rest) for rest in places(data[0]))


def refuses(schema: Schema, data: Any) -> bool:
    try:
        schema.load(data)
    except ValidationError:
        return True
    return False


@each_report
def test_nothing_of_the_data_may_be_left_out(
    database: ContractDatabase, provider: ReportProvider, parameters: Mapping[str, Any]
) -> None:
    data = run(database, provider, parameters).data
    assert_whole(ReportRegistry().register(provider).data_schema, data)


@pytest.mark.parametrize("provider", [MauHistory, UsersInMonth, UsersByMonth])
def test_nothing_of_the_data_of_a_recorded_report_may_be_left_out(
    provider: type[RecordedReport],
) -> None:
    """The data are those that the documentation shows."""
    schema = provider.data_schema
    assert isinstance(schema, type)
    assert_whole(schema(), documented_orders()[provider.name])


def test_nothing_of_a_recorded_day_may_be_left_out() -> None:
    day = {"day": "2026-10-02", "recordedAt": "2026-10-03T01:00:00+00:00", "row": 7}
    assert_whole(RecordedDaySchema(), day)


def assert_whole(schema: Schema, data: Any) -> None:
    """A schema takes data, and takes them without none of their keys."""
    assert not refuses(schema, data)

    ways = list(places(data))
    assert len(ways) >= len(data) >= 2
    for *way, key in ways:
        without = deepcopy(data)
        inner: Any = without
        for step in way:
            inner = inner[step]
        del inner[key]
        assert refuses(schema, without), (*way, key)


def documented_orders() -> Mapping[str, Any]:
    """The report data of each report in docs/reports.md, as they stand there."""
    page = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    answers = [block["responseObject"] for block in blocks if "responseObject" in block]
    return {answer["name"]: answer["reportData"] for answer in answers if "name" in answer}


def keys_in_order(data: Any) -> Any:
    """The keys of report data, and of the first of each list in them."""
    if isinstance(data, Mapping):
        return [(key, key not in MAPS and keys_in_order(value)) for key, value in data.items()]
    return keys_in_order(data[0]) if isinstance(data, list) and data else None


def test_keys_are_in_the_documented_order(database: ContractDatabase) -> None:
    documented = documented_orders()
    registry = ReportRegistry()
    for provider in REPORTS:
        registry.register(provider)
    service = ReportService(registry, {None: database.read_only()}, lambda: NOW)
    shown = {one: parameters for one, parameters in REPORTS.items() if one.name in documented}
    assert len(shown) >= 6
    for provider, parameters in shown.items():
        data = json.loads(encode(service.run(provider.name, parameters, Principal("any")).data))
        assert keys_in_order(data) == keys_in_order(documented[provider.name]), provider.name
