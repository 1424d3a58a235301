"""Builds the databases of an instance from its configuration and the constructor's arguments."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import tzinfo
from difflib import get_close_matches
from pathlib import Path

from flask import Flask
from sqlalchemy import URL, Engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.config.loading import cure_of_missing
from flask_powerauth_telemetry.config.mappings import Bind
from flask_powerauth_telemetry.config.values import (
    HISTORY_BIND,
    INTEGRATION_BIND,
    PA_INTEGRATION,
    SNAPSHOT,
)
from flask_powerauth_telemetry.database.connection import MAIN, Database, always
from flask_powerauth_telemetry.database.dialects import DIALECTS, dialect_named
from flask_powerauth_telemetry.database.dialects.base import DatabaseDialect
from flask_powerauth_telemetry.database.engine import create_read_only_engine, create_writing_engine
from flask_powerauth_telemetry.database.tables import PowerAuthTables
from flask_powerauth_telemetry.exceptions import ConfigurationError
from flask_powerauth_telemetry.reports.active_users import CurrentMau

EngineSource = Engine | Callable[[], Engine]
Databases = Mapping[str | None, Database]

HISTORY_FILE = "telemetry-history.sqlite"


def with_history_bind(config: TelemetryConfig, instance_path: str) -> TelemetryConfig:
    """The configuration with a bind for the history: the one configured, or a file of SQLite."""
    own = Bind(URL.create("sqlite", database=str(Path(instance_path, HISTORY_FILE))))
    return replace(config, binds={HISTORY_BIND: own, **config.binds})


def build_databases(app: Flask, config: TelemetryConfig, engine: EngineSource | None) -> Databases:
    """The database of each bind, the main one under None; nothing is connected yet.

    Recorded reports need no main one: without a URL for it there is none. Raises
    ``ConfigurationError`` for a database that can't be used.
    """
    databases: dict[str | None, Database] = {}
    if engine is not None:
        databases[None] = _host_database(app, config, engine)
    elif config.database_url is not None or config.source != SNAPSHOT:
        databases[None] = _main_database(config)
        if config.credentials == PA_INTEGRATION:
            databases[INTEGRATION_BIND] = _integration_database(config)
    for name, bind in config.binds.items():
        key = f"{config.key('binds')}[{name!r}]"
        databases[name] = _own_database(config, name, bind, key, f"{key}['options']")
    return databases


def no_database(config: TelemetryConfig, needed: str) -> ConfigurationError:
    """The error of a configuration without the main database, which is ``needed`` for this."""
    key = config.key("database_url")
    cure = "Set it to the URL of PowerAuth's database, or pass engine= to the constructor"
    cause = f"no database is configured, and {needed}"
    return ConfigurationError(key, cause, cure_of_missing(key, cure))


def _host_database(app: Flask, config: TelemetryConfig, engine: EngineSource) -> Database:
    return Database(
        engine=_engine_source(app, engine),
        timezone=config.database_timezone,
        tables=PowerAuthTables(config.database_schema, config.tables),
        statement_timeout=config.statement_timeout,
        parallel_workers=config.parallel_workers,
        ours=False,
    )


def _engine_source(app: Flask, engine: EngineSource) -> Callable[[], Engine]:
    if not callable(engine):
        return always(_check_engine(engine))

    def engine_in_context() -> Engine:
        with app.app_context():
            return _check_engine(engine())

    return engine_in_context


def _check_engine(engine: Engine) -> Engine:
    """A host's engine, if it is one that reports can read by."""
    if not isinstance(engine, Engine):
        raise ConfigurationError(
            "engine=",
            f"is a {type(engine).__name__}",
            "Give an Engine of SQLAlchemy, or a callable that returns one",
        )
    _check_dialect("engine=", engine.dialect.name)
    if refusal := dialect_named(engine.dialect.name).refused_driver(engine.dialect):
        raise ConfigurationError("engine=", *refusal)
    return engine


def _main_database(config: TelemetryConfig, name: str = MAIN) -> Database:
    key = config.key("database_url")
    if config.database_url is None:
        raise no_database(config, "reports are read from it")
    options, workers = config.engine_options, config.parallel_workers
    bind = Bind(config.database_url, parallel_workers=workers, options=options)
    return _own_database(config, name, bind, key, config.key("engine_options"))


def _integration_database(config: TelemetryConfig) -> Database:
    """The main database by a connection of its own, so that reports never hold up credentials."""
    given = config.engine_options.items()
    options = {name: value for name, value in given if not name.startswith("pool")}
    options |= {"pool_size": 1, "max_overflow": 0}
    return _main_database(replace(config, engine_options=options), INTEGRATION_BIND)


def _own_database(
    config: TelemetryConfig, name: str, bind: Bind, url_key: str, options_key: str
) -> Database:
    engine = _create_engine(bind, url_key, options_key)
    if name != HISTORY_BIND:
        _check_dialect(url_key, engine.dialect.name)
    own_timeout = bind.statement_timeout
    return Database(
        engine=always(engine),
        timezone=_clock_of(config, name, bind) or config.database_timezone,
        tables=PowerAuthTables(bind.schema or config.database_schema, config.tables),
        statement_timeout=config.statement_timeout if own_timeout is None else own_timeout,
        parallel_workers=bind.parallel_workers,
        ours=True,
        name=name,
    )


def _clock_of(config: TelemetryConfig, name: str, bind: Bind) -> tzinfo | None:
    """The zone of a bind's own clock, if it has one; of the history, of what is recorded there."""
    if name != HISTORY_BIND:
        return bind.timezone
    recorded = config.report_binds.get(CurrentMau.name, HISTORY_BIND)
    source = None if recorded == HISTORY_BIND else config.binds.get(recorded)
    return source.timezone if source else None


def _create_engine(bind: Bind, url_key: str, options_key: str) -> Engine:
    dialect = dialect_named(bind.url.get_backend_name())
    try:
        refusal = dialect.refused_driver(bind.url.get_dialect()) or dialect.refusal(bind.url)
        if refusal:
            raise ConfigurationError(url_key, *refusal)
        return create_read_only_engine(bind.url, bind.options)
    except ImportError as error:
        if bind.url.get_backend_name() not in DIALECTS:
            raise _unreadable(url_key, f"its driver {error.name} is not installed") from error
        raise _missing_driver(url_key, dialect, str(error.name)) from error
    except (ArgumentError, TypeError, AttributeError, ValueError) as error:
        if dialect.driver is not None and isinstance(error, NoSuchModuleError):
            raise _missing_driver(url_key, dialect, dialect.driver) from error
        cause = str(error).partition("\n")[0].partition(", using")[0]
        if _is_right(bind.url):
            raise ConfigurationError(options_key, cause, "Correct the options") from error
        cause = f"no engine can be made of it: {cause}"
        raise ConfigurationError(url_key, cause, _right_url(bind.url)) from error


def _is_right(url: URL) -> bool:
    """Whether an engine can be made of a URL, without any options."""
    try:
        create_writing_engine(url, {})
    except (ArgumentError, TypeError, AttributeError, ValueError):
        return False
    return True


def _right_url(url: URL) -> str:
    """What to write in place of an URL that SQLAlchemy can't read."""
    if url.get_backend_name() == "sqlite":
        return "Write sqlite:////FOLDER/FILE"
    named = get_close_matches(url.get_backend_name(), DIALECTS, n=1)
    scheme = dialect_named(named[0]).scheme if named else None
    return f"Begin the URL by {scheme}://" if scheme else "Correct the URL"


def _missing_driver(key: str, dialect: DatabaseDialect, driver: str) -> ConfigurationError:
    package = dialect.packages.get(driver, driver)
    return ConfigurationError(
        key, f"its driver {driver} is not installed", f"Install it: pip install '{package}'"
    )


def _check_dialect(key: str, dialect: str) -> None:
    """Refuse what reports can't read; any other kind of database can only hold the history."""
    if dialect not in DIALECTS:
        raise _unreadable(key, f"reports can't read {dialect}")


def _unreadable(key: str, cause: str) -> ConfigurationError:
    """The error of a kind of database that can hold the history at most."""
    cure = f"Use one of {', '.join(sorted(DIALECTS))}; a history can be elsewhere, with a driver"
    return ConfigurationError(key, cause, cure)
