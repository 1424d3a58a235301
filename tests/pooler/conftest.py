"""The pooler, with each driver in turn."""

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine

from tests.support.pooler import pooled_url


@pytest.fixture(params=("psycopg", "psycopg2"))
def pooled(request: pytest.FixtureRequest, postgresql: Engine) -> Iterator[URL]:
    """The URL of an empty database by the pooler."""
    with pooled_url(postgresql, request.param) as url:
        yield url
