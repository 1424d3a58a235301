"""Real databases for the tests, each empty at first, each gone afterwards."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Connection, Engine, event

from tests.support.databases import KINDS, Databases
from tests.support.reader import reader_environment  # noqa: F401
from tests.support.recorded import PAIRS, Site, create_site

# Slow machines are no fault; what failed once is repeated from the message, not from a file.
_SETTINGS = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("default", _SETTINGS, max_examples=300)
settings.register_profile("full", _SETTINGS, max_examples=20_000)
settings.load_profile(os.environ.get("TELEMETRY_GENERATED_REQUESTS", "default"))

pytest_plugins = ("pytester",)


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Where databases of every kind come from."""
    databases = Databases()
    yield databases
    databases.stop()


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Engine:
    """The owner's engine of an empty database, on each kind in turn."""
    return databases.create(request.param, tmp_path)


@pytest.fixture(params=KINDS[1:])
def postgresql(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Engine:
    """The superuser's engine of an empty PostgreSQL database, on each version in turn."""
    return databases.create(request.param, tmp_path)


@pytest.fixture
def sqlite(databases: Databases, tmp_path: Path) -> Engine:
    """The engine of an empty SQLite file."""
    return databases.create("sqlite", tmp_path)


@pytest.fixture(autouse=True)
def _disposed_engines() -> Iterator[None]:
    """Close what any engine has pooled in a test, as the end of a process would."""
    engines: set[Engine] = set()

    def note(connection: Connection) -> None:
        engines.add(connection.engine)

    event.listen(Engine, "engine_connect", note)
    yield
    event.remove(Engine, "engine_connect", note)
    for engine in engines:
        engine.dispose()


@pytest.fixture(params=PAIRS, ids="-".join)
def site(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Site:
    """A PowerAuth database and a history, of several kinds in turn."""
    return create_site(databases, request.param, tmp_path)


@pytest.fixture
def small_site(databases: Databases, tmp_path: Path) -> Site:
    """A PowerAuth database and a history, both SQLite."""
    return create_site(databases, PAIRS[0], tmp_path)


@pytest.fixture(params=PAIRS[1:3], ids="-".join)
def postgresql_site(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Site:
    """A PowerAuth database on PostgreSQL, of each version, and a history of either kind."""
    return create_site(databases, request.param, tmp_path)
