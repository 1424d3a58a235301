"""The pictures in the documentation: ``python -m tests.browser.screenshots docs/static``."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from example_app import create_app
from flask_powerauth_telemetry.auth.credentials import digest
from tests.browser.serving import served
from tests.support.chromium import launch
from tests.support.service import USER

PICTURES: dict[str, dict[str, Any]] = {
    "dashboard.png": {"viewport": {"width": 1200, "height": 800}, "color_scheme": "light"},
    "dashboard-phone.png": {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"},
}
"""The options of the browser for each."""

_PAGE = "/telemetry/application?application=retail-banking&days=90"
_HIGHEST = 1800
"""The height in pixels that is enough to see the first charts."""


def take(browser: Browser, folder: Path) -> None:
    """Write the pictures of the example's dashboard into a folder."""
    user, token = USER
    credentials = {"POWERAUTH_TELEMETRY_CREDENTIALS": {user: digest(token)}}
    with TemporaryDirectory() as instance:
        app = create_app(credentials, instance_path=Path(instance))
        with served(app) as url:
            for name, options in PICTURES.items():
                _take(browser, url, folder / name, options)


def _take(browser: Browser, url: str, path: Path, options: dict[str, Any]) -> None:
    user, token = USER
    context = browser.new_context(
        http_credentials={"username": user, "password": token, "origin": url}, **options
    )
    page = context.new_page()
    page.goto(f"{url}{_PAGE}", wait_until="networkidle")
    width = options["viewport"]["width"]
    height = page.evaluate("document.documentElement.scrollHeight")
    page.screenshot(
        path=path,
        full_page=True,
        clip={"x": 0, "y": 0, "width": width, "height": min(height, _HIGHEST)},
    )
    context.close()


if __name__ == "__main__":
    with sync_playwright() as playwright:
        take(launch(playwright), Path(sys.argv[1]))
