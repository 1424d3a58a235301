"""The plan of the house: rooms import only rooms below them, and optional ones are not loaded."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "flask_powerauth_telemetry"
ROOMS = [
    "__init__",
    "testing",
    "dashboard",
    "extension",
    "factory",
    "cli",
    "openapi",
    "blueprint",
    "responses",
    "monitoring",
    "state",
    "history",
    "service",
    "registry",
    "reports",
    "providers",
    "config",
    "auth",
    "computation",
    "database",
    "schemas",
    "tabular",
    "fields",
    "exceptions",
    "text",
]
"""From the top: each may import those that come after it."""

WITH_FLASK = set(ROOMS[: ROOMS.index("history")]) - {"__init__", "testing"} | {"auth.basic"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in (ROOT / PACKAGE).rglob("*.py")}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imports_of(module: str) -> Iterator[str]:
    """The full names of all that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            children = {f"{base}.{alias.name}" for alias in node.names}
            yield from children & MODULES.keys() or {base}


def own_imports(module: str) -> set[str]:
    return {name for name in imports_of(module) if name in MODULES}


def loaded_by(statement: str) -> set[str]:
    """The modules of the package that a new process has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name for name in process.stdout.split() if name.partition(".")[0] == PACKAGE}


def test_every_room_has_its_place() -> None:
    assert {room_of(module) for module in MODULES} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_only_rooms_below_it(room: str) -> None:
    below = ROOMS[ROOMS.index(room) :]
    mine = [module for module in MODULES if room_of(module) == room]

    above = {(m, name) for m in mine for name in own_imports(m) if room_of(name) not in below}

    assert above == set()


def test_no_module_imports_itself_by_others() -> None:
    order = TopologicalSorter({module: own_imports(module) - {module} for module in MODULES})

    order.prepare()  # raises CycleError


def test_flask_stays_in_its_rooms() -> None:
    flask = {"flask", "flask_httpauth"}
    found = {m for m in MODULES if flask & {name.partition(".")[0] for name in imports_of(m)}}

    assert {
        m for m in found if not {room_of(m), m.removeprefix(f"{PACKAGE}.")} & WITH_FLASK
    } == set()


def test_importing_the_package_loads_no_optional_room() -> None:
    loaded = loaded_by(f"import {PACKAGE}")
    optional = {"cli", "dashboard", "history", "openapi"}

    assert {module for module in loaded if room_of(module) in optional} == set()
    assert f"{PACKAGE}.monitoring.metrics" not in loaded
    assert {m.rpartition(".")[2] for m in loaded if room_of(m) == "reports"} == {
        "reports",
        "activity",
        "active_users",
    }
    assert len(loaded) <= 45
