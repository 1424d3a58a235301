"""Debian's Chromium with nothing but loopback."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

from tests.support.needs import CHROMIUM

_NO_NAME_IS_FOUND = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def require_chromium() -> None:
    """Only where Debian's package can't be installed at all, nothing is tested."""
    if Path(CHROMIUM).exists():
        return
    missing = f"{CHROMIUM} is missing, so pages are NOT tested in a browser"
    if shutil.which("apt-get") is None:
        pytest.skip(missing)
    pytest.fail(f"{missing}: apt-get install chromium")


def launch(playwright: Playwright) -> Browser:
    """A browser with a new empty profile; close it."""
    arguments = [_NO_NAME_IS_FOUND, "--disable-background-networking"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium has none for root
    return playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
