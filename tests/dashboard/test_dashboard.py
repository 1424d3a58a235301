"""The dashboard: its numbers are those of the API, and nobody sees more than there."""

import itertools
import re
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Blueprint, Flask, Response, got_request_exception, request
from flask.testing import FlaskClient
from markupsafe import escape
from sqlalchemy import Engine

from flask_powerauth_telemetry import ConfigurationError, Unavailable
from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.dashboard import PowerAuthTelemetryDashboard, parts
from flask_powerauth_telemetry.dashboard.addresses import asked
from flask_powerauth_telemetry.dashboard.figures import APPLICATION_FIGURES, signatures
from flask_powerauth_telemetry.dashboard.figures.base import Asked
from flask_powerauth_telemetry.monitoring.events import Refusal
from flask_powerauth_telemetry.monitoring.signals import (
    credentials_refused,
    report_generated,
    request_refused,
)
from flask_powerauth_telemetry.reports.new_users import NewUsersInPastDays
from flask_powerauth_telemetry.service import ReportRun
from flask_powerauth_telemetry.tabular import as_csv
from tests.support import powerauth
from tests.support.audit import Verification, add_verifications
from tests.support.callers import LONG
from tests.support.dashboard import (
    CLERK,
    CREDENTIALS,
    NAMES,
    REPORTS,
    SCOPES,
    History,
    Months,
    Page,
    dashboard,
    fill,
    get,
    page_of,
    shown,
)
from tests.support.powerauth import Activation
from tests.support.recorded import Clock, Site
from tests.support.service import NOW, USER, ask, create_app, recorded_statements, url_of

PRAGUE = ZoneInfo("Europe/Prague")
BEFORE_COSTLY = ("now", "curve", "new-users", "signatures", "load")
KINDS_OF_FIGURES = (*BEFORE_COSTLY, "committed", "month-signatures", "statuses")
PARAMETERS: dict[str, Any] = {"application": "retail", "days": 30}
MONTH = {"application": "retail", "month": "2026-11"}
STORIES = {"providers": [Months(), History()]}


@pytest.fixture
def app(sqlite: Engine) -> Flask:
    fill(sqlite, UTC)
    return dashboard(sqlite, SCOPES=SCOPES)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def data_of(client: FlaskClient, report: str, **parameters: Any) -> Any:
    given = {"SIGNATURES_IN_MONTH": MONTH, "USERS_BY_STATUS": {"application": "retail"}}
    response = ask(client, report, given.get(report) or {**PARAMETERS, **parameters})
    assert response.status_code == 200
    return response.get_json()["responseObject"]["reportData"]


def application_page(client: FlaskClient, **query: Any) -> Page:
    return page_of(get(client, "/application", application="retail", **query))


def test_numbers_of_users_equal_the_api(database: Engine) -> None:
    fill(database, PRAGUE)
    client = dashboard(database, DATABASE_TIMEZONE="Europe/Prague").test_client()

    figures = application_page(client, days=90).figures

    curve = data_of(client, "USERS_BY_PAST_DAYS")["users"]
    mau = data_of(client, "CURRENT_MAU")["users"]
    new = data_of(client, "NEW_USERS_IN_PAST_DAYS", days=90)
    assert mau > 10
    assert sum(new["usersByDay"]) > 10
    assert figures["Active users now"].numbers == {"Active users in the past 30 days": str(mau)}
    assert figures["Active users by window"].rows[1:] == [
        [str(days), shown(users)] for days, users in enumerate(curve, start=1)
    ]
    assert list(figures["Active users by window"].numbers.values()) == [
        str(curve[days - 1]) for days in (1, 7, 30, 90, 365)
    ]
    assert figures["New users"].numbers == {"Past 90 days": str(new["users"])}
    assert [row[1] for row in figures["New users"].rows[1:]] == [*map(shown, new["usersByDay"])]


def test_numbers_of_signatures_equal_the_api(database: Engine) -> None:
    fill(database, PRAGUE)
    client = dashboard(
        database, DATABASE_TIMEZONE="Europe/Prague", REPORT_TIMEZONE="America/New_York"
    ).test_client()

    figures = application_page(client).figures

    data = data_of(client, "SIGNATURES_IN_PAST_DAYS")
    assert data["invalid"] > 5
    figure = figures["Signatures verified"]
    assert figure.numbers == {
        "Past 30 days": str(data["total"]),
        "Invalid": str(data["invalid"]),
    }
    assert [row[:4] for row in figure.rows[1:]] == [
        [kind["type"], kind["algorithm"] or "", shown(kind["total"]), shown(kind["invalid"])]
        for kind in data["byType"]
    ]
    load = figures["Signature load by hour of the day"]
    busiest = data["busiestHour"]
    assert load.numbers == {
        "Verifications in the busiest hour": str(busiest["verifications"]),
        "Per second in that hour": f"{busiest['perSecond']:.2g}",
    }
    assert " America/New_York " in load.text
    assert busiest["start"][11:13] + ":00 America/New_York" not in load.text


def test_users_by_status_equal_the_api(database: Engine) -> None:
    fill(database, UTC)
    client = dashboard(database).test_client()

    (figure,) = page_of(get(client, "/figure/statuses", application="retail")).figures.values()

    data = data_of(client, "USERS_BY_STATUS")
    assert data["activations"] > data["users"] > 10
    assert figure.numbers == {
        "Users with an activation": str(data["users"]),
        "Activations": str(data["activations"]),
    }
    assert figure.rows == [
        ["Status", "Users", "Activations"],
        *(
            [row["status"], shown(row["users"]), shown(row["activations"])]
            for row in data["byStatus"]
        ),
    ]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_signatures_of_the_month_equal_the_api(database: Engine, zone: str) -> None:
    fill(database, PRAGUE)
    client = dashboard(
        database, DATABASE_TIMEZONE="Europe/Prague", REPORT_TIMEZONE=zone
    ).test_client()

    page = get(client, "/figure/month-signatures", application="retail")

    data = data_of(client, "SIGNATURES_IN_MONTH")
    (figure,) = page_of(page).figures.values()
    assert data["invalid"] > 5
    assert figure.numbers == {
        "Verifications in 2026-11": str(data["total"]),
        "Valid": str(data["valid"]),
        "Invalid": str(data["invalid"]),
        "Verifications in the busiest hour": str(data["busiestHour"]["verifications"]),
        "Per second in that hour": f"{data['busiestHour']['perSecond']:.2g}",
    }
    assert f"{100 * data['invalid'] / data['total']:.1f}\u202f%" in figure.text
    assert figure.rows[:0:-1] == [
        [f"2026-11-{day:02}", shown(number)] for day, number in enumerate(data["byDay"], start=1)
    ]
    ends = (datetime.fromisoformat(data[key]) for key in ("auditSince", "auditUntil"))
    since, until = (f"{end:%Y-%m-%d %H:%M}" for end in ends)
    assert f"audit has rows from {since} to {until} {zone}." in figure.text


@pytest.mark.parametrize(
    ("days_ago", "told"),
    [
        ((3,), "verifications of 22 days of the month may have been deleted"),
        ((), "no row at all: verifications of 25 days"),
    ],
)
def test_month_that_the_audit_may_not_hold_says_so(
    sqlite: Engine, days_ago: tuple[int, ...], told: str
) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    powerauth.add_activations(sqlite, [Activation("one", 1, "user", NOW.replace(tzinfo=None))])
    for ago in days_ago:
        add_verifications(
            sqlite, [Verification("one", NOW.replace(tzinfo=None) - timedelta(days=ago))]
        )

    page = get(dashboard(sqlite).test_client(), "/figure/month-signatures", application="retail")

    (figure,) = page_of(page).figures.values()
    assert told in figure.text
    assert figure.numbers["Verifications in 2026-11"] == str(len(days_ago))


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_load_is_that_of_whole_hours_by_time_of_day(sqlite: Engine, zone: str) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite, REPORT_TIMEZONE=zone).test_client()

    for days in (1, 365):
        figure = application_page(client, days=days).figures["Signature load by hour of the day"]

        by_hour = data_of(client, "SIGNATURES_IN_PAST_DAYS", days=days)["byHour"]
        start = datetime.fromisoformat(by_hour["start"])
        loads: dict[str, list[int]] = {}
        for place, load in list(enumerate(by_hour["verifications"]))[1:-1]:
            local = (start + place * timedelta(hours=1)).astimezone(ZoneInfo(zone))
            loads.setdefault(f"{local:%H:%M}", []).append(load)
        assert figure.rows == [
            [f"Hour from ({zone})", "Average", "Highest"],
            *(
                [hour, shown(round(sum(loads[hour]) / len(loads[hour]), 1)), str(max(loads[hour]))]
                for hour in sorted(loads)
            ),
        ]
    assert start.hour != start.astimezone(ZoneInfo(zone)).hour


@pytest.mark.parametrize(
    ("mean", "told"),
    [(0.001234, 0.0012), (6.001111, 6.0), (99.6, 100), (123.4, 123), (4321.7, 4322)],
)
def test_mean_per_second_keeps_its_whole_digits(mean: float, told: float) -> None:
    asked = Asked(applications=["retail"], days=1, today=NOW.date(), zone=UTC)
    busiest = {"start": "2026-11-24T15:00:00Z", "verifications": 9, "perSecond": mean}
    hours = {"start": "2026-11-24T12:00:00Z", "verifications": [0, 0, 9, 0]}

    content = signatures.load.show(asked, {"byHour": hours, "busiestHour": busiest})

    assert content.numbers[1].value == told


def test_hours_that_a_clock_repeated_are_no_load(sqlite: Engine) -> None:
    wall = NOW.replace(tzinfo=None)
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    powerauth.add_activations(sqlite, [Activation("a", 1, "anna", wall)])
    ordinary, repeated = datetime(2026, 10, 24, 2, 30), datetime(2026, 10, 25, 2, 30)
    times = [*[ordinary] * 3, *[repeated] * 50]
    add_verifications(sqlite, [Verification("a", time) for time in times])
    client = dashboard(sqlite, DATABASE_TIMEZONE="Europe/Prague").test_client()

    figure = application_page(client, days=365).figures["Signature load by hour of the day"]

    loads = data_of(client, "SIGNATURES_IN_PAST_DAYS", days=365)["byHour"]["verifications"]
    assert loads[loads.index(None) - 1] == 50
    assert [row[2] for row in figure.rows[1:]] == ["3" if hour == 0 else "0" for hour in range(24)]


def test_numbers_that_are_asked_for_equal_the_api(client: FlaskClient) -> None:
    committed = data_of(client, "COMMITTED_USERS_IN_PAST_DAYS")
    (figure,) = page_of(get(client, "/figure/committed", **PARAMETERS)).figures.values()
    left_out = committed["usersLeftOut"]
    assert [row[1] for row in figure.rows[1:]] == [
        shown(number)
        for number in (committed["users"], *left_out.values(), committed["usersInPastDays"])
    ]

    names = ["corporate", "retail"]
    across = data_of(client, "USERS_ACROSS_APPLICATIONS", applications=names, days=365)
    figure = page_of(get(client, "/compare", days=365)).figures["Users across applications"]
    assert across["overlaps"][0]["users"] > 1
    assert figure.numbers == {"Past 365 days": str(across["users"])}
    assert [row[:2] for row in figure.rows[1:]] == [
        *([name, shown(across["usersByApplication"][name])] for name in names),
        ["corporate and retail", shown(across["overlaps"][0]["users"])],
    ]

    curves = [data_of(client, "USERS_BY_PAST_DAYS", application=name)["users"] for name in names]
    (figure,) = page_of(get(client, "/figure/curves", application=names)).figures.values()
    assert figure.rows == [
        ["Days", *names],
        *(
            [str(days), *map(shown, users)]
            for days, users in enumerate(zip(*curves, strict=True), start=1)
        ),
    ]


def test_windows_of_a_curve_are_named_below_their_places(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite).test_client()

    text = get(client, "/figure/curve", application="retail").get_data(as_text=True)

    marks = re.findall(r'class="place" x="([\d.]+)%"[^>]*>(\d+)\u202fd<', text)
    assert [int(days) for _, days in marks] == [30, 90, 180, 270, 365]
    # The middle of the window's part of the width.
    assert [round(float(percent) * 3.65 + 0.5) for percent, _ in marks] == [30, 90, 180, 270, 365]


@pytest.mark.parametrize(
    ("key", "is_newest_first"), [("curve", False), ("new-users", True), ("month-signatures", True)]
)
def test_chart_whose_table_has_the_newest_first_is_read_off_backwards(
    client: FlaskClient, key: str, is_newest_first: bool
) -> None:
    response = get(client, f"/figure/{key}", **PARAMETERS)

    assert (b" data-backwards" in response.data) == is_newest_first


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "DELETE"])
def test_pages_are_only_read(client: FlaskClient, method: str) -> None:
    response = client.open("/telemetry/", method=method, auth=USER)

    assert (response.status_code, response.allow) == (405, {"GET", "HEAD"})


@pytest.mark.parametrize("key", ["across", "curves"])
@pytest.mark.parametrize("count", [1, 11])
def test_too_few_and_too_many_are_not_compared(sqlite: Engine, key: str, count: int) -> None:
    names = tuple(f"app-{number}" for number in range(11))
    fill(sqlite, UTC, names)
    client = dashboard(sqlite).test_client()

    with recorded_statements() as statements:
        response = get(client, f"/figure/{key}", application=names[:count])

    assert response.status_code == 400
    assert "name 2 to 10 applications" in response.get_data(as_text=True)
    assert not any("pa_activation" in statement for statement in statements)


def test_windows_stand_in_for_the_curve(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite, REPORTS=[]).test_client()

    with recorded_statements() as statements:
        page = application_page(client)

    assert list(page.figures) == ["Active users now", "Active users by window"]
    assert page.figures["Active users by window"].numbers == {
        label: str(data_of(client, "USERS_IN_PAST_DAYS", days=days)["users"])
        for label, days in (
            ("Past 24 hours", 1),
            *((f"Past {n} days", n) for n in (7, 30, 90, 365)),
        )
    }
    assert len([text for text in statements if "FROM pa_activation" in text]) == 1


def test_overview_shows_each_application_now(client: FlaskClient) -> None:
    page = page_of(get(client))

    assert {name: list(figure.numbers.values()) for name, figure in page.figures.items()} == {
        name: [str(data_of(client, "CURRENT_MAU", application=name)["users"])]
        for name in ("corporate", "retail")
    }
    assert page.figures["retail"].links[0] == "/telemetry/application?application=retail"


def test_overview_of_many_applications_reads_their_names_alone(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    names = [f"application-{number:02}" for number in range(11)]
    powerauth.add_applications(sqlite, names)

    with recorded_statements() as statements:
        page = page_of(get(dashboard(sqlite).test_client()))

    assert [link.partition("=")[2] for link in page.links if "application=" in link] == names
    assert not any("pa_activation" in statement for statement in statements)


@pytest.mark.parametrize("key", KINDS_OF_FIGURES)
def test_csv_holds_the_report_data(client: FlaskClient, key: str) -> None:
    report = {
        "now": "CURRENT_MAU",
        "curve": "USERS_BY_PAST_DAYS",
        "new-users": "NEW_USERS_IN_PAST_DAYS",
        "signatures": "SIGNATURES_IN_PAST_DAYS",
        "load": "SIGNATURES_IN_PAST_DAYS",
        "committed": "COMMITTED_USERS_IN_PAST_DAYS",
        "month-signatures": "SIGNATURES_IN_MONTH",
        "statuses": "USERS_BY_STATUS",
    }[key]

    response = get(client, f"/figure/{key}.csv", **PARAMETERS)

    assert response.get_data(as_text=True) == as_csv(data_of(client, report))
    assert response.content_type == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == (
        f'attachment; filename="{key}-retail-20261125T120000Z.csv"'
    )


def test_csv_of_an_application_named_like_a_formula_is_harmless(sqlite: Engine) -> None:
    name = '=1+1/<b>&"?#é'
    fill(sqlite, UTC, (name, "corporate"))
    client = dashboard(sqlite).test_client()

    overview = get(client)
    (link,) = [link for link in page_of(overview).links if "%3D1" in link and "csv" not in link]
    page = client.get(link, auth=USER)
    compared = get(client, "/compare").get_data(as_text=True)
    csv = get(client, "/figure/now.csv", application=name)

    assert "<b>&" not in overview.get_data(as_text=True)
    assert "<b>&" not in compared
    assert compared.count("=1+1/&lt;b&gt;&amp;&#34;?#é") == 4
    assert page.status_code == 200
    assert page.get_data(as_text=True).count("=1+1/&lt;b&gt;&amp;&#34;?#é</bdi></h1>") == 1
    assert csv.get_data(as_text=True).splitlines()[1].startswith("\"'=1+1")
    assert csv.headers["Content-Disposition"].isascii()


def test_every_figure_has_its_definition_and_its_csv(client: FlaskClient) -> None:
    reports = client.get("/rest/v3/telemetry/reports", auth=USER).get_json()
    definitions = [report["definition"] for report in reports["responseObject"]["reports"]]

    figures = application_page(client).figures

    assert len(figures) == len(KINDS_OF_FIGURES)
    for figure in figures.values():
        assert any(
            definition.replace("given number of days", "30 days") in figure.text
            for definition in definitions
        )
        if figure.numbers:
            (csv,) = [link for link in figure.links if ".csv?" in link]
            assert client.get(csv, auth=USER).content_type.startswith("text/csv")


@pytest.mark.parametrize(
    "path", ["/application", "/compare", "/statement", "/figure/now", "/figure/curve.csv"]
)
def test_application_out_of_scope_looks_like_none(client: FlaskClient, path: str) -> None:
    with recorded_statements() as statements:
        answers = [
            get(client, path, user=CLERK, application=name) for name in ("corporate", "nowhere")
        ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].data == answers[1].data
    assert b"corporate" not in answers[0].data
    assert not any("pa_activation" in statement for statement in statements)


def test_application_out_of_scope_is_no_part_of_a_comparison(client: FlaskClient) -> None:
    both: dict[str, Any] = {"application": ["retail", "corporate"]}

    for path in ("/compare", "/figure/across", "/figure/across.csv"):
        assert get(client, path, user=CLERK, **both).status_code == 404
        assert get(client, path, **both).status_code == 200


def test_scope_restricts_what_is_listed(client: FlaskClient) -> None:
    for path in ("/", "/compare", "/application?application=retail"):
        response = get(client, path, user=CLERK)
        assert response.status_code == 200
        assert b"corporate" not in response.data
    assert list(page_of(get(client, user=CLERK)).figures) == ["retail"]


def test_failing_report_leaves_the_others(sqlite: Engine) -> None:
    class Broken(NewUsersInPastDays):
        def report_data(self, *arguments: Any, **parameters: Any) -> Any:
            raise ValueError("a secret detail")

    fill(sqlite, UTC)
    reports = [name for name in REPORTS if name != Broken.name]
    app = dashboard(sqlite, REPORTS=reports, arguments={"providers": [Broken()]})
    faults: list[Any] = []

    def note(sender: Flask, exception: Exception, **_: Any) -> None:
        faults.append(exception)

    with got_request_exception.connected_to(note, app):
        response = get(app.test_client(), "/application", application="retail")
        alone = get(app.test_client(), "/figure/new-users", **PARAMETERS)
        csv = get(app.test_client(), "/figure/new-users.csv", **PARAMETERS)

    figures = page_of(response).figures
    assert response.status_code == 200
    assert figures["New users"].numbers == {}
    assert "could not be generated, see the log of the server. 500" in figures["New users"].text
    assert figures["Active users now"].numbers
    assert figures["Signatures verified"].numbers
    assert (alone.status_code, csv.status_code) == (500, 500)
    assert csv.content_type.startswith("text/html")
    assert [type(fault) for fault in faults] == [ValueError] * 3
    assert b"secret detail" not in response.data + alone.data + csv.data


@pytest.mark.parametrize("key", ["new-users", "new-users.csv"])
def test_figure_that_is_unavailable_says_when_to_try_again(sqlite: Engine, key: str) -> None:
    class Busy(NewUsersInPastDays):
        def report_data(self, *arguments: Any, **parameters: Any) -> Any:
            raise Unavailable("busy", retry_after=30)

    fill(sqlite, UTC)
    app = dashboard(sqlite, REPORTS=[], arguments={"providers": [Busy()]})

    response = get(app.test_client(), f"/figure/{key}", **PARAMETERS)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "30")


def test_page_out_of_time_leaves_figures_to_requests_of_their_own(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PAGE_SECONDS", -1)

    with recorded_statements() as statements:
        page = application_page(client)

    assert not any("pa_activation" in statement for statement in statements)
    assert [link.partition("?")[0].rpartition("/")[2] for link in page.loaded] == [
        "now",
        "curve",
        "new-users",
        "signatures",
        "load",
    ]
    for link in page.loaded:
        (figure,) = page_of(client.get(link, auth=USER)).figures.values()
        assert figure.numbers


def test_page_begins_nothing_after_its_time(app: Flask) -> None:
    state = app.extensions["powerauth_telemetry"]["powerauth_telemetry"]
    seconds = iter([0, 1, 4.9, 5, 6, 7])
    with app.test_request_context("/telemetry/application?application=retail"):
        about = asked(state, ["retail"])
        pieces = [(figure, about) for figure in APPLICATION_FIGURES if figure.key in BEFORE_COSTLY]
        made = parts.Caller(state, Principal("billing")).parts(pieces, lambda: next(seconds))

    assert [(part.figure.key, part.content is not None) for part in made] == [
        ("now", True),
        ("curve", True),
        ("new-users", False),
        ("signatures", False),
        ("load", False),
    ]


def test_all_figures_cost_one_pass_over_each_table(client: FlaskClient) -> None:
    with recorded_statements() as statements:
        for _ in range(2):
            application_page(client)

    passes = [text for text in statements if "GROUP BY" in text]
    tables = [
        re.findall(r"FROM (pa_\w+)(?: JOIN (pa_\w+))?", text.replace("\n", ""))[0]
        for text in passes
    ]
    assert sorted(tables) == [
        ("pa_activation", ""),
        ("pa_activation", "pa_activation_history"),
        ("pa_signature_audit", "pa_activation"),
    ]


def test_names_are_kept_for_a_minute(sqlite: Engine) -> None:
    clock = Clock()
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    client = dashboard(sqlite, clock=clock).test_client()
    seen = []

    for seconds in (0, 59, 61):
        clock.now = NOW + timedelta(seconds=seconds)
        seen.append(list(page_of(get(client)).figures))
        if seconds == 0:
            with sqlite.begin() as connection:
                connection.exec_driver_sql("INSERT INTO pa_application (id, name) VALUES (2, 'b')")

    assert seen == [["retail"], ["retail"], ["b", "retail"]]


def test_few_wait_for_names_and_the_rest_is_refused_at_once(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    opened = threading.Event()

    def engine_of_a_host_that_hangs() -> Engine:
        assert opened.wait(LONG)
        return sqlite

    app = dashboard(arguments={"engine": engine_of_a_host_that_hangs}, MAX_WAITING=4)
    users = [USER, CLERK] * 6
    with ThreadPoolExecutor(len(users)) as viewers:
        pages = [viewers.submit(get, app.test_client(), user=user) for user in users]
        refused = list(itertools.islice(as_completed(pages, LONG), len(users) - 4))
        opened.set()

    assert {page.result().status_code for page in refused} == {503}
    assert {page.result().status_code for page in pages if page not in refused} == {200}


def test_recorded_source_shows_the_names_of_the_history(small_site: Site) -> None:
    small_site.fill()
    assert small_site.record().exit_code == 0
    small_site.clock.now += timedelta(hours=2)
    app = small_site.reader(CREDENTIALS=CREDENTIALS, REPORTS=["USERS_BY_PAST_DAYS"])
    PowerAuthTelemetryDashboard(app)

    page = page_of(get(app.test_client()))

    users = data_of(app.test_client(), "CURRENT_MAU")["users"]
    assert list(page.figures) == ["corporate", "retail"]
    assert list(page.figures["retail"].numbers.values()) == [str(users)]
    assert "As of 2026-11-25 12:00:00 UTC , recorded." in page.figures["retail"].text


def test_days_of_the_history_show_gaps(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    client = dashboard(
        sqlite, arguments=STORIES, REPORT_TIMEZONE="Pacific/Kiritimati"
    ).test_client()

    figure = application_page(client).figures["Active users, day by day"]

    rows = figure.rows
    assert rows[0] == ["Day (Pacific/Kiritimati)", "Users"]
    assert (rows[1], rows[180]) == (["2026-11-26", "226"], ["2026-05-31", "231"])
    assert [row for row in rows if row[0] == "2026-11-10"] == [["2026-11-10", "\u2013"]]
    assert figure.numbers == {
        "Average": "216",
        "Maximum": "231",
        "Not recorded": "6",
    }


def test_months_show_numbers_and_bounds(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite, arguments=STORIES).test_client()

    figure = application_page(client).figures["Active users by month"]
    csv = get(client, "/figure/months.csv", application="retail").get_data(as_text=True)

    assert len(figure.rows) == 14
    assert figure.rows[1] == ["2026-11", "\u2013", "80", "\u2013", "running", "2026-11-01 00:00"]
    assert figure.rows[2] == ["2026-10", "110", "\u2013", "\u2013", "recorded", "2026-10-01 00:00"]
    assert figure.rows[7] == ["2026-05", "\u2013", "90", "120", "bounded", "2026-05-01 00:00"]
    assert figure.rows[9] == [
        "2026-03",
        "\u2013",
        "\u2013",
        "\u2013",
        "unknown",
        "2026-03-01 00:00",
    ]
    assert figure.rows[13][0] == "2025-11"
    assert figure.numbers == {
        "Average of recorded months": "107",
        "Maximum of recorded months": "112",
    }
    assert len(csv.splitlines()) == 1 + 13 + 2
    assert '"months.month"' in csv.splitlines()[0]


def test_as_of_is_shown_in_utc_and_in_the_zone_of_reports(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    zones = {"REPORT_TIMEZONE": "Europe/Prague", "DATABASE_TIMEZONE": "Australia/Lord_Howe"}
    response = get(dashboard(sqlite, **zones).test_client())

    figure = page_of(response).figures["retail"]
    text = response.get_data(as_text=True)

    assert "2026-11-25 12:00:00 UTC , 2026-11-25 13:00:00 Europe/Prague (UTC+01:00)" in figure.text
    assert '<time datetime="2026-11-25T12:00:00+00:00">' in text
    assert "<b>Europe/Prague</b>" in text
    assert "<b>Australia/Lord_Howe</b>" in text


@pytest.mark.parametrize("header", [None, "Bearer x", "Basic !!!", "Basic YmlsbGluZzp3cm9uZw=="])
@pytest.mark.parametrize(
    "path", ["/", "/application", "/compare", "/statement", "/figure/now", "/figure/x.csv"]
)
def test_no_page_without_credentials(sqlite: Engine, path: str, header: str | None) -> None:
    app = dashboard(sqlite)
    headers = {"Authorization": header} if header else {}

    with recorded_statements() as statements:
        response = app.test_client().get(f"/telemetry{path}", headers=headers)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == (
        'Basic realm="PowerAuth Telemetry", charset="UTF-8"'
    )
    assert response.content_type == "text/html; charset=utf-8"
    assert statements == []


def test_whoever_watches_is_told_of_refusals_and_runs(app: Flask) -> None:
    told: list[tuple[str, int, str | None]] = []

    def note_refusal(sender: Flask, refusal: Refusal, **_: Any) -> None:
        told.append((refusal.error, refusal.status, refusal.principal))

    def note_run(sender: Flask, run: ReportRun, **_: Any) -> None:
        told.append((run.report, run.status, run.principal))

    client = app.test_client()
    with (
        credentials_refused.connected_to(note_refusal, app),
        request_refused.connected_to(note_refusal, app),
        report_generated.connected_to(note_run, app),
    ):
        get(client, user=("billing", "wrong"))
        get(client, "/application", user=CLERK, application="corporate")
        get(client, user=CLERK)

    assert told == [
        ("Unauthorized", 401, None),
        ("NotFound", 404, "clerk"),
        ("USERS_BY_PAST_DAYS", 200, "clerk"),
        ("CURRENT_MAU", 200, "clerk"),
    ]


def test_every_response_has_the_headers(client: FlaskClient) -> None:
    responses = [
        get(client),
        get(client, user=None),
        get(client, "/application", application="nowhere"),
        get(client, "/application", application="retail", days="366"),
        get(client, "/figure/now.csv", application="retail"),
        get(client, "/static/dashboard.css"),
    ]

    assert [response.status_code for response in responses] == [200, 401, 404, 400, 200, 200]
    for response in responses:
        policy = response.headers["Content-Security-Policy"].split("; ")
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert not any("unsafe" in part or "http" in part for part in policy)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        if "static" not in response.request.path:
            assert response.headers["Cache-Control"] == "no-store"
        response.close()


def test_page_has_nothing_that_its_policy_forbids(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite, arguments=STORIES).test_client()

    for path in ("/", "/compare", "/application?application=retail"):
        text = get(client, path).get_data(as_text=True)
        assert not re.search(r"<style|\bstyle=|\son\w+=|<script(?! src=)|javascript:", text)
        assert "://" not in text


def test_page_of_everything_is_small(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite, arguments=STORIES).test_client()
    paths = ["/application?application=retail&days=365"]
    paths += [f"/static/{name}" for name in ("dashboard.css", "dashboard.js", "icon.svg")]

    size = 0
    for path in paths:
        with get(client, path) as response:
            size += len(response.data)

    assert 20_000 < size < 100_000


@pytest.mark.parametrize("days", ["0", "366", "", "-1", "1e1", "٣", "30 "])
def test_wrong_window_is_refused(client: FlaskClient, days: str) -> None:
    response = get(client, "/application", application="retail", days=days)

    assert response.status_code == 400
    assert "days must be a whole number from 1 to 365" in response.get_data(as_text=True)


def test_figure_that_is_not_switched_on_is_not_there(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite, REPORTS=["NEW_USERS_IN_PAST_DAYS"]).test_client()

    assert "Signatures verified" not in application_page(client).figures
    assert "/telemetry/compare" not in application_page(client).links
    for path in ("/figure/signatures", "/figure/signatures.csv", "/figure/nothing", "/compare"):
        assert get(client, path, application="retail").status_code == 404


def test_comparison_of_one_application_asks_for_more(client: FlaskClient) -> None:
    with recorded_statements() as statements:
        response = get(client, "/compare", application="retail")

    assert "Choose 2 to 10 applications" in response.get_data(as_text=True)
    assert not any("pa_activation" in statement for statement in statements)


@pytest.mark.parametrize(
    "path",
    [
        "/telemetry//application?application=retail",
        "/telemetry//static/dashboard.css",
        "/telemetry/static//dashboard.css",
        "/telemetry//figure/now",
        "/telemetry//nothing",
    ],
)
def test_doubled_slashes_are_not_there_and_lead_nowhere(client: FlaskClient, path: str) -> None:
    for user in (None, USER):
        response = client.open(path, base_url="http://evil.example", auth=user)

        assert response.status_code == 404
        assert "Location" not in response.headers


class HostsResponse(Response):
    """A class of a host's own, which Flask makes every response of."""


@pytest.mark.parametrize("response_class", [Response, HostsResponse])
def test_policy_holds_whatever_the_host_sets(
    sqlite: Engine, response_class: type[Response]
) -> None:
    fill(sqlite, UTC)
    app = dashboard(sqlite)
    app.response_class = response_class

    @app.after_request
    def loosen(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src *"
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        response.headers.add("Content-Security-Policy", "script-src 'unsafe-inline'")
        response.headers.pop("Referrer-Policy", None)
        response.headers["Cache-Control"] = "public, max-age=600"
        return response

    for path in ("/", "/static/dashboard.css", "/nothing", "/figure/now.csv?application=retail"):
        with get(app.test_client(), path) as response:
            headers = response.headers
        if path == "/nothing":
            continue  # the host's own page
        assert headers.getlist("X-Frame-Options") == ["DENY"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert (headers["Cache-Control"] == "no-store") is not path.startswith("/static/")
        (policy,) = headers.getlist("Content-Security-Policy")
        assert "default-src 'none'" in policy


@pytest.mark.parametrize("site", ["same-site", "cross-site", "unknown"])
@pytest.mark.parametrize(
    ("mode", "dest"),
    [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("no-cors", "script")],
)
def test_what_another_site_embeds_is_refused_and_costs_nothing(
    client: FlaskClient, site: str, mode: str, dest: str
) -> None:
    forged = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    with recorded_statements() as statements:
        for path in ("/", "/application?application=retail", "/figure/now?application=retail"):
            response = client.get(f"/telemetry{path}", headers=forged, auth=USER)
            assert response.status_code == 403
            assert "WWW-Authenticate" not in response.headers

    assert statements == []


@pytest.mark.parametrize(
    ("mode", "dest"),
    [("no-cors", "image"), ("no-cors", "empty"), ("navigate", "iframe"), ("no-cors", "style")],
)
def test_forty_tags_on_a_page_of_the_same_origin_cost_nothing(
    client: FlaskClient, mode: str, dest: str
) -> None:
    forged = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}

    with recorded_statements() as statements:
        for days in range(1, 41):
            path = f"/telemetry/figure/committed?application=retail&days={days}"
            assert client.get(path, headers=forged, auth=USER).status_code == 403

    assert statements == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        },
    ],
)
def test_pages_are_shown_to_who_comes_by_an_address_a_link_or_a_script(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    assert client.get("/telemetry/", headers=headers, auth=USER).status_code == 200


def test_costly_figure_is_computed_by_a_click_on_our_own_page_alone(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite, REPORTS=["COMMITTED_USERS_IN_PAST_DAYS"]).test_client()
    followed = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    path = "/telemetry/figure/committed?application=retail"

    with recorded_statements() as statements:
        foreign = client.get(path, headers={**followed, "Sec-Fetch-Site": "cross-site"}, auth=USER)
    own = client.get(path, headers={**followed, "Sec-Fetch-Site": "same-origin"}, auth=USER)

    assert "Show this figure" in foreign.get_data(as_text=True)
    assert not [one for one in statements if "pa_activation" in one]
    assert "Who is counted" in own.get_data(as_text=True)


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_files_that_another_site_asks_for_cost_nothing(client: FlaskClient, site: str) -> None:
    """The page of the other site stays, and may ask for many."""
    followed = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": site}

    with recorded_statements() as statements:
        for key in ("committed", "signatures", "now"):
            path = f"/telemetry/figure/{key}.csv?application=retail"
            assert client.get(path, headers=followed, auth=USER).status_code == 403

    assert not [one for one in statements if "pa_application" not in one]


def test_no_page_is_a_redirect(client: FlaskClient) -> None:
    for path in ("/telemetry", "/telemetry/", "/telemetry/compare/"):
        assert client.get(path).status_code == 401
        assert client.get(path, auth=USER).status_code == 200


def test_links_are_below_the_script_root(client: FlaskClient) -> None:
    page = page_of(client.get("/telemetry/", base_url="http://localhost/powerauth", auth=USER))

    assert page.links[1] == "/powerauth/telemetry/"
    assert all(link.startswith(("/powerauth/telemetry/", "#")) for link in page.links)


def test_database_that_is_not_there_is_told_in_a_page(sqlite: Engine) -> None:
    url = url_of(sqlite).replace(".sqlite", "-missing.sqlite")
    response = get(dashboard(DATABASE_URL=f"{url}-missing").test_client())

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "The report is not available now" in response.get_data(as_text=True)


def test_instances_have_dashboards_of_their_own(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    keys: dict[str, Any] = {"EMEA_DATABASE_URL": url_of(sqlite), "EMEA_CREDENTIALS": CREDENTIALS}
    app = create_app(sqlite, arguments={"name": "emea"}, **keys)
    PowerAuthTelemetryDashboard(app, name="emea", url_prefix="/emea/telemetry/")

    response = app.test_client().get("/emea/telemetry/", auth=USER)

    assert list(page_of(response).figures) == ["corporate", "retail"]


def test_dashboard_that_can_not_be_mounted_says_why(sqlite: Engine) -> None:
    app = create_app(sqlite)

    with pytest.raises(ConfigurationError, match="'other' is not on this application"):
        PowerAuthTelemetryDashboard(app, name="other")
    with pytest.raises(ConfigurationError, match="belongs to the reports"):
        PowerAuthTelemetryDashboard(app, url_prefix="/rest/v3/telemetry/dashboard")
    with pytest.raises(ConfigurationError, match="'telemetry' is not a path"):
        PowerAuthTelemetryDashboard(app, url_prefix="telemetry")
    for prefix in (None, ["/one", "/two"]):
        with pytest.raises(ConfigurationError, match=r"must be a path\. Set /telemetry"):
            PowerAuthTelemetryDashboard(app, url_prefix=prefix)  # type: ignore[arg-type]
    PowerAuthTelemetryDashboard(app)
    with pytest.raises(ConfigurationError, match="is on this application already"):
        PowerAuthTelemetryDashboard(app, url_prefix="/again")


def test_names_of_applications_break_no_page(sqlite: Engine) -> None:
    fill(sqlite, UTC, NAMES)
    client = dashboard(sqlite).test_client()

    overview = page_of(get(client))

    assert sorted(overview.figures) == sorted(NAMES)
    assert {name for name in NAMES if overview.figures[name].numbers} == set(NAMES)
    for name in NAMES:
        link = overview.figures[name].links[0]
        page = page_of(client.get(link, auth=USER))
        assert list(page.figures["Active users now"].numbers) == [
            "Active users in the past 30 days"
        ]
        text = client.get(link, auth=USER).get_data(as_text=True)
        assert f"<h1><bdi>{escape(name)}</bdi></h1>" in text
        assert f"<title>\u2068{escape(name)}\u2069 " in text
    compared = page_of(get(client, "/compare")).figures["Users across applications"]
    assert sorted(row[0] for row in compared.rows[1:8]) == sorted(NAMES)
    assert "\u2068\u202egnp.exe\u2069" in get(client, "/compare").get_data(as_text=True)


def test_window_stands_over_what_it_governs_alone(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite, arguments=STORIES).test_client()

    whole = get(client, "/application", application="retail", days=90).get_data(as_text=True)
    before, _, governed = whole.partition('<section class="governed"')

    assert 'class="windows"' not in before
    assert governed.count('class="windows"') == 1
    assert "Past 90 days</h2>" in governed
    for part, different in ((before, False), (governed, True)):
        figures = [one for one in APPLICATION_FIGURES if f'id="{one.key}"' in part]
        assert [one.by_days for one in figures] == [different] * len(figures)
        assert figures
    assert "given number of days" not in whole
    assert "Users active in 90 days, as recorded on each day" in governed


def test_window_is_not_shown_where_it_governs_nothing(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite, REPORTS=["USERS_BY_PAST_DAYS"]).test_client()

    page = get(client, "/application", application="retail").get_data(as_text=True)
    compared = get(client, "/compare").get_data(as_text=True)

    assert 'name="days"' not in page + compared
    assert 'name="application"' in compared


def test_figures_without_a_number_say_why(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    client = dashboard(sqlite).test_client()

    page = get(client, "/application", application="retail")

    figures = page_of(page).figures
    assert "Nobody used the application in" in figures["Active users by window"].text
    assert "Nobody became a user in this window" in figures["New users"].text
    assert "signature audit has no row" in figures["Signatures verified"].text
    assert "No whole hour of this window" in figures["Signature load by hour of the day"].text
    assert "<svg class=" not in page.get_data(as_text=True)


def test_page_names_the_key_that_switches_reports_on(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    keys: dict[str, Any] = {"EMEA_DATABASE_URL": url_of(sqlite), "EMEA_CREDENTIALS": CREDENTIALS}
    app = create_app(sqlite, arguments={"name": "emea"}, **keys)
    PowerAuthTelemetryDashboard(app, name="emea")
    client = app.test_client()

    for path, report in (
        ("/", "USERS_BY_PAST_DAYS"),
        ("/application?application=retail", "MAU_HISTORY"),
    ):
        text = get(client, path).get_data(as_text=True)
        assert f"<code>{report}</code>" in text
        assert "<code>POWERAUTH_TELEMETRY_EMEA_REPORTS</code>" in text
    assert "CURRENT_MAU</code>" not in text


def test_page_of_every_report_names_no_key(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite, arguments=STORIES).test_client()

    for path in ("/", "/application?application=retail"):
        assert "POWERAUTH_TELEMETRY_REPORTS" not in get(client, path).get_data(as_text=True)


@pytest.mark.parametrize(
    ("arguments", "caption"), [({}, "Active users by window"), (STORIES, "Users by month")]
)
def test_overview_has_trends_and_says_each_definition_once(
    sqlite: Engine, arguments: dict[str, Any], caption: str
) -> None:
    fill(sqlite, UTC)
    client = dashboard(sqlite, arguments=arguments).test_client()

    with recorded_statements() as statements:
        text = get(client).get_data(as_text=True)

    assert text.count('<svg class="plot"') == 2
    assert text.count(f"<caption>{caption}</caption>") == 2
    assert text.count("Unique users of the application with an activation") == 1
    assert text.count("<dt>Active users now</dt>") == 1
    passes = [one for one in statements if "FROM pa_activation" in one]
    assert len(passes) == 2


def test_host_registers_the_blueprint_itself(sqlite: Engine) -> None:
    fill(sqlite, UTC)
    app = create_app(sqlite, CREDENTIALS=CREDENTIALS)
    pages = PowerAuthTelemetryDashboard()
    outer = Blueprint("outer", __name__)
    outer.register_blueprint(pages.blueprint, url_prefix="/numbers")
    app.register_blueprint(outer, url_prefix="/staff")

    page = page_of(app.test_client().get("/staff/numbers/", auth=USER))
    error = app.test_client().get("/staff/numbers/application", auth=USER)

    assert page.figures["retail"].links[0] == "/staff/numbers/application?application=retail"
    assert app.test_client().get(page.figures["retail"].links[0], auth=USER).status_code == 200
    assert page_of(error).links[-1] == "/staff/numbers/"
    assert error.status_code == 400


@pytest.mark.parametrize("taken_off", [True, False])
def test_prefix_of_the_host_may_hold_variables(sqlite: Engine, taken_off: bool) -> None:
    fill(sqlite, UTC)
    app = create_app(sqlite)
    outer = Blueprint("outer", __name__, url_prefix="/<tenant>")
    pages = PowerAuthTelemetryDashboard().blueprint
    outer.register_blueprint(pages, url_prefix="/pages", url_defaults={"kind": "any"})
    if taken_off:
        outer.url_value_preprocessor(lambda _, values: values.pop("tenant"))
        outer.url_defaults(lambda _, values: values.setdefault("tenant", "one"))
    app.register_blueprint(outer)
    client = app.test_client()

    todo, seen = ["/one/pages/"], set()
    while todo:
        path = todo.pop()
        with client.get(path, auth=USER) as response:
            assert response.status_code == 200, path
            text = response.get_data(as_text=True)
        seen.add(path)
        links = re.findall(r'(?:href|src|action)="(/[^"]*)"', text)
        todo += {link.replace("&amp;", "&") for link in links} - seen - set(todo)

    assert all(path.startswith("/one/pages/") and "tenant" not in path for path in seen)
    assert {"/one/pages/figure/now.csv?application=retail", "/one/pages/static/icon.svg"} <= seen


def test_pages_at_the_root_leave_the_host_its_files(sqlite: Engine, tmp_path: Path) -> None:
    app = create_app(sqlite)
    app.static_folder = str(tmp_path)
    (tmp_path / "host.css").write_text("p {}")
    PowerAuthTelemetryDashboard(app, url_prefix="/")
    client = app.test_client()

    for name, text in (("host.css", b"p {}"), ("icon.svg", b"<svg")):
        with client.get(f"/static/{name}") as response:
            assert response.data.startswith(text)


def test_blueprint_registered_where_it_can_not_be_says_why(sqlite: Engine) -> None:
    pages = PowerAuthTelemetryDashboard()

    with pytest.raises(ConfigurationError, match="'powerauth_telemetry' is not on this"):
        Flask(__name__).register_blueprint(pages.blueprint)
    with pytest.raises(ConfigurationError, match="belongs to the reports"):
        create_app(sqlite).register_blueprint(pages.blueprint, url_prefix="/rest/v3/telemetry/x")


def test_blueprint_is_what_a_rate_limit_exempts(sqlite: Engine) -> None:
    """Limiters know views by the blueprint's name, as Flask-Limiter's ``exempt`` does."""
    app = create_app(sqlite, CREDENTIALS=CREDENTIALS)
    pages = PowerAuthTelemetryDashboard(app)

    @app.before_request
    def limit() -> tuple[str, int] | None:
        return None if request.blueprint == pages.blueprint.name else ("too many", 429)

    statuses = [app.test_client().get(path).status_code for path in ("/telemetry/", "/other")]
    assert statuses == [401, 429]
