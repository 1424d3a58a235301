"""A served dashboard, and Debian's Chromium with a new empty profile and nothing but loopback."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, HttpCredentials, Page, Playwright, sync_playwright
from sqlalchemy import Engine

from tests.browser.serving import served
from tests.support.chromium import launch, require_chromium
from tests.support.dashboard import History, Months, dashboard, fill
from tests.support.service import USER

_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@dataclass
class Visit:
    """A page in a browser, and what went wrong on it."""

    page: Page
    url: str
    requested: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Open a page of the dashboard, and wait for all that it loads."""
        self.page.goto(f"{self.url}/telemetry{path}", wait_until="networkidle")

    def click(self, role: Any, name: str) -> None:
        """Click what leads to another page, and wait for all that it loads."""
        with self.page.expect_navigation(wait_until="networkidle"):
            self.page.get_by_role(role, name=name, exact=True).click()

    def assert_clean(self) -> None:
        """Nothing failed, nothing was logged or refused, and nobody else was asked."""
        assert (self.failed, self.logged) == ([], [])
        assert self.page.evaluate("window.violations") == []
        assert self.requested
        assert [url for url in self.requested if not url.startswith(f"{self.url}/")] == []


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session", autouse=True)
def _chromium() -> None:
    require_chromium()


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = launch(playwright)
    yield browser
    browser.close()


@pytest.fixture
def url(sqlite: Engine) -> Iterator[str]:
    """Where the dashboard is served, with every figure that there is."""
    fill(sqlite, UTC)
    app = dashboard(
        sqlite,
        arguments={"providers": [Months(), History()]},
        REPORT_TIMEZONE="Europe/Prague",
    )
    with served(app) as url:
        yield url


@pytest.fixture
def context() -> dict[str, Any]:
    """Options of the browser's context; tests have others by parametrizing this."""
    return {}


@pytest.fixture
def visit(browser: Browser, url: str, context: dict[str, Any]) -> Iterator[Visit]:
    user, token = USER
    credentials: HttpCredentials = {"username": user, "password": token, "origin": url}
    opened = browser.new_context(http_credentials=credentials, **context)
    opened.add_init_script(_VIOLATIONS)
    visit = Visit(opened.new_page(), url)
    visit.page.on("request", lambda request: visit.requested.append(request.url))
    visit.page.on("requestfailed", lambda request: visit.failed.append(request.url))
    visit.page.on("console", lambda message: visit.logged.append(message.text))
    visit.page.on("pageerror", lambda error: visit.logged.append(str(error)))
    yield visit
    opened.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where screenshots go: the folder that TELEMETRY_SCREENSHOTS names, to look at them."""
    folder = Path(os.environ.get("TELEMETRY_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
