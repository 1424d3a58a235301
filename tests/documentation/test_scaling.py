"""The table of docs/scaling.md is what the model says, and its SQL for PostgreSQL runs."""

from sqlalchemy import Engine

from benchmarks.model import lines
from tests.support import powerauth
from tests.support.documents import SCALING, blocks, text_of


def test_documented_table_is_that_of_the_model() -> None:
    assert "\n".join(lines()) in text_of(SCALING)


def test_documented_publication_has_no_secret(postgresql: Engine) -> None:
    powerauth.create_schema(postgresql)
    (publication,) = blocks(SCALING, "sql")

    with postgresql.connect() as connection:
        connection.exec_driver_sql(publication)
        published = connection.exec_driver_sql(
            "SELECT tablename, unnest(attnames) FROM pg_publication_tables"
        ).all()

    names = {name for table, name in published if table == "pa_activation"}
    assert {name for table, name in published} - names == {"id", "name"}
    assert {"activation_id", "user_id", "timestamp_last_used"} < names
    assert not {name for name in names if "key" in name or "otp" in name or "ctr" in name}
