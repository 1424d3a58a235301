"""PowerAuth's tables on Spark: read from PostgreSQL by JDBC, and copied to Parquet files."""

from sqlalchemy import Engine, make_url

from flask_powerauth_telemetry.database.engine import create_read_only_engine

JDBC, PARQUET, HELD = "powerauth_jdbc", "powerauth_parquet", "powerauth_held"
"""Schemas: the tables by JDBC, as files, and files whose activations are read slowly."""

TABLES = ("pa_application", "pa_activation", "pa_activation_history", "pa_signature_audit")
PARTITIONS = 4
_JDBC = """
CREATE TABLE {schema}.{table} USING org.apache.spark.sql.jdbc OPTIONS (
    url '{url}', user 'postgres', dbtable '{relation}', driver 'org.postgresql.Driver',
    preferTimestampNTZ 'true', fetchsize '10000'{partitions}
)
"""
_PARTITIONED = """,
    partitionColumn '{column}', lowerBound '0', upperBound '{upper}', numPartitions '{count}'
"""
# An activation has no number by which it could be read in parts, so there is one made up.
_ACTIVATIONS = (
    "(SELECT activation_id, application_id, user_id, activation_status, platform,"
    " timestamp_created, timestamp_last_used,"
    f" abs(hashtext(activation_id) % {PARTITIONS}) AS part FROM pa_activation) AS activation"
)
_SLOW_ROW = "java_method('java.lang.Thread', 'sleep', 250L) IS NULL"


def create_tables(url: str, jdbc_url: str, activations: int, audit: int) -> None:
    """All schemas, by the Thrift server itself; the numbers of rows are as they were filled."""
    engine = create_read_only_engine(make_url(url), {"connect_args": {"timeout": None}})
    parted = {
        "pa_activation": (_ACTIVATIONS, "part", PARTITIONS),
        "pa_activation_history": ("pa_activation_history", "id", 2 * activations),
        "pa_signature_audit": ("pa_signature_audit", "id", audit),
    }
    _run(engine, *(f"CREATE SCHEMA {schema}" for schema in (JDBC, PARQUET, HELD)))
    for table in TABLES:
        relation, *partition = parted.get(table, (table,))
        _run(engine, _jdbc_table(table, jdbc_url, str(relation), partition))
        _run(
            engine, f"CREATE TABLE {PARQUET}.{table} USING parquet AS SELECT * FROM {JDBC}.{table}"
        )
        _run(engine, f"CREATE VIEW {HELD}.{table} AS {_held(table, activations)}")
    engine.dispose()


def _jdbc_table(table: str, url: str, relation: str, partition: list[object]) -> str:
    partitions = ""
    if partition:
        column, upper = partition
        partitions = _PARTITIONED.format(column=column, upper=upper, count=PARTITIONS)
    return _JDBC.format(schema=JDBC, table=table, url=url, relation=relation, partitions=partitions)


def _held(table: str, activations: int) -> str:
    """A view; reading activations takes about 16 sleeps on each of two cores."""
    select = f"SELECT * FROM {PARQUET}.{table}"
    if table != "pa_activation":
        return select
    return f"{select} WHERE NOT (pmod(hash(user_id), {activations // 40}) = 0 AND {_SLOW_ROW})"


def _run(engine: Engine, *statements: str) -> None:
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
