"""What is particular to each kind of database: a file for each, found by its name.

Another database takes a file here, with a class derived from ``base.DatabaseDialect``, and one
line of ``DIALECTS``.
"""

from functools import cache

from werkzeug.utils import import_string

from flask_powerauth_telemetry.database.dialects.base import DatabaseDialect

DIALECTS = {
    "clickhousedb": "clickhouse:ClickHouse",
    "impala": "spark:Spark",
    "mssql": "mssql:SQLServer",
    "oracle": "oracle:Oracle",
    "postgresql": "postgresql:PostgreSQL",
    "sqlite": "sqlite:SQLite",
}
"""The databases that reports can read: SQLAlchemy's name of the dialect, our module and class."""

_UNKNOWN = "base:DatabaseDialect"


@cache
def dialect_named(name: str) -> DatabaseDialect:
    """What is particular to SQLAlchemy's dialect of this name; the defaults for another one.

    Its module is imported at the first look-up.
    """
    dialect: DatabaseDialect = import_string(f"{__name__}.{DIALECTS.get(name, _UNKNOWN)}")()
    return dialect
