"""The documents, and what stands in them: code blocks, which can be run, and tables."""

import re
from pathlib import Path
from typing import Any

from flask import Flask
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from tests.support.reader import close_later

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CONFIGURATION = ROOT / "docs/configuration.md"
PROVIDERS = ROOT / "docs/providers.md"
DATABASES = ROOT / "docs/databases.md"
RECORDING = ROOT / "docs/recording.md"
MONITORING = ROOT / "docs/monitoring.md"
COMMANDS_PAGE = ROOT / "docs/commands.md"
TROUBLESHOOTING = ROOT / "docs/troubleshooting.md"
COMPATIBILITY = ROOT / "docs/compatibility.md"
REPORTS = ROOT / "docs/reports.md"
DASHBOARD = ROOT / "docs/dashboard.md"
START = ROOT / "docs/start.md"
MOUNTING = ROOT / "docs/mounting.md"
EXTENSIONS = ROOT / "docs/extensions.md"
MIGRATION = ROOT / "docs/migration.md"
SECURITY = ROOT / "docs/security.md"
ASVS = ROOT / "docs/asvs.md"
SCALING = ROOT / "docs/scaling.md"
ARCHITECTURE = ROOT / "docs/architecture.md"
GUIDES_WITH_CODE = (START, MOUNTING, EXTENSIONS, MIGRATION, SECURITY)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def python_examples(path: Path) -> list[Example]:
    """The Python blocks of a document, in order, which share one namespace."""
    return list(Document.parse(str(path), PythonCodeBlockParser()).examples())


def run(path: Path) -> dict[str, Any]:
    """The namespace in which all Python blocks of a document have run."""
    examples = python_examples(path)
    for example in examples:
        evaluate(example)
    return examples[-1].namespace


def evaluate(example: Example) -> Flask | None:
    """Run a Python block; gives the application that it leaves."""
    example.namespace["__name__"] = "documentation"
    example.evaluate()
    app: Flask | None = example.namespace.get("app")
    if app is not None:
        close_later(app)
    return app


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of a language, in order."""
    parser = CodeBlockParser(language, evaluator=lambda _: None)
    return [str(example.parsed) for example in Document.parse(str(path), parser).examples()]


def table(path: Path, heading: str) -> list[dict[str, str]]:
    """The rows of the first table below a heading, each with its cells by column."""
    _, _, below = text_of(path).partition(f"{heading}\n")
    lines = re.findall(r"^\|.*\|$", below.split("\n#", 1)[0], re.MULTILINE)
    columns, _, *rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def column(path: Path, heading: str, name: str) -> list[str]:
    """The cells of a table's column, without the marks of code and of calls."""
    return [re.sub(r"`|\(.*\)", "", row[name]) for row in table(path, heading)]
