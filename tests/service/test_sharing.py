"""What reports have in common, how long it is kept, and what its data are dated by."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from marshmallow import Schema, fields, post_load, pre_load
from sqlalchemy import func, select

from flask_powerauth_telemetry import (
    Computation,
    DaysField,
    ReportContext,
    ReportProvider,
    Result,
    Unavailable,
)
from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.database.connection import Database
from flask_powerauth_telemetry.exceptions import DatabaseFault, ProviderFault, TooSlow
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.reports.across_applications import UsersAcrossApplications
from flask_powerauth_telemetry.reports.active_users import (
    CurrentMau,
    UsersByPastDays,
    UsersInPastDays,
)
from flask_powerauth_telemetry.reports.new_users import NewUsersInPastDays
from flask_powerauth_telemetry.service import Report, ReportService
from flask_powerauth_telemetry.testing import NOW, ContractDatabase

ANYONE = Principal("anyone")
SECOND = timedelta(seconds=1)


class Month(NamedTuple):
    year: int
    month: int


class Version(NamedTuple):
    major: int
    minor: int


class Kind(Enum):
    DEVICE = 1
    SERVER = 2


class MovingClock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Doubled(ReportProvider):
    """Computes a number, and gives twice of it."""

    name = "DOUBLED"
    definition = "Twice a number."
    parameters_schema = Schema.from_dict({"days": DaysField(load_default=1)})
    data_schema = Schema.from_dict({"number": fields.Integer(required=True)})

    def __init__(self, run: Callable[[ReportContext], Any] = lambda _: 1) -> None:
        self.runs = 0
        self._run = run

    def computations(self, days: int) -> Sequence[Computation]:
        return [Computation(("number",), self.run)]

    def run(self, context: ReportContext) -> Any:
        self.runs += 1
        return self._run(context)

    def report_data(self, number: Any, days: int) -> Mapping[str, Any]:
        return {"number": 2 * number if days < 100 else None}


class Single(Doubled):
    """Gives the number itself."""

    name = "SINGLE"

    def report_data(self, number: Any, days: int) -> Mapping[str, Any]:
        return {"number": number}


class Simple(ReportProvider):
    """Generates the number."""

    name = "SIMPLE"
    definition = "A number."
    parameters_schema = Schema.from_dict({"key": fields.Raw(load_default=None)})
    data_schema = Schema.from_dict({"number": fields.Integer(required=True)})

    def __init__(self, run: Callable[[ReportContext], Any] = lambda _: {"number": 1}) -> None:
        self.runs = 0
        self._run = run

    def generate(self, context: ReportContext, key: object) -> Any:
        self.runs += 1
        return self._run(context)


class House:
    """A service with some reports, on a small database; and what runs there."""

    def __init__(self, database: ContractDatabase, keep: float, *providers: ReportProvider) -> None:
        registry = ReportRegistry()
        for provider in providers:
            registry.register(provider)
        self.clock = MovingClock()
        self.statements = database.statements
        self.source = database.read_only()
        self.service = ReportService(registry, {None: self.source}, self.clock, keep_seconds=keep)

    def run(self, name: str, **parameters: Any) -> Report:
        return self.service.run(name, parameters, ANYONE)

    def passes(self, table: str = "pa_activation") -> int:
        """The passes over a table since the last time that this was asked."""
        found = sum(f"FROM {table}" in statement for statement in self.statements)
        self.statements.clear()
        return found


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ContractDatabase]:
    database = ContractDatabase(tmp_path / "powerauth.sqlite")
    yield database
    database.close()


def test_documented_reports_share_one_pass(database: ContractDatabase) -> None:
    house = House(database, 60, CurrentMau(), UsersInPastDays(), UsersByPastDays())
    curve = house.run("USERS_BY_PAST_DAYS", application="retail")
    assert house.passes() == 1
    for days in (1, 30, 31, 365):
        report = house.run("USERS_IN_PAST_DAYS", application="retail", days=days)
        assert (report.data["users"], report.kept) == (curve.data["users"][days - 1], True)
    assert house.run("CURRENT_MAU", application="retail").data["users"] > 0
    assert house.statements == []


def test_new_users_of_every_window_are_one_pass(database: ContractDatabase) -> None:
    house = House(database, 60, NewUsersInPastDays())
    reports = [
        house.run("NEW_USERS_IN_PAST_DAYS", application="retail", days=days).data
        for days in (365, 7, 200)
    ]
    assert house.passes() == 1
    assert [len(report["usersByDay"]) for report in reports] == [365, 7, 200]


def test_order_of_applications_does_not_matter(database: ContractDatabase) -> None:
    house = House(database, 60, UsersAcrossApplications())
    one, other = (
        house.run("USERS_ACROSS_APPLICATIONS", applications=names, days=90).data
        for names in (["retail", "corporate"], ["corporate", "retail"])
    )
    assert house.passes() == 1
    assert one["applications"] == ["retail", "corporate"] == other["applications"][::-1]
    assert one["overlaps"][0]["applications"] == ["retail", "corporate"]
    assert other["overlaps"][0]["applications"] == ["corporate", "retail"]
    assert one["usersByApplication"] == other["usersByApplication"]
    assert list(other["usersByApplication"]) == ["corporate", "retail"]


def test_unknown_names_push_out_no_profile(database: ContractDatabase) -> None:
    house = House(database, 60, CurrentMau(strict_application=False))
    house.run("CURRENT_MAU", application="retail")
    for number in range(1_100):
        unknown = house.run("CURRENT_MAU", application=f"nowhere-{number}")
        assert (unknown.data["users"], unknown.kept) == (0, False)
    house.statements.clear()
    assert house.run("CURRENT_MAU", application="retail").kept
    assert house.statements == []


def test_windows_push_out_nothing(database: ContractDatabase) -> None:
    house = House(database, 60, UsersInPastDays(), Single())
    house.run("SINGLE")
    for days in range(365, 0, -1):
        house.run("USERS_IN_PAST_DAYS", application="retail", days=days)
    assert len(house.service._computations._kept._entries) == 2


def test_strangers_reports_share_a_computation(database: ContractDatabase) -> None:
    doubled, single = Doubled(lambda _: 21), Single()
    house = House(database, 60, doubled, single)

    assert (house.run("DOUBLED").data, house.run("SINGLE").data) == ({"number": 42}, {"number": 21})
    assert (doubled.runs, single.runs) == (1, 0)


def test_generated_reports_share_nothing_with_others(database: ContractDatabase) -> None:
    class Other(Simple):
        name = "OTHER"

    house = House(database, 60, Simple(), Other(lambda _: {"number": 2}))
    numbers = [house.run(name).data["number"] for name in ("SIMPLE", "OTHER", "SIMPLE")]

    assert numbers == [1, 2, 1]


@pytest.mark.parametrize(("own", "kept_for"), [(None, 60), (10, 10), (90, 90), (0, 0)])
@pytest.mark.parametrize("kind", [Doubled, Simple])
def test_provider_says_how_long_its_results_are_kept(
    database: ContractDatabase, kind: type[Doubled | Simple], own: float | None, kept_for: float
) -> None:
    provider = kind()
    provider.keep_seconds = own
    house = House(database, 60, provider)

    assert not house.run(provider.name).kept
    if kept_for:
        house.clock.now += (kept_for - 1) * SECOND
        assert house.run(provider.name).kept
        house.clock.now += 2 * SECOND
    assert not house.run(provider.name).kept
    assert provider.runs == 2


def test_report_is_given_nothing_older_than_it_may_be(database: ContractDatabase) -> None:
    doubled, single = Doubled(), Single()
    single.keep_seconds = 10
    house = House(database, 60, doubled, single)
    house.run("DOUBLED")
    house.clock.now += 9 * SECOND
    assert house.run("SINGLE").kept
    house.clock.now += 2 * SECOND
    assert not house.run("SINGLE").kept
    assert house.run("DOUBLED").age_seconds == 0


@pytest.mark.parametrize("kind", [Doubled, Simple])
def test_result_tells_its_instant_source_and_how_long_it_is_good(
    database: ContractDatabase, kind: type[Doubled | Simple]
) -> None:
    as_of = NOW - 100 * SECOND
    value: Any = 1 if kind is Doubled else {"number": 1}
    elsewhere = as_of.astimezone(timezone(timedelta(hours=-3)))
    provider = kind(lambda _: Result(value, elsewhere, "recorded", keep_seconds=5))
    house = House(database, 60, provider)
    for age, runs in ((100, 1), (104, 1), (106, 2)):
        house.clock.now = as_of + age * SECOND
        report = house.run(provider.name)
        assert (report.as_of, report.age_seconds, report.source) == (as_of, age, "recorded")
        assert report.as_of.tzinfo is UTC
        assert report.kept
        assert provider.runs == runs


def given(result: Result, _: ReportContext) -> Result:
    return result


@pytest.mark.parametrize(
    "facts",
    [
        *({"as_of": time} for time in (datetime(2026, 1, 1), date(2026, 1, 1), "2026-01-01")),
        *({"source": source} for source in ("Recorded", None)),
        *({"keep_seconds": seconds} for seconds in (None, SECOND, "10", float("nan"))),
    ],
)
def test_facts_that_make_no_sense_are_refused(facts: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"aware|live|a number of seconds"):
        Result(1, **facts)


def test_what_was_recorded_just_now_was_computed_before_too(database: ContractDatabase) -> None:
    result = Result({"number": 1}, source="recorded")
    report = House(database, 60, Simple(partial(given, result))).run("SIMPLE")
    assert (report.as_of, report.source, report.kept) == (NOW, "recorded", True)


def test_live_result_of_an_earlier_instant_was_computed_before(
    database: ContractDatabase,
) -> None:
    earlier = NOW - SECOND
    for as_of, kept in ((earlier, True), (NOW, False), (None, False), (NOW + SECOND, False)):
        result = Result({"number": 1}, as_of)
        report = House(database, 0, Simple(partial(given, result))).run("SIMPLE")
        assert (report.kept, report.source) == (kept, "live")
        assert report.as_of == min(as_of or NOW, NOW)


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), Unavailable("down"), TooSlow("57014"), DatabaseFault("42P01"), OSError("gone")],
)
@pytest.mark.parametrize("kind", [Doubled, Simple])
def test_failure_is_no_second_attempt(
    database: ContractDatabase, kind: type[Doubled | Simple], error: Exception
) -> None:
    def fail(_: ReportContext) -> Any:
        raise error

    provider = kind(fail)
    house = House(database, 60, provider)
    with pytest.raises(type(error)):
        house.run(provider.name)
    assert provider.runs == 1


def test_data_that_the_schema_refuses_are_refused_of_kept_results_too(
    database: ContractDatabase,
) -> None:
    house = House(database, 60, Doubled())
    for days in (1, 2, 1):
        assert house.run("DOUBLED", days=days).data == {"number": 2}
    for _ in range(2):
        with pytest.raises(ProviderFault, match="DOUBLED: its data don't fit its schema"):
            house.run("DOUBLED", days=200)
    assert house.run("DOUBLED", days=1).data == {"number": 2}


def test_data_that_the_schema_refuses_are_not_kept(database: ContractDatabase) -> None:
    given: Iterator[Any] = iter([{}, {"number": float("nan")}, {"number": "x"}, {"number": 7}])
    house = House(database, 60, Simple(lambda _: next(given)))
    for _ in range(3):
        with pytest.raises(ProviderFault, match="SIMPLE: its data don't fit its schema"):
            house.run("SIMPLE")
    assert house.run("SIMPLE").data == {"number": 7}


@pytest.mark.parametrize("given", [None, [], "", 0, [{"number": 7}], Result({"number": 7})])
def test_what_is_no_mapping_is_not_taken_for_data_without_members(
    database: ContractDatabase, given: Any
) -> None:
    class Shared(Single):
        data_schema = Schema.from_dict({"number": fields.Integer()})

        def report_data(self, number: Any, days: int) -> Any:
            return given

    class Generated(Simple):
        data_schema = Shared.data_schema

    house = House(database, 60, Shared(), Generated(lambda _: Result(given)))
    for name in ("SINGLE", "SIMPLE"):
        with pytest.raises(ProviderFault, match=f"{name}: its data don't fit its schema: they are"):
            house.run(name)


@pytest.mark.parametrize("given", [iter([7]), (n for n in [7]), map(int, "7"), Result(iter([]))])
def test_result_that_can_be_read_once_only_is_given_to_nobody(
    database: ContractDatabase, given: Any
) -> None:
    class Once(Single):
        def report_data(self, numbers: Any, days: int) -> Any:
            return {"number": sum(numbers)}

    house = House(database, 60, Once(lambda _: given))
    for _ in range(2):
        with pytest.raises(ProviderFault, match=r"SINGLE: its result is a .*, make it a list"):
            house.run("SINGLE")


@dataclass(slots=True)
class Held:
    numbers: Any


@pytest.mark.parametrize(
    "held", [{"numbers": iter([7])}, [(iter([7]),)], Held(iter([7])), SimpleNamespace(a=iter([7]))]
)
def test_result_that_holds_what_can_be_read_once_only_is_given_to_nobody(
    database: ContractDatabase, held: Any
) -> None:
    house = House(database, 60, Single(lambda _: held))
    for _ in range(2):
        with pytest.raises(ProviderFault, match="its result holds a list_iterator, make it"):
            house.run("SINGLE")


def test_data_that_are_no_json_are_refused(database: ContractDatabase) -> None:
    class Raw(Simple):
        name = "RAW"
        data_schema = Schema.from_dict({"number": fields.Raw(required=True)})

    given: Iterator[Any] = iter([float("nan"), {1}, object()])
    house = House(database, 60, Raw(lambda _: {"number": next(given)}))
    for _ in range(3):
        with pytest.raises(ProviderFault, match="RAW: its data don't fit its schema"):
            house.run("RAW")


def test_name_that_would_stand_twice_in_an_object_is_refused(database: ContractDatabase) -> None:
    class Keyed(Simple):
        data_schema = Schema.from_dict({"number": fields.Dict(required=True)})

    given: Iterator[Any] = iter([{1: 4, "1": 5}, {None: 4, "null": 5}, {1: 4, 2: 5}])
    house = House(database, 60, Keyed(lambda _: {"number": next(given)}))
    for _ in range(2):
        with pytest.raises(ProviderFault, match="two members of an object have one name"):
            house.run("SIMPLE")
    assert house.run("SIMPLE").data == {"number": {"1": 4, "2": 5}}


class ChangingHooks(Schema):
    """Its hooks change what they are given, as those of marshmallow's own manual do."""

    number = fields.Integer(required=True)
    parts = fields.List(fields.Raw(), required=True)

    @pre_load
    def count(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        data["number"] += 1
        return data

    @post_load
    def empty(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        data["parts"][0].clear()
        return data


def test_data_are_changed_neither_by_a_schema_nor_by_their_provider_later(
    database: ContractDatabase,
) -> None:
    parts = [["ios"]]
    own = {"number": 7, "parts": parts}

    class Shared(Single):
        data_schema = ChangingHooks
        pure = True

        def report_data(self, number: Any, days: int) -> Any:
            return own

    class Generated(Simple):
        data_schema = ChangingHooks

    house = House(database, 60, Shared(), Generated(lambda _: own))
    expected = {"number": 7, "parts": [["ios"]]}
    assert [house.run(name).data for name in ("SINGLE", "SIMPLE")] == [expected] * 2
    parts[0].append("android")
    assert [house.run(name).data for name in ("SINGLE", "SIMPLE")] == [expected] * 2


def test_rows_of_a_connection_are_no_result(database: ContractDatabase) -> None:
    house = House(database, 60, Single(lambda context: context.connection.execute(select(1))))
    with pytest.raises(ProviderFault, match="CursorResult, make it a list"):
        house.run("SINGLE")


def test_clock_that_is_set_to_and_fro_leaves_no_result_of_its_future(
    database: ContractDatabase,
) -> None:
    house = House(database, 60, Simple(lambda context: {"number": context.now.day}))
    house.clock.now += timedelta(days=1)
    assert house.run("SIMPLE").data == {"number": NOW.day + 1}
    house.clock.now -= timedelta(days=1)
    assert house.run("SIMPLE").data == {"number": NOW.day}


def test_too_slow_is_forgotten_when_the_clock_is_set_right(database: ContractDatabase) -> None:
    def run(context: ReportContext) -> Mapping[str, Any]:
        if context.now > NOW:
            raise TooSlow("slow")
        return {"number": 1}

    house = House(database, 60, Simple(run))
    house.clock.now += timedelta(days=1)
    with pytest.raises(TooSlow):
        house.run("SIMPLE")
    house.clock.now -= timedelta(days=1)
    assert house.run("SIMPLE").data == {"number": 1}


def test_no_computation_is_a_fault(database: ContractDatabase) -> None:
    class Nothing(Doubled):
        name = "NOTHING"

        def computations(self, days: int) -> Sequence[Computation]:
            return []

    with pytest.raises(ProviderFault, match="NOTHING: it names no computation"):
        House(database, 60, Nothing()).run("NOTHING")


def test_parameters_that_are_alike_but_not_the_same_share_nothing(
    database: ContractDatabase,
) -> None:
    provider = Simple()
    house = House(database, 60, provider)
    noon = datetime(2026, 11, 25, 12, tzinfo=UTC)
    different = [1, True, 1.0, "1", [1], {"a": 1}, {"a": [1]}, None, 0.0, -0.0, Decimal("1.0")]
    different += [[], {}, {"a": []}, {"a": {}}, Month(2026, 11), Version(2026, 11), [2026, 11]]
    different += [Decimal("1.00"), noon, noon.astimezone(timezone(timedelta(hours=14)))]
    different += [{key: 1} for key in different if not isinstance(key, list | dict)]
    different += [{"a": 1, "b": 1}, {"a": 1, 1: 1}, dict.fromkeys(Kind)]
    for key in different * 2:
        house.run("SIMPLE", key=key)
    assert provider.runs == len(different)


def test_parameters_that_can_not_be_compared_share_nothing(database: ContractDatabase) -> None:
    provider = Simple()
    house = House(database, 60, provider)
    for _ in range(2):
        house.run("SIMPLE", key={1, 2})
    assert provider.runs == 2


def test_connection_is_given_back_and_what_failed_heals(database: ContractDatabase) -> None:
    def run(context: ReportContext) -> Mapping[str, Any]:
        table = context.tables.pa_application
        if house.clock.now == NOW:
            context.connection.execute(select(table.c.name + 1).where(table.c["name"] > func.no()))
        return {"number": context.connection.scalar(select(func.count()).select_from(table))}

    house = House(database, 60, Simple(run))
    with pytest.raises(DatabaseFault, match="no such function: no"):
        house.run("SIMPLE")
    house.clock.now += SECOND
    assert house.run("SIMPLE").data == {"number": 2}
    assert pool_is_idle(house.source)


def test_result_that_asks_the_database_later_is_a_fault(database: ContractDatabase) -> None:
    class Lazy(Single):
        def report_data(self, number: Any, days: int) -> Mapping[str, Any]:
            return {"number": number()}

    house = House(database, 60, Lazy(lambda context: lambda: context.connection.scalar(select(1))))
    with pytest.raises(ProviderFault, match="it uses its context after the computation"):
        house.run("SINGLE")
    assert pool_is_idle(house.source)


def pool_is_idle(database: Database) -> bool:
    return "Current Checked out connections: 0" in database.engine().pool.status()
