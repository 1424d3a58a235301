"""What docs/spark.md shows: its statements are run, its commands are those that were run."""

import shlex
from pathlib import Path

from sqlalchemy import Connection, make_url, text

from flask_powerauth_telemetry.database.engine import create_read_only_engine
from tests.spark.cluster import HOST
from tests.spark.conftest import Warehouse
from tests.support.documents import blocks

GUIDE = Path(__file__).parents[2] / "docs/spark.md"
JDBC, PARQUET = "documented_jdbc", "documented_parquet"


def rows_of(connection: Connection, table: str) -> int:
    return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_documented_tables_have_all_rows(warehouse: Warehouse) -> None:
    source = warehouse.postgresql.url
    values = {
        "REPLICA/powerauth": f"{source.host}:{source.port}/{source.database}",
        "telemetry_reader": "postgres",
        "powerauth_jdbc": JDBC,
        "powerauth_parquet": PARQUET,
    }
    script = "\n".join(blocks(GUIDE, "sql"))
    for placeholder, value in values.items():
        assert placeholder in script
        script = script.replace(placeholder, value)
    url = make_url(warehouse.cluster.url)
    engine = create_read_only_engine(url, {"connect_args": {"timeout": None}})

    with engine.connect() as connection, warehouse.postgresql.connect() as postgresql:
        for statement in (f"CREATE SCHEMA {JDBC}", f"CREATE SCHEMA {PARQUET}", *script.split(";")):
            if statement.strip():
                connection.exec_driver_sql(statement)

        compared = connection.exec_driver_sql(script.split(";")[-2]).one()
        activations, audit = "pa_activation", "pa_signature_audit"
        assert compared == (rows_of(postgresql, audit),) * 2
        assert rows_of(connection, f"{JDBC}.{activations}") == rows_of(postgresql, activations)
        assert rows_of(connection, f"{PARQUET}.{audit}") == rows_of(postgresql, audit) > 0


def test_documented_commands_are_those_that_ran(warehouse: Warehouse) -> None:
    master, thrift = map(str, warehouse.cluster.ports)
    (block,) = blocks(GUIDE, "sh")
    text_run = block.replace("7077", master).replace("10000", thrift).replace("HOST", HOST)
    text_run = text_run.replace("FOLDER", str(warehouse.cluster.folder))

    exported, *lines = text_run.replace("\\\n", "").splitlines()

    variables = dict(one.split("=", 1) for one in shlex.split(exported)[1:])
    assert variables.items() <= warehouse.cluster.environment.items()
    assert len(lines) == 3
    for line in lines:
        assert any(set(shlex.split(line)) <= set(ran) for ran in warehouse.cluster.commands), line


def test_cluster_listens_on_the_named_address_alone(warehouse: Warehouse) -> None:
    assert warehouse.cluster.addresses() == {HOST}
