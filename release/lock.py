"""Requirements locked by hashes; ``python -m release.lock`` locks the newest ones of the image."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "requirements-image.txt"
"""What the Dockerfile installs, and what it builds the extension with."""
IMAGE_EXTRAS = ("postgresql", "example", "openapi", "gunicorn")
"""The extras that the Dockerfile installs."""
TESTS_EXTRA = "dev"
"""What the tests are run with."""
_OLDEST_PYTHON = "3.11"


def lock_image(target: Path) -> None:
    """Lock what the image needs; versions that ``target`` holds already stay where they fit."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    extras = [f"--extra={extra}" for extra in IMAGE_EXTRAS]
    _lock(target, *extras, "-", requirements="\n".join(build["requires"]))


def lock_tests(target: Path) -> None:
    """Lock what the tests need, with the image's versions of what is in both."""
    _lock(target, f"--extra={TESTS_EXTRA}", f"--constraint={IMAGE}")


def _lock(target: Path, *arguments: str, requirements: str = "") -> None:
    """Lock the extension's requirements and further ones, for every supported Python and system."""
    options = ["--universal", f"--python-version={_OLDEST_PYTHON}", "--generate-hashes", "--quiet"]
    silence = ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    files = [f"--output-file={target}", "setup.py"]
    subprocess.run(  # noqa: S603 - a command of this module
        [sys.executable, "-m", "uv", "pip", "compile", *options, *silence, *files, *arguments],
        cwd=ROOT,
        input=requirements,
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
    )


if __name__ == "__main__":
    IMAGE.unlink(missing_ok=True)
    lock_image(IMAGE)
