"""The page of a month's statement: it says what the command says, to whom may see it."""

from datetime import date, datetime, timedelta
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import Engine

from flask_powerauth_telemetry.dashboard import PowerAuthTelemetryDashboard
from flask_powerauth_telemetry.history.signatures_in_month import SignaturesInMonth
from flask_powerauth_telemetry.reports.activity import ActivityProfile
from flask_powerauth_telemetry.service import Clock
from tests.support import audit, powerauth
from tests.support.audit import TICK, Verification
from tests.support.commands import command
from tests.support.dashboard import CLERK, CREDENTIALS, SCOPES, dashboard, get, page_of
from tests.support.past import local_midnight, record
from tests.support.powerauth import Activation
from tests.support.recorded import Site
from tests.support.service import NOW, ask, create_app, recorded_statements

PRAGUE = ZoneInfo("Europe/Prague")
REPORTS = ("USERS_IN_MONTH", "MAU_HISTORY", "SIGNATURES_IN_MONTH")
OCTOBER: dict[str, Any] = {"application": "retail", "month": "2026-10"}
FROM_ELSEWHERE = {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


@pytest.fixture
def recorded(small_site: Site) -> Site:
    """October's users were recorded at its end; it has two verifications."""
    end = local_midnight(date(2026, 11, 1), PRAGUE)
    record(small_site.history, [ActivityProfile(end + timedelta(seconds=2), (1_234,) * 365)])
    activation = Activation("a", 1, "anna", datetime(2026, 1, 1))
    powerauth.add_activations(small_site.powerauth, [activation])
    times = (datetime(2026, 9, 1), datetime(2026, 10, 5), datetime(2026, 10, 6))
    audit.add_verifications(small_site.powerauth, [Verification("a", time) for time in times])
    return small_site


def app_of(site: Site, clock: Clock = lambda: NOW, **keys: Any) -> Flask:
    settings = {"REPORTS": REPORTS, "BINDS": site.binds, "REPORT_TIMEZONE": "Europe/Prague"}
    app = create_app(
        site.powerauth,
        clock=clock,
        **{**settings, "CREDENTIALS": CREDENTIALS, "SCOPES": SCOPES, **keys},
    )
    PowerAuthTelemetryDashboard(app)
    return app


def test_page_says_what_the_command_says(recorded: Site) -> None:
    app = app_of(recorded)
    told = command(app, "statement", "--application", "retail", "--month", "2026-10")
    lines = [line.strip().removesuffix(":") for line in told.stdout.splitlines() if line]

    response = get(app.test_client(), "/statement", **OCTOBER)

    text = unescape(response.get_data(as_text=True))
    assert response.status_code == 200
    assert "1,234 unique users were active" in text
    assert "2 verifications, of which 2 were valid" in text
    for line in lines:
        assert line in text, line
    assert len(lines) > 12


def test_application_leads_to_the_statement_of_the_past_month(recorded: Site) -> None:
    client = app_of(recorded).test_client()

    page = page_of(get(client, "/application", application="retail", user=CLERK))

    (link,) = [link for link in page.links if "/statement" in link]
    text = client.get(link, auth=CLERK).get_data(as_text=True)
    assert "<h1>Statement of 2026-10 for retail</h1>" in text
    assert 'value="2026-10"' in text


@pytest.mark.parametrize("application", ["corporate", "nowhere"])
def test_statement_out_of_scope_looks_like_none(recorded: Site, application: str) -> None:
    client = app_of(recorded).test_client()

    with recorded_statements() as statements:
        response = get(client, "/statement", user=CLERK, application=application)

    assert response.status_code == 404
    assert application.encode() not in response.data
    assert not any("pa_signature_audit" in one for one in statements)


@pytest.mark.parametrize(
    "month", ["2026-12", "9999-12", "2026-13", "2026-1", "", "٢٠٢٦-10", "x" * 99]
)
def test_month_that_is_none_or_has_not_begun_is_refused(recorded: Site, month: str) -> None:
    response = get(app_of(recorded).test_client(), "/statement", application="retail", month=month)

    assert response.status_code == 400
    assert "month" in response.get_data(as_text=True).lower()


@pytest.mark.parametrize(("early", "status"), [(timedelta(), 200), (TICK, 400)])
def test_month_begins_at_its_midnight(recorded: Site, early: timedelta, status: int) -> None:
    begun = local_midnight(date(2026, 12, 1), PRAGUE)
    client = app_of(recorded, clock=lambda: begun - early).test_client()
    month: dict[str, Any] = {"application": "retail", "month": "2026-12"}

    assert get(client, "/statement", **month).status_code == status

    signatures = ask(client, SignaturesInMonth.name, month, user=CLERK)
    assert signatures.status_code == status
    if status == 200:
        assert signatures.get_json()["responseObject"]["reportData"]["total"] == 0


def test_month_of_which_nothing_is_known_says_so(recorded: Site) -> None:
    client = app_of(recorded).test_client()

    response = get(client, "/statement", application="retail", month="2025-01")

    assert response.status_code == 200
    assert "<dd>The number of users is not known.</dd>" in response.get_data(as_text=True)


def test_statement_is_not_there_without_a_report_of_months(recorded: Site) -> None:
    client = app_of(recorded, REPORTS=["USERS_BY_STATUS"]).test_client()

    assert get(client, "/statement", **OCTOBER).status_code == 404
    page = get(client, "/application", application="retail").get_data(as_text=True)
    assert "/statement" not in page


def test_who_comes_from_another_site_has_nothing_computed(recorded: Site) -> None:
    client = app_of(recorded).test_client()

    with recorded_statements() as statements:
        response = client.get(
            "/telemetry/statement", query_string=OCTOBER, auth=CLERK, headers=FROM_ELSEWHERE
        )

    assert response.status_code == 200
    assert "nothing was read yet" in response.get_data(as_text=True)
    assert not any("pa_signature_audit" in one for one in statements)


def test_fault_of_a_report_is_missing_without_its_detail(recorded: Site) -> None:
    class Broken(SignaturesInMonth):
        def generate(self, *arguments: Any, **parameters: Any) -> Any:
            raise ValueError("a secret detail")

    app = app_of(recorded, REPORTS=REPORTS[:2], arguments={"providers": [Broken()]})

    text = get(app.test_client(), "/statement", **OCTOBER).get_data(as_text=True)

    assert "1,234 unique users were active" in text
    assert "The report SIGNATURES_IN_MONTH failed: " in text
    assert "secret detail" not in text
    assert "ValueError" not in text


def test_name_breaks_no_statement(sqlite: Engine) -> None:
    name = "<script>alert(1)</script>{{ 7 * 7 }}\u202e"
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, [name])
    app = dashboard(sqlite, REPORTS=REPORTS[2:])

    response = get(app.test_client(), "/statement", application=name, month="2026-10")

    text = response.get_data(as_text=True)
    assert response.status_code == 200
    assert "<script>alert" not in text
    assert "49" not in text.split("<h1>")[1].split("</h1>")[0]
    assert "\u202e" not in text.split("<h1>")[1].split("</h1>")[0]
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<style" not in text
