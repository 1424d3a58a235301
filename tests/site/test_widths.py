"""The pages of the documentation on a phone and on a large screen, in Debian's Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.chromium import launch, require_chromium

CUT_OFF = """
() => [...document.querySelectorAll("article *")]
    .filter((element) => element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0)
    .filter((element) => ["hidden", "clip"].includes(getComputedStyle(element).overflowX))
    .map((element) => element.outerHTML.slice(0, 200))
"""
SCROLLED = """
() => [...document.querySelectorAll("article table")]
    .filter((table) => table.scrollWidth > table.parentElement.clientWidth + 1)
    .map((table) => table.innerText.slice(0, 100))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require_chromium()
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "may_scroll"), [(390, True), (1440, False)])
def test_no_page_is_cut_off(site: Path, browser: Browser, width: int, may_scroll: bool) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    found = {}

    for path in sorted(site.rglob("*.html")):
        if 'http-equiv="refresh"' in path.read_text(encoding="utf-8"):
            continue
        page.goto(path.resolve().as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth") - width
        tables = [] if may_scroll else page.evaluate(SCROLLED)
        found[path.name] = (max(wide, 0), page.evaluate(CUT_OFF), tables)

    assert found
    assert {name: faults for name, faults in found.items() if faults != (0, [], [])} == {}
