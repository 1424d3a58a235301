"""The command ``python -m example_app.made_up.postgresql``: a PostgreSQL made ready for a trial.

The owner's database gets PowerAuth's tables and the made-up population, a second one is for the
history. Two roles are made: one reads what the example's reports need, the other records.
"""

import os
from datetime import UTC, datetime
from typing import Any

import click
from psycopg import Connection, connect, errors, sql
from sqlalchemy import Engine, create_engine, inspect

from example_app.made_up.database import fill

HISTORY = "telemetry"
READER, RECORDER = "telemetry_reader", "telemetry_recorder"
_GRANTS = (
    f"GRANT SELECT (id, name) ON pa_application TO {READER}",
    "GRANT SELECT (application_id, user_id, timestamp_last_used, activation_status, platform)"
    f" ON pa_activation TO {READER}",
)
_HISTORY_GRANTS = (
    f"GRANT USAGE, CREATE ON SCHEMA public TO {RECORDER}",
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {RECORDER} GRANT SELECT ON TABLES TO {READER}",
)


@click.command()
def main() -> None:
    """Make PowerAuth's tables, people, a database for the history, and two roles.

    OWNER_URL in the environment is the owner's URL of PowerAuth's database, READER_PASSWORD and
    RECORDER_PASSWORD are what the roles get. What is there already is left alone.
    """
    engine = create_engine(os.environ["OWNER_URL"])
    try:
        prepare(engine, os.environ["READER_PASSWORD"], os.environ["RECORDER_PASSWORD"])
    finally:
        engine.dispose()
    click.echo("The databases are ready.")


def prepare(owner: Engine, reader_password: str, recorder_password: str) -> None:
    """Make all that is missing on the server of ``owner``, which is a superuser there."""
    if not inspect(owner).has_table("pa_application"):
        fill(owner, datetime.now(UTC).replace(tzinfo=None))
    with _connect(owner, owner.url.database) as connection:
        _create_role(connection, READER, reader_password)
        _create_role(connection, RECORDER, recorder_password)
        _create_history(connection)
        _execute(connection, _GRANTS)
    with _connect(owner, HISTORY) as connection:
        _execute(connection, _HISTORY_GRANTS)


def _connect(owner: Engine, database: str | None) -> Connection:
    url = owner.url.set(database=database)
    names = url.translate_connect_args(username="user", database="dbname")
    arguments: dict[str, Any] = {**names, **url.query}
    return connect(autocommit=True, **arguments)


def _create_role(connection: Connection, name: str, password: str) -> None:
    statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
    try:
        connection.execute(statement.format(sql.Identifier(name), sql.Literal(password)))
    except errors.DuplicateObject:
        return


def _create_history(connection: Connection) -> None:
    try:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(HISTORY)))
    except errors.DuplicateDatabase:
        return


def _execute(connection: Connection, statements: tuple[str, ...]) -> None:
    for statement in statements:
        connection.execute(statement)


if __name__ == "__main__":
    main(prog_name="python -m example_app.made_up.postgresql")
