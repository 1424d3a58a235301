"""The statement of a month in words: a sentence for each thing."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from markupsafe import Markup

from flask_powerauth_telemetry.history.statement import USERS, VERIFICATIONS, Statement, day_ranges
from flask_powerauth_telemetry.text import printable


def title_of(statement: Statement) -> str:
    """What the statement is of."""
    return f"Statement of {statement.month} for {statement.application}"


def paragraphs(statement: Statement) -> Iterator[tuple[str, str]]:
    """All that the statement says, in order: headings, which may come again, and sentences."""
    if statement.users is not None:
        yield "Users", _users(statement.users)
        yield "What was counted", statement.definitions[USERS]
        yield "Window", _window(statement.users, statement.zone)
    if statement.daily is not None and statement.daily["average"] is not None:
        yield "Users of 30 days", _daily(statement.daily)
    if statement.verifications is not None:
        yield "Verifications", _verifications(statement.verifications)
        if days := statement.verifications["recordedDays"]:
            yield "Verifications", _recorded(days)
        yield "What was counted", statement.definitions[VERIFICATIONS]
    for missing in statement.missing:
        yield "Missing", missing
    yield "Computed", f"At {statement.computed_at.isoformat()}, by version {statement.version}."
    if statement.head is not None:
        yield "Proof", f"The history that this was read from ends with: {statement.head}."
        yield "Check", f"flask telemetry snapshot --verify --expect '{statement.head}'"


def grouped(statement: Statement) -> Iterator[tuple[str, Sequence[str]]]:
    """The paragraphs of each heading that follow one another."""
    for heading, group in groupby(paragraphs(statement), key=itemgetter(0)):
        yield heading, [text for _, text in group]


def body_of(statement: Statement) -> Markup:
    """What a page shows of the statement: its title, and a list of what it says."""
    said = Markup("\n").join(
        Markup("<dt>{}</dt>").format(heading)
        + Markup("").join(Markup("<dd>{}</dd>").format(printable(text)) for text in texts)
        for heading, texts in grouped(statement)
    )
    title = printable(title_of(statement))
    return Markup("<h1>{}</h1>\n<dl>\n{}\n</dl>").format(title, said)


def _users(users: Mapping[str, Any]) -> str:
    if users["users"] is not None:
        late = users["secondsLate"]
        return (
            f"{users['users']:,} unique users were active, as recorded {abs(late):g} s"
            f" {'before' if late < 0 else 'after'} the end of the month."
        )
    lower, upper = users["lowerBound"], users["upperBound"]
    if lower is None and upper is None:
        return "The number of users is not known."
    least = f"at least {lower:,}" if lower is not None else ""
    most = f"at most {upper:,}" if upper is not None else ""
    bounds = " and ".join(filter(None, (least, most)))
    return f"The number of users is not known; it is {bounds}."


def _window(users: Mapping[str, Any], zone: str) -> str:
    left_out = users["hoursLeftOut"]
    told = ""
    if left_out > 0:
        told = f"; {left_out:g} h at the month's start is left out, as the clock was set back"
    if left_out < 0:
        told = f"; it begins {-left_out:g} h before the month, as the clock was set forward"
    return f"From {users['from']} to {users['to']}, by the calendar of {zone}{told}."


def _daily(daily: Mapping[str, Any]) -> str:
    days = len(daily["usersByDay"])
    return (
        f"{daily['average']:,.2f} on average and {daily['maximum']:,} at most, over"
        f" {days} recorded {'day' if days == 1 else 'days'} of the month,"
        f" each for the {daily['days']} days before."
    )


def _verifications(found: Mapping[str, Any]) -> str:
    least = "At least " if found["missing"] else ""
    return (
        f"{least}{found['total']:,} verifications, of which {found['valid']:,} were valid and"
        f" {found['invalid']:,} were not, from {found['from']} to {found['to']}."
    )


def _recorded(days: Sequence[Mapping[str, Any]]) -> str:
    """Which days of verifications were recorded, when, and by which rows."""
    rows = sorted(day["row"] for day in days)
    recorded = sorted(day["recordedAt"][:10] for day in days)
    several, row = ("1 day is", "row") if len(days) == 1 else (f"{len(days)} days are", "rows")
    return (
        f"{several} as recorded on {_ends(recorded)}, in {row} {_ends(rows)} of the history,"
        f" because the audit may hold less: {day_ranges([day['day'] for day in days])}."
    )


def _ends(values: Sequence[Any]) -> str:
    first, last = values[0], values[-1]
    return f"{first}" if first == last else f"{first} to {last}"
