"""A cluster with the same rows as a PostgreSQL, for all tests of a run."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.spark.cluster import JDBC_DRIVER, Cluster
from tests.spark.postgresql import TcpPostgresql, fill
from tests.spark.tables import create_tables

FULL = os.environ.get("TELEMETRY_SPARK") == "full"
ACTIVATIONS, AUDIT = (2_000_000, 5_000_000) if FULL else (100_000, 200_000)


@dataclass(frozen=True)
class Warehouse:
    """A cluster, and the PostgreSQL whose rows it has."""

    cluster: Cluster
    postgresql: Engine


@pytest.fixture(scope="session", autouse=True)
def _java() -> None:
    """Only where Debian's packages can't be installed at all, nothing is tested."""
    missing = [str(path) for path in (JDBC_DRIVER,) if not path.exists()]
    missing += [] if shutil.which("java") else ["java"]
    if not missing:
        return
    told = f"{', '.join(missing)} is missing, so Spark is NOT tested"
    if shutil.which("apt-get") is None:
        pytest.skip(told)
    pytest.fail(f"{told}: apt-get install openjdk-17-jre-headless libpostgresql-jdbc-java")


@pytest.fixture(scope="session")
def warehouse(_java: None) -> Iterator[Warehouse]:
    """Started and filled once; nothing may be left of it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="telemetry-spark-"))
    server = TcpPostgresql()
    cluster = Cluster(folder)
    try:
        started = time.monotonic()
        cluster.start()
        cluster_up = time.monotonic()
        fill(server.engine, ACTIVATIONS, AUDIT)
        filled = time.monotonic()
        create_tables(cluster.url, server.jdbc_url, ACTIVATIONS, AUDIT)
        told = {
            "cluster": cluster_up - started,
            "PostgreSQL filled": filled - cluster_up,
            "Spark filled": time.monotonic() - filled,
        }
        print({name: round(seconds) for name, seconds in told.items()})
        yield Warehouse(cluster, server.engine)
    finally:
        cluster.stop()
        server.stop()
        shutil.rmtree(folder)
    assert cluster.left() == []
