"""Checks of reports: whether each one would answer, for each application."""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

from marshmallow import fields, validate
from sqlalchemy import CompoundSelect, Connection, Integer, Select, event, literal_column, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.visitors import iterate

from flask_powerauth_telemetry.cli.checks.databases import GRANT, NOT_COPIED, history_cure
from flask_powerauth_telemetry.cli.checks.findings import Finding, Target, cause_of
from flask_powerauth_telemetry.cli.instance import OPERATOR
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.database.connection import Database, InterruptBy
from flask_powerauth_telemetry.database.dialects.base import MISSING_COLUMN, OTHER_TYPE
from flask_powerauth_telemetry.exceptions import (
    InvalidParameters,
    ProviderFault,
    TelemetryError,
    TooSlow,
    Unavailable,
)
from flask_powerauth_telemetry.fields import ApplicationField, DaysField, by_key
from flask_powerauth_telemetry.registry import RegisteredReport
from flask_powerauth_telemetry.reports.calendar import DayField, Month, MonthField, day_of
from flask_powerauth_telemetry.service import ReportService, read_clock

ANSWER_SECONDS = 5.0
"""How long a report may take that is asked for no row."""

# Unlike false(), it leaves the other conditions, and so their columns, in the statement.
_NO_ROW = literal_column("0", Integer) == literal_column("1", Integer)
_MOST_NAMES = 5


def check_answers(target: Target) -> Iterator[Finding]:
    """Whether each report of this database would answer, for each application.

    They are asked as a caller asks, for no row of what activity is kept in.
    """
    reports = target.reports
    if not reports:
        return
    names = target.application_names()
    if not names:
        yield target.warning("there is no application", NOT_COPIED)
    inquiry = _Inquiry(target, names)
    for report in reports:
        yield from inquiry.findings(report)


class _Inquiry:
    """Asks reports of one database, with the least that they take."""

    def __init__(self, target: Target, names: Sequence[str]) -> None:
        self._target = target
        self._names = names
        self._today = day_of(read_clock(target.state.clock), target.state.config.report_timezone)
        seconds = min(target.database.time_limit, ANSWER_SECONDS)
        made = {**vars(target.database), "statement_timeout": seconds}
        state = target.state
        self._services = [
            ReportService(state.registry, {**state.databases, target.bind: database}, state.clock)
            for database in (_WithoutRows(**made), Database(**made))
        ]

    def findings(self, report: RegisteredReport) -> Iterator[Finding]:
        """One for all applications that it answers, and one for each cause of a failure."""
        failed: dict[Finding, list[str]] = {}
        asked: dict[str, Finding | None] = {}
        for start, name in enumerate(self._names):
            names = [*self._names[start:], *self._names[:start]]
            parameters = example_parameters(report, names, self._today, 1)
            key = repr(parameters)  # of a report without an application they are the same
            if key not in asked:
                asked[key] = self._failure(report, parameters)
            if failure := asked[key]:
                failed.setdefault(failure, []).append(name)
        answered = sorted({*self._names}.difference(*failed.values()))
        if answered:
            text = f"{report.name} finds all that it reads, for {_listed(answered)}"
            yield self._target.ok(text, report=report.name, applications=answered)
        for failure, refused in failed.items():
            message = f"{report.name} {failure.message}, for {_listed(refused)}"
            facts = {"report": report.name, "applications": refused}
            yield replace(failure, message=message, facts=facts)

    def _failure(self, report: RegisteredReport, parameters: Mapping[str, Any]) -> Finding | None:
        """Why the report has no answer, in words behind its name."""
        for service in self._services:
            try:
                service.run(report.name, parameters, OPERATOR)
            except Exception as error:
                failure = self._judge(report, error)
                # A provider may want a row: then it is given those that there are.
                if isinstance(error, TelemetryError) and not isinstance(error, ProviderFault):
                    return failure
            else:
                return None
        return failure

    def _judge(self, report: RegisteredReport, error: Exception) -> Finding:
        cause = cause_of(error)
        if isinstance(error, InvalidParameters):
            cure = "Give each of its parameters an example: metadata={'examples': [...]}"
            return self._target.note(f"is not asked ({cause})", cure)
        if isinstance(error, TooSlow) and self._target.database.time_limit > ANSWER_SECONDS:
            seconds = f"{ANSWER_SECONDS:g} s"
            text = f"has no answer after {seconds}, so it is not known whether it has one"
            cure = f"Ask it: flask telemetry report {report.name}"
            return self._target.warning(text, cure)
        if isinstance(error, TelemetryError):
            text = f"would answer {error.status}: {cause}"
        else:
            text = f"would answer 500: {type(error).__name__}: {cause}"
        return self._target.error(text, self._cure(report, error))

    def _cure(self, report: RegisteredReport, error: Exception) -> str:
        if isinstance(error, ProviderFault) or not isinstance(error, TelemetryError):
            return f"Mend its provider, {type(report.provider).__qualname__}"
        if self._target.bind == HISTORY_BIND and not isinstance(error.__cause__, SQLAlchemyError):
            return history_cure(error)
        return refusal_cure(self._target, error, _grant(self._target, report.provider.tables))


class _WithoutRows(Database):
    """A database of which no row is read but those of applications.

    What a statement names must be there and readable, or it is refused as it would be with rows.
    Statements that are text alone, or name tables of their own, run as they are.
    """

    @contextmanager
    def connect(self, *arguments: InterruptBy) -> Iterator[Connection]:
        """As that of any database."""
        with super().connect(*arguments) as connection:
            event.listen(connection, "before_execute", self._emptied, retval=True)
            yield connection

    def _emptied(self, _: Connection, statement: Any, *others: Any) -> tuple[Any, Any, Any]:
        multiple, parameters, _options = others
        large = {*self.tables.metadata.sorted_tables} - {self.tables.pa_application}
        is_query = isinstance(statement, Select | CompoundSelect)
        if is_query and any(part in large for part in iterate(statement)):
            query = statement if isinstance(statement, Select) else select(statement.subquery())
            statement = query.where(_NO_ROW)
        return statement, multiple, parameters


def example_parameters(
    report: RegisteredReport, names: Sequence[str], today: date, days: int
) -> Mapping[str, Any]:
    """Parameters that a report takes, for the first of the applications.

    What has a default, or no example, is left out.
    """
    known = by_key(report.parameters_schema.load_fields)
    examples = {key: _example(field, names, today, days) for key, field in known.items()}
    return {key: example for key, example in examples.items() if example is not None}


def _example(
    field: "fields.Field[Any]", names: Sequence[str], today: date, days: int
) -> str | int | Sequence[str] | None:
    if isinstance(field, ApplicationField):
        return names[0]
    if isinstance(field, DaysField):
        return days
    if isinstance(field, fields.List) and isinstance(field.inner, ApplicationField):
        return names[: lengths_of(field)[0]]
    if isinstance(field, DayField):
        return today.isoformat()
    examples = [str(Month.of(today))] if isinstance(field, MonthField) else []
    given = field.metadata.get("examples")
    examples += given if isinstance(given, list) else []
    return examples[0] if examples and field.required else None


def lengths_of(field: "fields.List[Any]") -> tuple[int, int]:
    """How many values a list takes at least, from 1, and at most."""
    lengths = [one for one in field.validators if isinstance(one, validate.Length)]
    fewest = max([1, *(one.min or one.equal or 1 for one in lengths)])
    return fewest, min([sys.maxsize, *(one.max or one.equal or sys.maxsize for one in lengths)])


def _grant(target: Target, tables: Collection[str]) -> str:
    """What to grant for a report that is refused: the columns of its tables that can't be read."""
    unreadable = []
    for name in tables:
        relation = getattr(target.database.tables, name, None)
        if relation is None or target.refusal_of(select(literal_column("1")).select_from(relation)):
            continue  # the line of the table tells it
        read = tables[name] if isinstance(tables, Mapping) else relation.c.keys()
        refused = [one for one in read if target.refusal_of(select(relation.c[one]))]
        if refused:
            unreadable.append(f"{relation.fullname} ({', '.join(refused)})")
    if not unreadable:
        return GRANT
    return f"Grant SELECT on what it reads of {', '.join(unreadable)}"


def refusal_cure(target: Target, error: TelemetryError, otherwise: str) -> str:
    """What to do about a statement that a database refuses."""
    if any(told in error.message for told in (MISSING_COLUMN, OTHER_TYPE)):
        return f"Correct the table, or map it to a view with {target.state.config.key('tables')}"
    if isinstance(error, Unavailable):
        return "See what holds this database up: a lock, or too many sessions"
    if "row-level security" in error.message:
        return (
            "Let this account read every row: ALTER ROLE ... BYPASSRLS, or map the table to a view"
            " of its owner's. A policy that leaves rows out would make each number too small"
        )
    return otherwise


def _listed(names: Collection[str]) -> str:
    first = ", ".join(sorted(names)[:_MOST_NAMES])
    return first + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
