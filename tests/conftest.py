"""Real databases for the tests, each empty at first, each gone afterwards."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Connection, Engine, event

from flask_powerauth_telemetry.database.dialects.postgresql import PostgreSQL
from tests.support.databases import FOLDER, KINDS, Databases, Loan, remove_folder, temporary_folder
from tests.support.needs import missing
from tests.support.reader import reader_environment  # noqa: F401 - a fixture
from tests.support.recorded import PAIRS, Site, create_site

# Slow machines are no fault; what failed once is repeated from the message, not from a file.
_SETTINGS = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("default", _SETTINGS, max_examples=300)
settings.register_profile("full", _SETTINGS, max_examples=20_000)
settings.load_profile(os.environ.get("TELEMETRY_GENERATED_REQUESTS", "default"))

pytest_plugins = ("pytester",)

# To look for cycles as often as Python does by itself takes a sixth of a run's time.
gc.set_threshold(100_000, 50, 1_000)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have all files of a run, and of its workers, in one folder that is gone afterwards."""
    if hasattr(config, "workerinput"):
        return
    folder = temporary_folder()
    os.environ[FOLDER] = str(folder)
    if not config.option.basetemp:
        config.option.basetemp = str(folder / "pytest")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it cleans up as by Ctrl-C
    config.add_cleanup(lambda: remove_folder(folder))


class Skipped(pytest.Collector):
    """A folder whose tests can't be run here, and so are not even imported."""

    def collect(self) -> list[pytest.Item]:
        """Nothing but the reason."""
        pytest.skip(f"needs {', '.join(missing(self.name))}: see CONTRIBUTING.md")


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Skip a folder that needs more than there is, unless it is asked for by its name."""
    asked = parent.session.isinitpath(path, with_parents=True)
    if asked or not missing(path.name):
        return None
    skipped: pytest.Collector = Skipped.from_parent(parent, name=path.name, path=path)
    return skipped


_SERVER_CLOCK = PostgreSQL.server_clock


@pytest.fixture(autouse=True)
def any_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests have clocks of their own, which a server's would refuse."""
    monkeypatch.setattr(PostgreSQL, "server_clock", None)


@pytest.fixture
def server_clock(any_clock: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have recordings held to the server's clock, as they are."""
    monkeypatch.setattr(PostgreSQL, "server_clock", _SERVER_CLOCK)


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Where databases of every kind come from."""
    databases = Databases()
    yield databases
    databases.stop()


@pytest.fixture
def loan(databases: Databases) -> Iterator[Loan]:
    """Where databases for a single test come from."""
    loan = Loan(databases)
    yield loan
    loan.end()


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, loan: Loan, tmp_path: Path) -> Engine:
    """The owner's engine of an empty database, on each kind in turn."""
    return loan.create(request.param, tmp_path)


@pytest.fixture(params=KINDS[1:])
def postgresql(request: pytest.FixtureRequest, loan: Loan, tmp_path: Path) -> Engine:
    """The superuser's engine of an empty PostgreSQL database, on each version in turn."""
    return loan.create(request.param, tmp_path)


@pytest.fixture
def sqlite(loan: Loan, tmp_path: Path) -> Engine:
    """The engine of an empty SQLite file."""
    return loan.create("sqlite", tmp_path)


@pytest.fixture(autouse=True)
def _disposed_engines(loan: Loan) -> Iterator[None]:
    """Close what any engine has pooled in a test, as the end of a process would.

    Databases are taken back after that.
    """
    engines: set[Engine] = set()

    def note(connection: Connection) -> None:
        engines.add(connection.engine)

    event.listen(Engine, "engine_connect", note)
    yield
    event.remove(Engine, "engine_connect", note)
    for engine in engines:
        engine.dispose()


@pytest.fixture(params=PAIRS, ids="-".join)
def site(request: pytest.FixtureRequest, loan: Loan, tmp_path: Path) -> Site:
    """A PowerAuth database and a history, of several kinds in turn."""
    return create_site(loan, request.param, tmp_path)


@pytest.fixture
def small_site(loan: Loan, tmp_path: Path) -> Site:
    """A PowerAuth database and a history, both SQLite."""
    return create_site(loan, ("sqlite", "sqlite"), tmp_path)


@pytest.fixture(params=PAIRS[1:], ids="-".join)
def postgresql_site(request: pytest.FixtureRequest, loan: Loan, tmp_path: Path) -> Site:
    """A PowerAuth database on PostgreSQL, of each version, and a history of either kind."""
    return create_site(loan, request.param, tmp_path)
