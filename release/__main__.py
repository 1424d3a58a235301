"""The command ``python -m release``: all files of a release, in one folder."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Mapping
from importlib.metadata import PathDistribution
from pathlib import Path

import click

from release import lock
from release.lock import ROOT

REQUIREMENTS = "requirements-tests.txt"
LICENCES = "licences.md"
BUILDER = "setuptools"
"""What the image is built with, and does not keep."""
SUMS = "SHA256SUMS"


@click.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default=ROOT / "dist",
    help="The folder of the release; it must be empty or missing.",
)
def main(output: Path) -> None:
    """Build the distributions, and tell what is in them and what they were tested with.

    These files are made: the wheel and the sdist; CycloneDX lists of the packages that a base
    installation, one with each extra, and the image have; the licences of the base installation;
    the requirements of the image and of the tests, locked by hashes; and the SHA-256 sums of all
    of these.
    """
    output.mkdir(parents=True, exist_ok=True)
    if any(output.iterdir()):
        raise click.ClickException(f"{output} is not empty.")
    _build(output)
    (wheel,) = output.glob("*.whl")
    copy_lock_of_image(output / lock.IMAGE.name)
    lock.lock_tests(output / REQUIREMENTS)
    _list(wheel)
    _sum(output)
    for path in sorted(output.iterdir()):
        click.echo(path.name)


def _run(*command: str | Path, variables: Mapping[str, str] | None = None) -> str:
    result = subprocess.run(  # noqa: S603 - commands of this module
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ | (variables or {}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return result.stdout


def _python_module(name: str, *arguments: str | Path, **variables: str) -> str:
    return _run(sys.executable, "-m", name, *arguments, variables=variables)


def _build(output: Path) -> None:
    """Build; what is in the wheel gets the time of the last commit, so it can be built again."""
    time = _run("git", "log", "-1", "--format=%ct").strip()
    _python_module("build", "--outdir", output, ROOT, SOURCE_DATE_EPOCH=time)
    _python_module("twine", "check", "--strict", *output.iterdir())


def _list(wheel: Path) -> None:
    """Write the lists of what the wheel brings: alone, with each extra, and in the image."""
    stem = wheel.name.partition("-py3")[0]
    name, version = stem.split("-")
    info = zipfile.Path(wheel, f"{stem}.dist-info/")
    extras = set(PathDistribution(info).metadata.get_all("Provides-Extra", []))
    with tempfile.TemporaryDirectory(prefix="telemetry-release-") as folder:
        python = _environment(Path(folder, "base"))
        _install(python, wheel, f"{name}=={version}")
        _list_components(python, wheel.with_name(f"{stem}.cdx.json"))
        _list_licences(python, wheel.with_name(LICENCES))
        for extra in extras - {lock.TESTS_EXTRA}:
            python = _environment(Path(folder, extra))
            _install(python, wheel, f"{name}[{extra}]=={version}")
            _list_components(python, wheel.with_name(f"{stem}-{extra}.cdx.json"))
        python = _environment(Path(folder, "image"))
        _install(python, wheel, "--require-hashes", f"--requirements={lock.IMAGE}")
        _install(python, wheel, "--no-deps", f"{name}=={version}")
        _python_module("uv", "pip", "uninstall", "--quiet", f"--python={python}", BUILDER)
        _list_components(python, wheel.with_name(f"{stem}-image.cdx.json"))


def _environment(folder: Path) -> Path:
    """The interpreter of a new environment in which nothing is installed."""
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


def _install(python: Path, wheel: Path, *requirements: str) -> None:
    """Install by name, so that no path of this machine gets into the lists."""
    options = ["--quiet", f"--python={python}", f"--find-links={wheel.parent}"]
    _python_module("uv", "pip", "install", *options, *requirements)


def _list_components(python: Path, target: Path) -> None:
    options = ["--output-reproducible", "--output-format=JSON", "--spec-version=1.6"]
    options.append("--no-validate")  # the tests do, strictly
    _python_module("cyclonedx_py", "environment", *options, "--output-file", target, python)


def _list_licences(python: Path, target: Path) -> None:
    options = ["--with-urls", "--format=markdown", "--order=name"]
    program = Path(sys.executable).with_name("pip-licenses")
    target.write_text(_run(program, f"--python={python}", *options), encoding="utf-8")


def copy_lock_of_image(target: Path) -> None:
    """Copy the lock; raises ``ClickException`` when it is not what is asked for now."""
    shutil.copyfile(lock.IMAGE, target)
    lock.lock_image(target)
    if target.read_bytes() != lock.IMAGE.read_bytes():
        raise click.ClickException(
            f"{target.name} is not what setup.py asks for. Run: python -m release.lock"
        )


def _sum(output: Path) -> None:
    """Write the sums in the form that ``sha256sum --check`` reads."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(output.iterdir())
    ]
    (output / SUMS).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(prog_name="python -m release")
