"""The documentation site: built with warnings as errors, whole, and without other hosts."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.site.conftest import ROOT, build

DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in [
        *ROOT.glob("docs/*.md"),
        *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")),
    ]
)
NAMESPACES = ("http://www.w3.org/",)
"""What looks like an address in pictures and scripts, and is none."""
NAMED_IN_COMMENTS = ("https://snowballstem.org/", "https://developer.mozilla.org/")
LOADING = {"src", "srcset", "data", "poster", "xlink:href", "background", "action"}
"""Attributes by which a page loads something, or sends to it; ``href`` does in ``link`` alone."""


class Loads(HTMLParser):
    """What a page makes a browser ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.drawings = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = LOADING | ({"href"} if tag in {"link", "image", "use"} else set())
        self.addresses += [value for name, value in attrs if name in names and value]
        self.drawings += tag == "svg" and ("role", "graphics-document document") in attrs


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def loads(page: Path) -> Loads:
    parser = Loads()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


def test_every_document_is_a_page(site: Path) -> None:
    assert {path for path in DOCUMENTS if not (site / path.with_suffix(".html")).is_file()} == set()


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    for page in pages(site):
        for address in loads(page).addresses:
            assert not re.match(r"(?i)[a-z][a-z0-9+.-]*:|//", address), f"{page}: {address}"


def test_what_pages_load_is_there(site: Path) -> None:
    for page in pages(site):
        for address in loads(page).addresses:
            target = page.parent / re.split("[?#]", address)[0]
            assert target.resolve().exists(), f"{page}: {address}"


def test_styles_and_scripts_name_no_other_host(site: Path) -> None:
    known = (*NAMESPACES, *NAMED_IN_COMMENTS)
    files = [path for path in site.rglob("*") if path.suffix in {".css", ".js", ".svg"}]

    found = {
        (path.name, address)
        for path in files
        for address in re.findall(
            r"(?:https?:|wss?:)//[^\s\"')]+|url\(\s*[\"']?//[^)]*", path.read_text("utf-8")
        )
        if path.name != "searchindex.js" and not address.startswith(known)
    }

    assert files
    assert found == set()


def test_diagrams_are_drawn(site: Path) -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")

    page = loads(site / "docs/architecture.html")

    assert page.drawings == text.count("```mermaid") > 0


def test_search_finds_every_report(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    headings = re.findall(r"^## ([A-Z_]+)$", (ROOT / "docs/reports.md").read_text(), re.MULTILINE)

    assert headings
    assert [name for name in headings if name not in index] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[away](missing.md)", "missing"),
        ("[away](start.md#nowhere)", "nowhere"),
        ("```json\n{'no': json}\n```", "json"),
    ],
)
def test_mistake_in_a_document_fails_the_build(tmp_path: Path, text: str, message: str) -> None:
    source = tmp_path / "clone"
    (source / "docs").mkdir(parents=True)
    for name in ("conf.py", "diagrams.py", "static", "templates"):
        (source / "docs" / name).symlink_to(ROOT / "docs" / name)
    (source / "docs/start.md").write_text("# Start\n", encoding="utf-8")
    (source / "docs/index.md").write_text(f"# Index\n\n{text}\n", encoding="utf-8")

    result = build(tmp_path / "html", source)

    assert result.returncode != 0
    assert message in result.stderr
