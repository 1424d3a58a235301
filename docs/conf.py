"""How the documentation site is built from the Markdown files, by ``sphinx-build -c docs .``."""

import re
import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from pygments.lexers.sql import SqlLexer
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

project = "flask-powerauth-telemetry"
extensions = ["myst_parser", "diagrams"]

include_patterns = ["docs/*.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
exclude_patterns = [".*", "build", "dist", "benchmarks", "example_app", "tests", "*.egg-info"]
root_doc = "docs/index"

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

html_theme = "furo"
html_title = "Flask PowerAuth Telemetry"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_additional_pages = {"index": "redirect.html"}
templates_path = ["templates"]


def setup(app: Sphinx) -> None:
    """Add what Markdown files that are read on other sites, too, can't say themselves."""
    app.add_lexer("cron", TextLexer)
    app.add_lexer("plsql", SqlLexer)
    app.add_lexer("clickhouse", SqlLexer)
    app.connect("source-read", _add_contents)


def _add_contents(_: Sphinx, document: str, source: list[str]) -> None:
    """Make the sections of docs/index.md the contents; a page missing there fails the build."""
    if document == root_doc:
        sections = re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", source[0], re.MULTILINE)
        source[0] += "".join(_contents(caption, text) for caption, text in sections)


def _contents(caption: str, text: str) -> str:
    documents = re.findall(r"\]\((\.\.)?/?(\w+)\.md\)", text)
    listed = "\n".join(f"/{name}" if above else name for above, name in documents)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"
