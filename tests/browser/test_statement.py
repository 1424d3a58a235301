"""The statement of a month is printed on one page, of either size, with nothing cut off."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser

from flask_powerauth_telemetry.cli.statement import html_of
from flask_powerauth_telemetry.history import statement
from flask_powerauth_telemetry.history.chain import Head
from flask_powerauth_telemetry.history.mau_history import MauHistory
from flask_powerauth_telemetry.history.signatures_in_month import SignaturesInMonth
from flask_powerauth_telemetry.history.statement import Statement, add_reports
from flask_powerauth_telemetry.history.users_in_month import UsersInMonth
from flask_powerauth_telemetry.reports.calendar import Month
from tests.browser.conftest import Visit

LONGEST = Statement(
    application="Ω" * 255,
    month="2026-10",
    zone="America/Argentina/ComodRivadavia",
    computed_at=datetime(2026, 11, 25, 12, 0, 0, 123_456, tzinfo=UTC),
    version="0.1.0.dev1+abcdefgh",
    definitions={
        report.name: report.definition for report in (UsersInMonth, MauHistory, SignaturesInMonth)
    },
    head=Head(10**17, "f" * 64),
)
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "USERS_IN_MONTH": {
        "users": None,
        "state": "bounded",
        "from": "2026-10-01T01:00:00+02:00",
        "to": "2026-11-01T00:00:00+01:00",
        "hoursLeftOut": 1.0,
        "lowerBound": 123_456_789,
        "upperBound": 223_456_789,
    },
    "MAU_HISTORY": {
        "usersByDay": dict.fromkeys(range(15), 1),
        "missing": [f"2026-10-{day:02}" for day in range(1, 32, 2)],
        "average": 123_456_789.25,
        "maximum": 223_456_789,
        "days": 30,
    },
    "SIGNATURES_IN_MONTH": {
        "from": "2026-10-01T00:00:00+02:00",
        "to": "2026-11-01T00:00:00+01:00",
        "complete": False,
        "total": 9_123_456_789,
        "valid": 9_023_456_789,
        "invalid": 100_000_000,
        "auditSince": "2026-10-25T00:00:00.123456+01:00",
        "auditUntil": "2026-10-25T00:00:00.123456+01:00",
        "recordedDays": [
            {
                "day": f"2026-10-{day:02}",
                "recordedAt": f"2026-11-{day:02}T12:00:00.123456+01:00",
                "row": 10**17 + day,
            }
            for day in range(1, 31, 2)
        ],
        "missing": [f"2026-10-{day:02}" for day in range(2, 32, 2)],
    },
}


def longest(name: str) -> Statement:
    """All that a statement can say."""
    statement = Statement(**{**vars(LONGEST), "application": name, "missing": []})
    add_reports(statement, Month(2026, 10), lambda report, _: ANSWERS[report])
    return statement


@pytest.mark.parametrize("size", ["A4", "Letter"])
@pytest.mark.parametrize("name", ["retail", "Ω" * 255, "<b>" * 85])
def test_longest_statement_is_one_page(browser: Browser, size: str, name: str) -> None:
    statement = longest(name)
    page = browser.new_page(color_scheme="dark")
    page.set_content(html_of(statement))
    page.emulate_media(media="print")

    pdf = page.pdf(format=size)

    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert name in str(page.text_content("h1"))
    page.close()


@pytest.mark.parametrize("size", ["A4", "Letter"])
@pytest.mark.parametrize("context", [{"color_scheme": "dark"}])
def test_page_of_the_dashboard_is_printed_on_one_page(
    visit: Visit, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statement, "make_statement", lambda *_, **__: longest("\u03a9" * 255))
    visit.open("/statement?application=retail")
    visit.assert_clean()
    visit.page.emulate_media(media="print")

    pdf = visit.page.pdf(format=size)

    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for hidden in ("header", "nav", "footer", "form", ".back"):
        assert not visit.page.locator(hidden).first.is_visible()
    for shown in ("body", "dd"):
        colors = "one => [getComputedStyle(one).color, getComputedStyle(document.body).background]"
        color, background = visit.page.locator(shown).first.evaluate(colors)
        assert color == "rgb(0, 0, 0)"
        assert background.startswith("rgb(255, 255, 255)")
