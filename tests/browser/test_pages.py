"""The dashboard in a real browser."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, HttpCredentials
from sqlalchemy import Engine

from flask_powerauth_telemetry.dashboard import parts
from tests.browser.conftest import Visit
from tests.browser.screenshots import PICTURES, take
from tests.browser.serving import served
from tests.support import powerauth
from tests.support.dashboard import NAMES, REPORTS, dashboard
from tests.support.service import USER

PAGES = {
    "overview": "/",
    "application": "/application?application=retail&days=90",
    "compare": "/compare?days=365",
    "committed": "/figure/committed?application=retail",
    "month-signatures": "/figure/month-signatures?application=retail",
    "statuses": "/figure/statuses?application=retail",
    "statement": "/statement?application=retail",
    "curves": "/figure/curves?application=retail&application=corporate",
    "too-few": "/compare?application=retail",
}
VIEWS = [
    {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    for width, scheme in product((390, 1440), ("light", "dark"))
]
_TRANSFERRED = """
["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
  .reduce((sum, entry) => sum + entry.transferSize, 0)
"""


_CUT_OFF = """
[...document.querySelectorAll(".rows.all")]
  .filter((one) => one.scrollWidth > one.clientWidth).length
"""


def serious(visit: Visit) -> list[str]:
    """What axe-core finds that is serious or critical, opened tables included."""
    visit.page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    found = Axe().run(visit.page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def header(png: Path) -> bytes:
    """The first bytes of a picture, its size among them."""
    return png.read_bytes()[:29]


def cell(visit: Visit, selector: str) -> str:
    """The text of a table's cell, also while the table is folded."""
    return (visit.page.locator(selector).text_content() or "").strip()


@pytest.mark.parametrize(
    "context", VIEWS, ids=lambda view: f"{view['viewport']['width']}-{view['color_scheme']}"
)
def test_pages_are_clean_accessible_and_fit(
    visit: Visit, context: dict[str, Any], screenshots: Path
) -> None:
    width = context["viewport"]["width"]
    for name, path in PAGES.items():
        visit.open(path)
        visit.page.screenshot(
            path=screenshots / f"{name}-{width}-{context['color_scheme']}.png", full_page=True
        )

        visit.assert_clean()
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious(visit) == []


@pytest.mark.parametrize("context", [{"viewport": {"width": 320, "height": 640}}])
def test_pages_reflow_when_they_are_magnified(visit: Visit) -> None:
    for path in PAGES.values():
        visit.open(path)

        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.fixture
def odd_url(sqlite: Engine) -> Iterator[str]:
    """Where names are odd, nobody has used anything, and some reports are off."""
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, NAMES)
    reports = [*REPORTS[:2], *REPORTS[3:]]
    with served(dashboard(sqlite, REPORTS=reports)) as url:
        yield url


def test_odd_names_and_empty_figures_fit_a_phone(
    browser: Browser, odd_url: str, screenshots: Path
) -> None:
    user, token = USER
    credentials: HttpCredentials = {"username": user, "password": token, "origin": odd_url}
    opened = browser.new_context(
        http_credentials=credentials, viewport={"width": 390, "height": 900}
    )
    visit = Visit(opened.new_page(), odd_url)

    applications = [f"/application?{urlencode({'application': name})}" for name in NAMES]
    for number, path in enumerate(["/", "/compare", *applications]):
        visit.open(path)
        visit.page.screenshot(path=screenshots / f"odd-{number}.png", full_page=True)

        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert visit.page.evaluate(_CUT_OFF) == 0
        assert serious(visit) == []
    opened.close()


def test_page_of_all_charts_transfers_little(visit: Visit) -> None:
    visit.open("/application?application=retail&days=365")

    assert visit.page.locator("svg.plot").count() == 5
    assert 20_000 < visit.page.evaluate(_TRANSFERRED) < 100_000


def test_chart_shows_the_number_below_the_pointer(visit: Visit) -> None:
    visit.open("/figure/curve?application=retail")
    users = cell(visit, "tbody tr:last-child td")
    box = visit.page.locator("svg.plot").bounding_box()
    assert box is not None

    visit.page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 50)

    assert visit.page.locator(".readout").text_content() == f"Days 365, Users {users}"
    visit.page.mouse.move(0, 0)
    assert visit.page.locator(".readout").text_content() == ""
    visit.assert_clean()


def test_chart_of_newest_rows_first_is_read_off_backwards(visit: Visit) -> None:
    visit.open("/figure/new-users?application=retail&days=90")
    users = cell(visit, "tbody tr:first-child td")
    box = visit.page.locator("svg.plot").bounding_box()
    assert box is not None

    visit.page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 50)

    assert visit.page.locator(".readout").text_content() == f"Days ago 0 to 1, New users {users}"


@pytest.mark.parametrize(
    "context", [{"viewport": {"width": 390, "height": 900}, "has_touch": True}]
)
def test_tap_reads_a_chart_and_stays(visit: Visit) -> None:
    visit.open("/figure/curve?application=retail")
    box = visit.page.locator("svg.plot").bounding_box()
    assert box is not None

    visit.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 50)

    shown = visit.page.locator(".readout").text_content() or ""
    day = int(shown.removeprefix("Days ").partition(",")[0])
    assert abs(day - 183) <= 2  # a pixel is more than a day wide
    assert shown == f"Days {day}, Users {cell(visit, f'tbody tr:nth-child({day}) td')}"
    visit.assert_clean()


def test_keys_read_a_chart(visit: Visit) -> None:
    visit.open("/figure/curve?application=retail")
    press, readout = visit.page.keyboard.press, visit.page.locator(".readout")
    visit.page.locator("svg.plot").focus()

    shown = [readout.text_content()]
    for key in ("ArrowLeft", "Home", "PageDown", "ArrowRight", "End"):
        press(key)
        shown.append(readout.text_content())
    press("Tab")

    days = [(text or "").partition(",")[0] for text in shown]
    assert days == [f"Days {day}" for day in (365, 364, 1, 11, 12, 365)]
    assert readout.text_content() == ""
    visit.assert_clean()


def test_figures_that_were_left_out_are_fetched(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit.open("/application?application=retail")
    at_once = visit.page.locator("main").inner_text()
    monkeypatch.setattr(parts, "PAGE_SECONDS", -1)

    visit.open("/application?application=retail")

    assert visit.page.locator("[data-load]").count() == 0
    assert visit.page.locator("main").inner_text() == at_once
    assert visit.page.locator("svg.plot").count() == 5
    assert visit.page.get_by_role("link", name="Show Users of committed activations").is_visible()
    visit.assert_clean()


@pytest.mark.parametrize("context", [{"java_script_enabled": False}])
def test_page_works_without_its_script(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PAGE_SECONDS", -1)
    visit.open("/application?application=retail")

    visit.click("link", "Show New users")

    assert visit.page.get_by_role("heading", name="New users").is_visible()
    visit.page.locator("summary").click()
    assert visit.page.get_by_role("region", name="New users by day of 24 hours").is_visible()
    assert visit.page.locator("tbody tr").count() == 30


def test_everything_is_reached_by_keyboard(visit: Visit) -> None:
    visit.open("/")
    press = visit.page.keyboard.press

    press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the figures"
    press("Enter")
    press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "corporate"
    press("Enter")
    visit.page.wait_for_url("**/application?application=corporate")
    visit.page.locator("summary").first.focus()
    press("Enter")
    press("Tab")
    focused = visit.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == "Active users by window"
    outline = visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_window_and_applications_are_chosen_by_forms(visit: Visit) -> None:
    visit.open("/application?application=retail")
    visit.click("button", "90")
    assert visit.page.get_by_role("heading", name="Past 90 days").count() == 1
    assert visit.page.locator("dt", has_text="Past 90 days").count() == 3
    assert visit.page.locator("[aria-pressed]").text_content() == "90"

    visit.open("/compare")
    visit.page.get_by_label("corporate").uncheck()
    visit.click("button", "Show")
    assert visit.page.get_by_role("alert").text_content() == "Choose 2 to 10 applications."
    visit.assert_clean()


@pytest.mark.parametrize("context", [{"color_scheme": "dark"}])
def test_page_prints_dark_on_light(visit: Visit, screenshots: Path) -> None:
    visit.open("/application?application=retail")
    visit.page.emulate_media(media="print")

    style = "getComputedStyle(document.body)"
    assert visit.page.evaluate(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
    assert visit.page.evaluate(f"{style}.color") == "rgb(0, 0, 0)"
    assert not visit.page.locator("nav").is_visible()
    assert visit.page.locator("svg.plot").first.is_visible()
    pdf = visit.page.pdf(path=screenshots / "application.pdf", format="A4")
    assert pdf.startswith(b"%PDF")


def test_wrong_credentials_show_a_page_and_nothing_else(visit: Visit) -> None:
    browser = visit.page.context.browser
    assert browser is not None
    context = browser.new_context(http_credentials={"username": "billing", "password": "wrong"})
    page = context.new_page()

    response = page.goto(f"{visit.url}/telemetry/")

    assert response is not None
    assert response.status == 401
    assert page.get_by_role("heading").text_content() == "Unauthorized"
    assert page.locator("data").count() == 0
    context.close()


def test_pictures_of_the_documentation_are_those_of_the_script(
    browser: Browser, tmp_path: Path
) -> None:
    """All but the numbers, which are as of now."""
    take(browser, tmp_path)

    documented = Path(__file__).parents[2] / "docs/static"
    text = (documented.parent / "dashboard.md").read_text(encoding="utf-8")
    for name in PICTURES:
        assert f"(static/{name})" in text
        assert header(tmp_path / name) == header(documented / name)
