"""A database of the newest PostgreSQL where a pass takes as long as a test says; servers on it."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.extensions.serving import Servers
from tests.support.databases import KINDS, Loan
from tests.support.held import create_held_database


@pytest.fixture
def owner(loan: Loan, tmp_path: Path) -> Engine:
    owner = loan.create(KINDS[-1], tmp_path)
    create_held_database(owner)
    return owner


@pytest.fixture
def servers(owner: Engine, tmp_path: Path) -> Servers:
    return Servers(tmp_path, owner)
