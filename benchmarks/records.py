"""PowerAuth's audit and history, filled for the activations of a population."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from benchmarks.population import ACTIVATION_ID, Population
from tests.support.powerauth_columns import INDEXES

AUDIT_PER_ACTIVATION = 10
HISTORY_PER_ACTIVATION = 5

AUDIT, HISTORY = "pa_signature_audit", "pa_activation_history"
# Rows of 1.7 kB, in the order of their times. Wultra's own sizing page has 5.7 GB for 3 million
# rows with their indexes.
_FILL_AUDIT = """
INSERT INTO pa_signature_audit (id, activation_id, activation_counter, activation_ctr_data,
    activation_status, additional_info, data_base64, note, signature_type, signature,
    timestamp_created, valid, version, signature_version, signature_metadata,
    signature_data_body, signature_algorithm, signature_format)
SELECT number, {activation_id}, number, left(digest, 24),
    3, '{{}}', repeat(digest, 20), 'signature_ok',
    (ARRAY['POSSESSION', 'POSSESSION_KNOWLEDGE', 'POSSESSION_BIOMETRY', 'ASYMMETRIC'])[kind],
    left(digest, 17), CAST(:until AS timestamp)
        - CAST(:span AS interval) * (1 - number / CAST(:rows AS float8)),
    number % 50 > 0, 3, '3.2', '{{"signatureDataMethod": "POST", "signatureDataUriId": "/"}}',
    repeat(digest, 24), CASE kind WHEN 4 THEN 'ECDSA_P256' ELSE 'PowerAuth-V3' END, 'DECIMAL'
FROM (
    SELECT number, md5(CAST(number AS text)) AS digest,
        CAST(1 + number % 3 + CAST(number % 20 = 0 AS integer) AS integer) AS kind
    FROM generate_series(1, CAST(:rows AS bigint)) AS number
) AS numbered
"""
# Activations came evenly in the past two years; each was renamed a month later, and then blocked.
_FILL_HISTORY = """
INSERT INTO pa_activation_history
    (id, activation_id, activation_status, event_reason, timestamp_created, activation_version)
SELECT row_number() OVER (ORDER BY created), {activation_id}, status,
    CASE status WHEN 4 THEN 'MAX_FAILED_ATTEMPTS' END, created, 3
FROM (
    SELECT number, status,
        localtimestamp - interval '730 days' * (1 - number / CAST(:activations AS float8)) + later
        AS created
    FROM generate_series(1, CAST(:activations AS bigint)) AS number
    CROSS JOIN (VALUES (1, interval '0'), (2, interval '20 s'), (3, interval '1 min'),
        (3, interval '30 days'), (4, interval '60 days')) AS change (status, later)
) AS changed
ORDER BY created
"""
_ROW_BYTES = "SELECT avg(pg_column_size(record)) FROM (SELECT * FROM {} LIMIT 100000) AS record"


@dataclass(frozen=True)
class Records:
    """What was written: rows and their average size in bytes, by table."""

    rows: int
    row_bytes: int


def add_records(
    population: Population, until: datetime | None = None, days: int = 365
) -> dict[str, Records]:
    """Fill the audit and the history of a population, as if PowerAuth had written them.

    The audit is that of so many days up to a naive time of the database's clock, or to now.
    """
    engine = population.engine
    activations = {"activations": population.rows}
    span = {"until": until or datetime.now(UTC).replace(tzinfo=None), "span": timedelta(days)}
    rows = {
        AUDIT: population.rows * AUDIT_PER_ACTIVATION,
        HISTORY: population.rows * HISTORY_PER_ACTIVATION,
    }
    any_activation = ACTIVATION_ID.format("1 + number * 7919 % CAST(:activations AS bigint)")
    audit = text(_FILL_AUDIT.format(activation_id=any_activation))
    history = text(_FILL_HISTORY.format(activation_id=ACTIVATION_ID.format("number")))
    with engine.begin() as connection, _without_keys(connection):
        connection.execute(audit, {**activations, **span, "rows": rows[AUDIT]})
        connection.execute(history, activations)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"VACUUM ANALYZE {AUDIT}, {HISTORY}")
        return {
            table: Records(
                rows[table], int(connection.exec_driver_sql(_ROW_BYTES.format(table)).scalar_one())
            )
            for table in (AUDIT, HISTORY)
        }


@contextmanager
def _without_keys(connection: Connection) -> Iterator[None]:
    """Keys and indexes are built faster when the rows are there; nothing has to outlive a crash."""
    for index in INDEXES:
        connection.exec_driver_sql(f"DROP INDEX {index.split()[0]}")
    for table in (AUDIT, HISTORY):
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
        connection.exec_driver_sql(f"ALTER TABLE {table} SET UNLOGGED")
    yield
    for table in (AUDIT, HISTORY):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
    for index in INDEXES:
        connection.exec_driver_sql(f"CREATE INDEX {index}")
