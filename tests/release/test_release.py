"""The files of a release: complete, true and checked."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click import ClickException
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement

from release.__main__ import BUILDER, LICENCES, REQUIREMENTS, SUMS, copy_lock_of_image
from release.lock import IMAGE, IMAGE_EXTRAS, lock_image
from tests.package.test_package import BASE

ROOT = Path(__file__).parents[2]
(VERSION,) = re.findall(r'version="(.*)"', (ROOT / "setup.py").read_text())
STEM = f"flask_powerauth_telemetry-{VERSION}"
BROUGHT_BY = {
    "clickhouse": "clickhouse-connect",
    "example": "waitress",
    "gunicorn": "gunicorn",
    "mssql": "pyodbc",
    "openapi": "apispec",
    "oracle": "oracledb",
    "postgresql": "psycopg-binary",
    "prometheus": "prometheus-client",
    "spark": "impyla",
    "testing": "pytest",
    "tzdata": "tzdata",
}
"""A package of each extra but that of the tests, whose packages are locked."""
ABSENT_FROM_BASE = {"pip", "setuptools"}
PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|PSF)", re.IGNORECASE)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release; with TELEMETRY_RELEASE that one, emptied before, to keep it."""
    kept = os.environ.get("TELEMETRY_RELEASE")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("release") / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    result = run(sys.executable, "-m", "release", "--output", folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def components(release: Path) -> list[dict[str, Any]]:
    return listed(release, STEM)


def listed(release: Path, stem: str) -> list[dict[str, Any]]:
    """A list of packages, once it has been found to be CycloneDX."""
    text = (release / f"{stem}.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found: list[dict[str, Any]] = json.loads(text)["components"]
    return found


def names(components: list[dict[str, Any]]) -> set[str]:
    return {one["name"].lower().replace("_", "-") for one in components}


def test_release_has_all_its_files(release: Path) -> None:
    assert {path.name for path in release.iterdir()} == {
        f"{STEM}-py3-none-any.whl",
        f"{STEM}.tar.gz",
        f"{STEM}.cdx.json",
        f"{STEM}-image.cdx.json",
        *(f"{STEM}-{extra}.cdx.json" for extra in BROUGHT_BY),
        LICENCES,
        IMAGE.name,
        REQUIREMENTS,
        SUMS,
    }


def test_wheel_can_be_built_again_from_the_sdist(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sdist,) = release.glob("*.tar.gz")
    (wheel,) = release.glob("*.whl")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", run("git", "log", "-1", "--format=%ct").stdout.strip())

    result = run(sys.executable, "-m", "pip", "wheel", "--no-deps", f"-w{tmp_path}", sdist)

    assert result.returncode == 0, result.stderr
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_sums_are_those_of_the_files(release: Path) -> None:
    lines = (release / SUMS).read_text(encoding="utf-8").splitlines()
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in release.iterdir()
        if path.name != SUMS
    }

    assert lines == [f"{found[name]}  {name}" for name in sorted(found)]


def test_components_are_those_of_a_base_installation(components: list[dict[str, Any]]) -> None:
    # greenlet comes with SQLAlchemy 2.0 on some processors alone.
    assert BASE - ABSENT_FROM_BASE - {"greenlet"} <= names(components) <= BASE
    assert all(one["purl"].startswith("pkg:pypi/") and one["version"] for one in components)
    assert all(one.get("licenses") for one in components)


@pytest.mark.parametrize("extra", BROUGHT_BY)
def test_components_of_an_extra_are_its_own_too(
    release: Path, components: list[dict[str, Any]], extra: str
) -> None:
    assert names(components) | {BROUGHT_BY[extra]} <= names(listed(release, f"{STEM}-{extra}"))


def test_components_of_the_image_are_those_of_its_lock(release: Path) -> None:
    found = {
        one["name"].lower().replace("_", "-"): one["version"]
        for one in listed(release, f"{STEM}-image")
    }

    assert found.pop("flask-powerauth-telemetry") == VERSION
    assert found == {name: version for name, version in needed(IMAGE) if name != BUILDER}
    assert {BROUGHT_BY[extra] for extra in IMAGE_EXTRAS} <= found.keys()


def test_licences_are_known_and_permissive(release: Path, components: list[dict[str, Any]]) -> None:
    lines = (release / LICENCES).read_text(encoding="utf-8").splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    assert {row[0].lower().replace("_", "-") for row in rows} == names(components)
    assert [row for row in rows if not PERMISSIVE.search(row[2])] == []


def requirements(path: Path) -> list[str]:
    """Locked requirements, each with its hashes on one line."""
    return path.read_text(encoding="utf-8").replace("\\\n", "").splitlines()


def needed(path: Path) -> set[tuple[str, str]]:
    """The names and versions of the locked requirements that are for this machine."""
    parsed = (Requirement(line.partition(" --hash")[0]) for line in requirements(path))
    return {
        (one.name, str(one.specifier).removeprefix("=="))
        for one in parsed
        if one.marker is None or one.marker.evaluate()
    }


@pytest.mark.parametrize(("file", "number"), [(REQUIREMENTS, 40), (IMAGE.name, 18)])
def test_requirements_are_pinned_by_hashes(release: Path, file: str, number: int) -> None:
    name, marker, digest = r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?", r"( ; [^\-]+)?", "sha256:[0-9a-f]{64}"
    pinned = re.compile(rf"{name}==\S+{marker}( +--hash={digest})+")
    lines = requirements(release / file)

    assert len(lines) > number
    assert [line for line in lines if not pinned.fullmatch(line.strip())] == []


def test_image_is_built_by_the_lock_of_the_release(release: Path) -> None:
    assert (release / IMAGE.name).read_bytes() == IMAGE.read_bytes()
    assert f"--require-hashes --requirement={IMAGE.name}\n" in (ROOT / "Dockerfile").read_text()


def test_image_has_the_versions_that_are_tested(release: Path) -> None:
    image = {pin for pin in needed(IMAGE) if pin[0] != BUILDER}

    assert image <= needed(release / REQUIREMENTS)


@pytest.fixture
def stale(tmp_path: Path) -> Path:
    """The image's lock without two packages that it needs, and with one that nobody asks for."""
    lines = [line for line in requirements(IMAGE) if not line.startswith(("apispec", "gunicorn"))]
    path = tmp_path / IMAGE.name
    path.write_text("\n".join([*lines, "six==1.16.0"]) + "\n")
    return path


def test_lock_follows_what_is_asked_for(stale: Path) -> None:
    others = {pin for pin in needed(IMAGE) if pin[0] not in {"apispec", "gunicorn"}}

    lock_image(stale)

    assert needed(stale) >= others
    assert {name for name, _ in needed(stale)} == {name for name, _ in needed(IMAGE)}


def test_release_refuses_a_stale_lock(
    stale: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("release.lock.IMAGE", stale)

    with pytest.raises(ClickException, match=r"Run: python -m release\.lock"):
        copy_lock_of_image(tmp_path / "copy.txt")


def test_requirements_hold_what_the_tests_need(release: Path) -> None:
    locked = {re.split(r"[\[=]", line)[0] for line in requirements(release / REQUIREMENTS)}

    assert {"flask", "sqlalchemy", "hypothesis", "psycopg", "pytest", "sqlglot"} <= locked


def test_requirements_can_be_installed(release: Path, tmp_path: Path) -> None:
    options = ["--dry-run", "--require-hashes", f"--target={tmp_path}"]
    uv = [sys.executable, "-m", "uv", "pip", "install", *options]

    result = run(*uv, "--requirements", release / REQUIREMENTS)

    assert result.returncode == 0, result.stderr


def test_files_name_no_folder_of_this_machine(release: Path) -> None:
    for path in (release / REQUIREMENTS, release / LICENCES, *release.glob("*.cdx.json")):
        text = path.read_text(encoding="utf-8")
        assert str(ROOT) not in text
        assert "file:" not in text


def test_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.whl").touch()

    result = run(sys.executable, "-m", "release", "--output", tmp_path)

    assert result.returncode == 1
    assert result.stderr == f"Error: {tmp_path} is not empty.\n"
