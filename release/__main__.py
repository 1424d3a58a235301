"""The command ``python -m release``: all files of a release, in one folder."""

import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
EXTRA = "dev"
"""What the tests are run with."""
REQUIREMENTS = "requirements-tests.txt"
LICENCES = "licences.md"
SUMS = "SHA256SUMS"
OLDEST_PYTHON = "3.11"


@click.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default=ROOT / "dist",
    help="The folder of the release; it must be empty or missing.",
)
def main(output: Path) -> None:
    """Build the distributions, and tell what is in them and what they were tested with.

    These files are made: the wheel and the sdist; a CycloneDX list of the packages that a base
    installation has; their licences; the requirements of the tests, locked by hashes; and the
    SHA-256 sums of all of these.
    """
    output.mkdir(parents=True, exist_ok=True)
    if any(output.iterdir()):
        raise click.ClickException(f"{output} is not empty.")
    _build(output)
    (wheel,) = output.glob("*.whl")
    with tempfile.TemporaryDirectory(prefix="telemetry-release-") as folder:
        python = _installed(wheel, Path(folder))
        _list_components(python, output / f"{wheel.name.partition('-py3')[0]}.cdx.json")
        _list_licences(python, output / LICENCES)
    _lock(output / REQUIREMENTS)
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


def _installed(wheel: Path, folder: Path) -> Path:
    """The interpreter of an environment with the wheel and what it needs, and nothing else.

    It is installed by its name, so that no path of this machine gets into the lists.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    name, version, *_ = wheel.name.split("-")
    found = f"--find-links={wheel.parent}"
    _python_module("pip", "--quiet", "--python", python, "install", found, f"{name}=={version}")
    return python


def _list_components(python: Path, target: Path) -> None:
    options = ["--output-reproducible", "--output-format=JSON", "--spec-version=1.6"]
    _python_module("cyclonedx_py", "environment", *options, "--output-file", target, python)


def _list_licences(python: Path, target: Path) -> None:
    options = ["--with-urls", "--format=markdown", "--order=name"]
    program = Path(sys.executable).with_name("pip-licenses")
    target.write_text(_run(program, f"--python={python}", *options), encoding="utf-8")


def _lock(target: Path) -> None:
    """Lock what the tests need, for every supported Python and system."""
    options = ["--universal", f"--python-version={OLDEST_PYTHON}", "--generate-hashes", "--quiet"]
    silence = ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    arguments = [*options, *silence, f"--extra={EXTRA}", "setup.py"]
    target.write_text(_python_module("uv", "pip", "compile", *arguments), encoding="utf-8")


def _sum(output: Path) -> None:
    """Write the sums in the form that ``sha256sum --check`` reads."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(output.iterdir())
    ]
    (output / SUMS).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(prog_name="python -m release")
