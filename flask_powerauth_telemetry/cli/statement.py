"""``flask telemetry statement``: a month on one page."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click
from markupsafe import escape
from marshmallow import ValidationError

from flask_powerauth_telemetry.cli.instance import OPERATOR, Failed, on_instance, waiting_shown
from flask_powerauth_telemetry.exceptions import Unavailable
from flask_powerauth_telemetry.history.statement import REPORTS, Ask, Statement, make_statement
from flask_powerauth_telemetry.history.statement_text import body_of, grouped, title_of
from flask_powerauth_telemetry.reports.calendar import Month, MonthField
from flask_powerauth_telemetry.service import ReportService
from flask_powerauth_telemetry.state import TelemetryState
from flask_powerauth_telemetry.tabular import as_csv
from flask_powerauth_telemetry.text import printable

_TRIES = 100
"""How often a report is asked for again that takes more than one try."""

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
@media print {{ body {{ margin: 0; max-width: none; font-size: 9pt; }} }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def _month(text: str) -> Month:
    try:
        return cast(Month, MonthField().deserialize(text))
    except ValidationError as error:
        raise click.BadParameter(str(error.messages[0])) from error


@click.command()
@click.option("--application", required=True, metavar="NAME", help="The application's name.")
@click.option("--month", required=True, metavar="YYYY-MM", type=_month, help="The month.")
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

    Exit codes: 0 the users of the month are known, 1 only bounds are, or another report failed,
    2 nothing is, or it failed.
    """
    if not any(known.name in REPORTS for known in state.registry):
        key = state.config.key("reports")
        raise Failed(f"no report of it is switched on: add {', '.join(REPORTS)} to {key}")
    with waiting_shown("statement"):
        made = make_statement(
            application,
            month,
            _asked_for_again(state.service.unobserved()),
            config=state.config,
            registry=state.registry,
            databases=state.databases,
            clock=state.clock,
        )
    printed = _printed(made, form)
    click.echo(printed.encode() if form == "csv" else printed, nl=False)
    if page is not None:
        try:
            page.write_text(html_of(made), encoding="utf-8")
        except OSError as error:
            raise Failed(f"{page}: {error.strerror}") from error
    if not made.is_known:
        raise click.exceptions.Exit(1 if made.is_bounded else 2)


def _asked_for_again(service: ReportService) -> Ask:
    """Asks a report once more at once while it takes more than one try."""

    def ask(report: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(_TRIES):
            try:
                return service.run(report, parameters, OPERATOR).data
            except Unavailable as error:
                if error.retry_after > 1:
                    raise
        return service.run(report, parameters, OPERATOR).data

    return ask


def _printed(made: Statement, form: str | None) -> str:
    if form == "json":
        return json.dumps(made.as_dict(), indent=2) + "\n"
    if form == "csv":
        return as_csv(_without_lists(made.as_dict()))
    lines = [printable(title_of(made))]
    for heading, texts in grouped(made):
        lines += ["", f"{heading}:", *(f"  {printable(text)}" for text in texts)]
    return "\n".join(lines) + "\n"


def html_of(made: Statement) -> str:
    """The statement as a page of its own, without a script, to be printed on one sheet."""
    return _PAGE.format(title=escape(printable(title_of(made))), body=body_of(made))


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
