"""``flask telemetry statement``: a month on one page."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import click
from markupsafe import Markup, escape
from marshmallow import ValidationError

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.cli.instance import Failed, on_instance
from flask_powerauth_telemetry.cli.waiting import waiting_shown
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import TelemetryError, Unavailable
from flask_powerauth_telemetry.history.chain import Head
from flask_powerauth_telemetry.history.statement import (
    DAILY,
    USERS,
    VERIFICATIONS,
    Ask,
    Statement,
    add_reports,
)
from flask_powerauth_telemetry.history.statement_text import paragraphs, title_of
from flask_powerauth_telemetry.history.store import HistoryStore
from flask_powerauth_telemetry.reports.calendar import Month, MonthField
from flask_powerauth_telemetry.service import ReportService
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.tabular import as_csv
from flask_powerauth_telemetry.text import printable

_OPERATOR = Principal("operator")
_TRIES = 100
"""How often a report is asked for again that takes more than one try."""

_BOUNDED, _UNKNOWN = 1, 2
"""Exit codes of a month whose users are not known."""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
@page {{ margin: 15mm; }}
body {{ background: #fff; color: #000; font: 10pt/1.35 sans-serif; }}
body {{ margin: 2em auto; max-width: 44em; overflow-wrap: anywhere; }}
h1 {{ font-size: 14pt; }}
dt {{ font-weight: bold; margin-top: 0.7em; break-after: avoid; }}
dd {{ margin: 0; }}
@media print {{ body {{ margin: 0; max-width: none; }} }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def _read_month(context: click.Context, parameter: click.Parameter, value: str) -> Month:
    try:
        return cast(Month, MonthField().deserialize(value))
    except ValidationError as error:
        raise click.BadParameter(str(error.messages[0])) from error


@click.command()
@click.option("--application", required=True, metavar="NAME", help="The application's name.")
@click.option("--month", required=True, metavar="YYYY-MM", callback=_read_month, help="The month.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV, a line.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page to be printed to this file, too.",
)
@on_instance
def statement(
    state: TelemetryState, *, application: str, month: Month, form: str | None, page: Path | None
) -> None:
    """Print all that is known of a month of an application, and what is missing.

    It is made of the reports USERS_IN_MONTH, MAU_HISTORY and SIGNATURES_IN_MONTH, as far as they
    are switched on, whatever the scopes say.

    Exit codes: 0 the users of the month are known, 1 only bounds are, 2 nothing is, or it failed.
    """
    try:
        with waiting_shown("statement"):
            ask = _asked_for_again(state.service.unobserved())
            made = make_statement(state, application, month, ask)
    except TelemetryError as error:
        raise Failed(error.message) from error
    click.echo(_printed(made, form), nl=False)
    if page is not None:
        _write(page, html_of(made))
    if not made.is_known:
        raise click.exceptions.Exit(_BOUNDED if made.is_bounded else _UNKNOWN)


def _asked_for_again(service: ReportService) -> Ask:
    """Asks a report once more at once while it takes more than one try."""

    def ask(report: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(_TRIES):
            try:
                return service.run(report, parameters, _OPERATOR).data
            except Unavailable as error:
                if error.retry_after > 1:
                    raise
        return service.run(report, parameters, _OPERATOR).data

    return ask


def make_statement(state: TelemetryState, application: str, month: Month, ask: Ask) -> Statement:
    """The statement of a month, out of the reports that ``ask`` gives and the history.

    Raises ``UnknownApplication``, and ``TelemetryError`` for a month that has not begun.
    """
    zone = state.config.report_timezone
    made = Statement(
        application=application,
        month=str(month),
        zone=str(zone),
        computed_at=state.clock().astimezone(zone),
        version=version("flask-powerauth-telemetry"),
        definitions={
            report.name: report.definition
            for report in state.registry
            if report.name in (USERS, DAILY, VERIFICATIONS)
        },
        head=_head(state),
    )
    add_reports(made, month, ask)
    return made


def _head(state: TelemetryState) -> Head | None:
    """The end of the history's chain, None where there is no history to be read."""
    if HISTORY_BIND not in state.databases:
        return None
    store = HistoryStore.from_config(state.config)
    try:
        with state.databases[HISTORY_BIND].connect() as connection:
            store.check(connection)
            return store.head(connection)
    except TelemetryError:
        return None


def _printed(made: Statement, form: str | None) -> str:
    if form == "json":
        return json.dumps(made.as_dict(), indent=2) + "\n"
    if form == "csv":
        return as_csv(_without_lists(made.as_dict()))
    lines = [printable(title_of(made))]
    for heading, texts in _grouped(made):
        lines += ["", f"{heading}:", *(f"  {printable(text)}" for text in texts)]
    return "\n".join(lines) + "\n"


def html_of(made: Statement) -> str:
    """The statement as a page of its own, without a script, to be printed on one sheet."""
    return _PAGE.format(title=escape(printable(title_of(made))), body=body_of(made))


def body_of(made: Statement) -> Markup:
    """What a page shows of the statement: its title, and a list of what it says."""
    said = Markup("\n").join(
        Markup("<dt>{}</dt>").format(heading)
        + Markup("").join(Markup("<dd>{}</dd>").format(printable(text)) for text in texts)
        for heading, texts in _grouped(made)
    )
    title = printable(title_of(made))
    return Markup("<h1>{}</h1>\n<dl>\n{}\n</dl>").format(title, said)


def _grouped(made: Statement) -> Iterator[tuple[str, Sequence[str]]]:
    for heading, group in groupby(paragraphs(made), key=lambda one: one[0]):
        yield heading, [text for _, text in group]


def _without_lists(data: Mapping[str, Any]) -> dict[str, Any]:
    """What fits into one line: texts of a list are joined, other lists are left out."""
    kept: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            kept[key] = _without_lists(value)
        elif not isinstance(value, list):
            kept[key] = value
        elif key == "missing":
            kept[key] = " ".join(value)
    return kept


def _write(page: Path, text: str) -> None:
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failed(f"{page}: {error.strerror}") from error
