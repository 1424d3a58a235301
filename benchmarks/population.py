"""PowerAuth's tables, filled with as many activations as are asked for."""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from tests.support.powerauth import add_applications, create_schema

APPLICATION = "retail"
"""The application that has all activations.

So the planner gives the reference its parallel scan. With a few applications of unequal size it
expects too few rows, and takes a slower scan of the index on application_id.
"""
APPLICATIONS = (APPLICATION, "corporate", "kiosk")
ROWS_PER_USER = 1.7
DAYS = 400
"""The days over which the last uses are spread evenly."""

_USER_ID = "'user-' || lpad(CAST(number * 7919 % :users AS text), 9, '0')"

ACTIVATION_ID = "CAST(CAST(md5(CAST({} AS text)) AS uuid) AS text)"
"""SQL for the id of the activation of a number."""

_KEY = "ALTER TABLE pa_activation {}"
_FILL = """
INSERT INTO pa_activation (activation_id, application_id, user_id, activation_name,
    activation_code, activation_status, ctr_data, device_public_key_base64,
    server_private_key_base64, server_public_key_base64, platform, device_info, protocol,
    timestamp_created, timestamp_last_used, timestamp_last_change, master_keypair_id)
SELECT {activation_id},
    1,
    {user_id},
    'A telephone', upper(left(digest, 23)), 3, left(digest, 24), repeat(digest, 3),
    repeat(digest, 5), repeat(digest, 3), CASE number % 2 WHEN 0 THEN 'ios' ELSE 'android' END,
    'Telephone of some maker', 'powerauth', used - interval '10 days', used, used, 1
FROM (
    SELECT number, md5(CAST(number AS text)) AS digest,
        localtimestamp - random() * interval '{days} days' AS used
    FROM generate_series(1, CAST(:rows AS bigint)) AS number
) AS numbered
"""
_ROW_BYTES = (
    "SELECT avg(pg_column_size(activation))"
    " FROM (SELECT * FROM pa_activation LIMIT 100000) AS activation"
)
_INDEXES = (
    "pa_activation_application ON pa_activation (application_id)",
    "pa_activation_user_id ON pa_activation (user_id)",
    "pa_activation_keypair ON pa_activation (master_keypair_id)",
    "pa_activation_code ON pa_activation (activation_code)",
    "pa_activation_expire ON pa_activation (activation_status, timestamp_activation_expire)",
)


@dataclass(frozen=True)
class Population:
    """A filled database; ``row_bytes`` is the average size of a row of ``pa_activation``."""

    engine: Engine
    rows: int
    row_bytes: int
    rows_per_user: float


def populate(engine: Engine, rows: int) -> Population:
    """Create and fill PowerAuth's tables in an empty database."""
    users = max(1, int(rows / ROWS_PER_USER))
    create_schema(engine, "2.2")
    add_applications(engine, APPLICATIONS)
    with engine.begin() as connection:
        # Indexes are built faster when the rows are there.
        drop_indexes(connection)
        fill(connection, rows, users)
        connection.exec_driver_sql(_KEY.format("ADD PRIMARY KEY (activation_id)"))
        for index in _INDEXES:
            connection.exec_driver_sql(f"CREATE INDEX {index}")
    vacuum(engine)
    with engine.connect() as connection:
        row_bytes = int(connection.exec_driver_sql(_ROW_BYTES).scalar_one())
    return Population(engine, rows, row_bytes, rows / users)


def drop_indexes(connection: Connection) -> None:
    """Drop those of new tables, the primary key among them."""
    connection.exec_driver_sql("DROP INDEX pa_activation_application, pa_activation_user_id")
    connection.exec_driver_sql(_KEY.format("DROP CONSTRAINT pa_activation_pkey"))


def fill(connection: Connection, rows: int, users: int, user_id: str = _USER_ID) -> None:
    """Write activations; ``user_id`` is SQL of their ``number``, from 1 on, and ``:users``."""
    activation_id = ACTIVATION_ID.format("number")
    statement = text(_FILL.format(activation_id=activation_id, user_id=user_id, days=DAYS))
    connection.execute(statement, {"rows": rows, "users": users})


def vacuum(engine: Engine) -> None:
    """Make room in the pages of the tables, and measure them for the planner."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE pa_application, pa_activation")
