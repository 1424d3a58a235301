"""Folders of tests that need more than is here are skipped, and say what they need."""

import sys
from pathlib import Path

import pytest

from tests.support import needs


@pytest.fixture
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").touch()
    files = (str(tmp_path / "th*"), str(tmp_path / "none*"))
    monkeypatch.setattr(
        needs, "PACKAGES", {"one": ("pytest", "no-such-package"), "two": ("pytest",)}
    )
    monkeypatch.setattr(needs, "PROGRAMS", {"one": (sys.executable, "/no/such/program")})
    monkeypatch.setattr(needs, "FILES", {"one": files, "three": files[:1]})


@pytest.mark.usefixtures("_folders")
def test_what_is_missing_is_told(tmp_path: Path) -> None:
    missing = ["no-such-package", "/no/such/program", str(tmp_path / "none*")]

    assert needs.missing("one") == missing


@pytest.mark.usefixtures("_folders")
@pytest.mark.parametrize("folder", ["two", "three", "four"])
def test_nothing_is_missing(folder: str) -> None:
    assert needs.missing(folder) == []


def test_what_is_needed_is_needed_by_a_folder_of_tests(pytestconfig: pytest.Config) -> None:
    folders = {path.parent.name for path in pytestconfig.rootpath.glob("tests/*/test_*.py")}

    assert {*needs.PACKAGES, *needs.PROGRAMS, *needs.FILES} <= folders
