"""Our own providers keep the contract; and the contract finds what is wrong with others."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from marshmallow import Schema, fields, pre_load
from sqlalchemy import func, select

from flask_powerauth_telemetry import ApplicationField, DaysField, ReportContext, ReportProvider
from flask_powerauth_telemetry.reports.across_applications import UsersAcrossApplications
from flask_powerauth_telemetry.reports.active_users import (
    CurrentMau,
    UsersByPastDays,
    UsersInPastDays,
)
from flask_powerauth_telemetry.reports.committed_users import CommittedUsersInPastDays
from flask_powerauth_telemetry.testing import (
    NOW,
    ContractDatabase,
    _service,
    contract_suite,
    report_data,
)

TestCurrentMau = contract_suite(CurrentMau())
TestUsersInPastDays = contract_suite(UsersInPastDays(), parameters={"days": "7"})
TestUsersAcrossApplications = contract_suite(
    UsersAcrossApplications(), parameters={"applications": ["retail", "corporate"]}
)
TestCommittedUsersInPastDays = contract_suite(CommittedUsersInPastDays())
TestUsersByPastDays = contract_suite(UsersByPastDays())


WRONG_PROVIDERS = """
import time
from marshmallow import Schema, fields
from sqlalchemy import func, select
from flask_powerauth_telemetry import ApplicationField, ReportProvider
from flask_powerauth_telemetry.testing import contract_suite

class Wrong(ReportProvider):
    name = "WRONG"
    definition = "A sentence without an end"
    parameters_schema = Schema.from_dict({"application": fields.String(required=False)})
    data_schema = Schema.from_dict({"users": fields.Integer(required=True)})

    def generate(self, context, application="retail"):
        activation = context.tables.pa_activation
        count = context.connection.scalar(select(func.count()).select_from(activation))
        return {"users": time.monotonic_ns() if count else None}

TestWrong = contract_suite(Wrong())
"""


WRONG_COMPUTATIONS = """
from marshmallow import Schema, fields
from sqlalchemy import func, select
from flask_powerauth_telemetry import ApplicationField, Computation, DaysField, ReportProvider
from flask_powerauth_telemetry.testing import contract_suite

class Uneven(ReportProvider):
    name = "UNEVEN"
    definition = "Activations of the application."
    parameters_schema = Schema.from_dict({"application": ApplicationField()})
    data_schema = Schema.from_dict({"activations": fields.Integer(required=True)})
    tables = ("pa_application", "pa_activation")

    def computations(self, application):
        def run(context):
            column = context.tables.pa_activation.c
            wanted = column.application_id == context.application(application).id
            return context.connection.scalar(select(func.count()).where(wanted))

        return [*self.keyed(application, run)]

    def report_data(self, result, application):
        return {"activations": result}

class OtherData(Uneven):
    def keyed(self, application, run):
        yield Computation(("activations", application), run)
        yield Computation(("more activations", application), lambda context: run(context) + 1)

class OtherKeys(Uneven):
    def keyed(self, application, run):
        yield Computation(("activations", application, run), run)

class OneKey(Uneven):
    def keyed(self, application, run):
        yield Computation(("activations", application), run)
        yield Computation(("activations", application), run)

class NoKey(Uneven):
    def keyed(self, application, run):
        return ()

class Emptied(Uneven):
    def keyed(self, application, run):
        yield Computation(("activations", application), lambda context: [run(context)])

    def report_data(self, result, application):
        return {"activations": result.pop() if result else 0}

class ShortKey(Uneven):
    def keyed(self, application, run):
        yield Computation(("activations",), run)

class NoDays(Uneven):
    parameters_schema = Schema.from_dict(
        {"application": ApplicationField(), "days": DaysField(load_default=30)}
    )

    def computations(self, application, days):
        return [Computation(("activations", application), lambda context: days)]

    def report_data(self, result, application, days):
        return {"activations": result}

TestShortKey = contract_suite(ShortKey())
TestNoDays = contract_suite(NoDays())
TestEmptied = contract_suite(Emptied())
TestOtherData = contract_suite(OtherData())
TestOtherKeys = contract_suite(OtherKeys())
TestOneKey = contract_suite(OneKey())
TestNoKey = contract_suite(NoKey())
"""


def failures(pytester: pytest.Pytester, *options: str) -> list[tuple[str, str]]:
    """The class and the name of each test that fails."""
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)
    failed = [line for line in result.outlines if line.startswith("FAILED")]
    return [(line.split("::")[1], line.split("::")[2].split(" ")[0]) for line in failed]


def test_contract_finds_faults_of_computations(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_wrong=WRONG_COMPUTATIONS)

    found = failures(pytester, "-k", "test_every_computation_gives_the_same_data")

    assert {kind for kind, _ in found} == {
        "TestEmptied",
        "TestOtherData",
        "TestOtherKeys",
        "TestOneKey",
        "TestNoKey",
    }


def test_contract_finds_a_key_that_names_too_little(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_wrong=WRONG_COMPUTATIONS)

    found = failures(pytester, "-k", "test_keeps_results_for_those_alone_who_ask_the_same")

    assert {kind for kind, _ in found} == {"TestShortKey", "TestNoDays"}


def test_contract_finds_faults(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_wrong=WRONG_PROVIDERS)

    failed = {test for _, test in failures(pytester)}

    assert failed == {
        "test_definition_is_one_sentence",
        "test_gives_the_same_data_at_the_same_instant",
        "test_gives_data_when_nothing_was_ever_used",
        "test_leaves_unknown_parameters_out",
        "test_reads_only_the_tables_it_names",
    }


class SeveralSchema(Schema):
    applications = fields.List(ApplicationField(), required=True)


class Several(ReportProvider):
    """Takes a list of applications, which the contract can't guess."""

    name = "SEVERAL"
    definition = "The ids of applications."
    parameters_schema = SeveralSchema
    data_schema = Schema.from_dict({"ids": fields.List(fields.Integer(), required=True)})
    tables = ("pa_application",)

    def generate(self, context: ReportContext, applications: list[str]) -> Mapping[str, Any]:
        return {"ids": [context.application(name).id for name in applications]}


TestSeveral = contract_suite(Several(), parameters={"applications": ["retail", "corporate"]})


class AddingSchema(Schema):
    """Its hook changes what it is given, as those of marshmallow's own manual do."""

    keys = fields.List(fields.String(), required=True)

    @pre_load
    def add(self, given: dict[str, Any], **_: Any) -> dict[str, Any]:
        if given.get("keys"):
            given["keys"].append("b")
        return given


class Adding(ReportProvider):
    """Counts the keys that a hook adds to."""

    name = "ADDING"
    definition = "A number of keys."
    parameters_schema = AddingSchema
    data_schema = Schema.from_dict({"keys": fields.Integer(required=True)})

    def generate(self, context: ReportContext, keys: list[str]) -> Mapping[str, Any]:
        return {"keys": len(keys)}


TestAdding = contract_suite(Adding(), parameters={"keys": ["a"]})


def test_parameters_of_an_author_stay_as_they_are() -> None:
    parameters = {"keys": ["a"]}
    for _ in range(2):
        assert report_data(Adding(), parameters, {}) == {"keys": 2}
    assert parameters == {"keys": ["a"]}


class Couples(ReportProvider):
    """Reads a table by an alias, labels a column like a table, and looks at a week at most."""

    name = "COUPLES"
    definition = "Pairs of activations of a user."
    parameters_schema = Schema.from_dict(
        {
            "application": ApplicationField(),
            "days": DaysField(maximum=7),
            "platform": fields.String(required=True, allow_none=True),
        }
    )
    data_schema = Schema.from_dict({"couples": fields.Integer(required=True)})
    tables: Mapping[str, Collection[str]] = {
        "pa_application": ("id", "name"),
        "pa_activation": ("application_id", "user_id", "activation_id"),
    }

    def generate(
        self, context: ReportContext, application: str, days: int, platform: str | None
    ) -> Mapping[str, Any]:
        one = context.tables.pa_activation
        other = one.alias()
        couples = (
            select(one.c.activation_id.label("pa_first"), other.c.activation_id)
            .join(other, one.c.user_id == other.c.user_id)
            .where(one.c.application_id == context.application(application).id)
            .subquery("pa_couples")
        )
        return {"couples": context.connection.scalar(select(func.count()).select_from(couples))}


TestCouples = contract_suite(Couples(), parameters={"platform": None})


class FewerColumns(Couples):
    tables: Mapping[str, Collection[str]] = {
        "pa_application": ("id", "name"),
        "pa_activation": ("application_id", "user_id"),
    }


def test_column_that_is_not_named_is_found(tmp_path: Path) -> None:
    database = ContractDatabase(tmp_path / "powerauth.sqlite")
    contract = contract_suite(FewerColumns(), parameters={"platform": None})()
    with pytest.raises(AssertionError, match="more columns of pa_activation"):
        contract.test_reads_only_the_tables_it_names(
            _service(FewerColumns(), database, NOW), database
        )
    database.close()
