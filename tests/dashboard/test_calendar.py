"""The dashboard's days and months equal the API's, out of a history that was recorded."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask.testing import FlaskClient

from flask_powerauth_telemetry.dashboard import PowerAuthTelemetryDashboard
from flask_powerauth_telemetry.tabular import as_csv
from tests.support.dashboard import CREDENTIALS, get, page_of, shown
from tests.support.recorded import Site
from tests.support.service import NOW, ask

NEW_YORK = ZoneInfo("America/New_York")
REPORTS = ("USERS_BY_MONTH", "MAU_HISTORY")


def record_midnights(site: Site, count: int) -> None:
    """Record at each midnight of New York up to now, but for a few, across a clock change."""
    today = NOW.astimezone(NEW_YORK).date()
    for ago in range(count, -1, -1):
        day = today - timedelta(days=ago)
        if day.day in (13, 14):
            continue
        site.clock.now = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)
        assert site.record().exit_code == 0
    site.clock.now = NOW


def client_of(site: Site) -> FlaskClient:
    app = site.reader(CREDENTIALS=CREDENTIALS, REPORTS=REPORTS, REPORT_TIMEZONE="America/New_York")
    PowerAuthTelemetryDashboard(app)
    return app.test_client()


def data_of(client: FlaskClient, report: str, **parameters: Any) -> Any:
    response = ask(client, report, {"application": "retail", **parameters})
    assert response.status_code == 200
    return response.get_json()["responseObject"]["reportData"]


def test_days_and_months_equal_the_api(small_site: Site) -> None:
    small_site.fill(NEW_YORK, count=400)
    record_midnights(small_site, 40)
    client = client_of(small_site)

    figures = page_of(get(client, "/application", application="retail")).figures

    history = {"from": "2026-05-30", "to": "2026-11-25"}
    days = data_of(client, "MAU_HISTORY", **history)
    assert len(days["usersByDay"]) > 30
    assert figures["Active users, day by day"].numbers == {
        "Average": str(round(days["average"])),
        "Maximum": str(days["maximum"]),
        "Not recorded": str(len(days["missing"])),
    }
    rows = figures["Active users, day by day"].rows[1:]
    assert len(rows) == 180
    assert rows == [
        [day, shown(days["usersByDay"].get(day))]
        for day in sorted([*days["usersByDay"], *days["missing"]], reverse=True)
    ]
    year = data_of(client, "USERS_BY_MONTH")
    october, november = year["months"][-2:]
    assert (october["state"], november["state"]) == ("recorded", "running")
    figure = figures["Active users by month"]
    assert figure.numbers == {
        "Average of recorded months": str(round(year["average"])),
        "Maximum of recorded months": str(year["maximum"]),
    }
    assert [row[:5] for row in figure.rows[1:]] == [
        [
            month["month"],
            *(shown(month[key]) for key in ("users", "lowerBound", "upperBound")),
            month["state"],
        ]
        for month in reversed(year["months"])
    ]
    assert figure.rows[2][5] == "2026-11-01 00:00"


def test_csv_of_days_and_months_holds_the_report_data(small_site: Site) -> None:
    small_site.fill(NEW_YORK)
    record_midnights(small_site, 3)
    client = client_of(small_site)

    days = get(client, "/figure/history.csv", application="retail").get_data(as_text=True)
    months = get(client, "/figure/months.csv", application="retail").get_data(as_text=True)

    assert days == as_csv(
        data_of(client, "MAU_HISTORY", **{"from": "2026-05-30", "to": "2026-11-25"})
    )
    assert months == as_csv(data_of(client, "USERS_BY_MONTH"))


def test_history_that_was_never_recorded_is_told_in_place(small_site: Site) -> None:
    small_site.fill(NEW_YORK)
    app = small_site.recorder(REPORTS=REPORTS, CREDENTIALS=CREDENTIALS)
    PowerAuthTelemetryDashboard(app)

    response = get(app.test_client(), "/application", application="retail")

    figures = page_of(response).figures
    assert response.status_code == 200
    assert "not available now, try again later. 503" in figures["Active users by month"].text
    assert "not available now, try again later. 503" in figures["Active users, day by day"].text
    for title in ("Active users by month", "Active users, day by day"):
        assert "flask telemetry snapshot" in figures[title].text
        assert "POWERAUTH_TELEMETRY_BINDS" in figures[title].text
    assert figures["Active users now"].numbers
