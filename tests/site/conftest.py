"""The site, built once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SPHINX = (sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet")


def build(folder: Path, source: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_SPHINX, "-c", source / "docs", source, folder],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder.parent,
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the site is built into; with TELEMETRY_SITE that one, to keep it."""
    kept = os.environ.get("TELEMETRY_SITE")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("site") / "html"
    result = build(folder)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    return folder
