"""Prometheus metrics: what they count, and that they never cost a query."""

import math
import subprocess
import sys
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from flask_powerauth_telemetry import ConfigurationError
from flask_powerauth_telemetry.monitoring import access_log
from flask_powerauth_telemetry.monitoring.metrics import TelemetryMetrics
from tests.support import powerauth
from tests.support.service import CREDENTIALS, NOW, ask, create_app, recorded_statements, url_of


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def users(sqlite: Engine) -> Engine:
    """A database in which retail has three users, and corporate none."""
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail", "corporate"])
    used = powerauth.wall_clock(NOW - timedelta(days=2), UTC)
    powerauth.add_activations(
        sqlite,
        [powerauth.Activation(f"a{number}", 1, f"u{number}", used) for number in range(3)],
    )
    return sqlite


def samples(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """The values of a metric as they are exposed, by their labels' values."""
    text = generate_latest(registry).decode()
    return {
        tuple(value for label, value in sorted(sample.labels.items()) if label != "telemetry"): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"powerauth_telemetry_{name}"
    }


def measured(engine: Engine, registry: CollectorRegistry, **keys: Any) -> Flask:
    app = create_app(engine, **keys)
    TelemetryMetrics(app, registry=registry)
    return app


def test_requests_are_counted_by_report_source_and_status(
    users: Engine, registry: CollectorRegistry
) -> None:
    client = measured(users, registry).test_client()

    for _ in range(3):
        ask(client, "current_mau", {"application": "retail"})
    ask(client, "current_mau", {"application": "nowhere"})
    for number in range(3):
        ask(client, f"REPORT_{number}")
    ask(client, user=("billing", "wrong"))
    ask(client, path="/rest/v3/telemetry/nothing")

    assert samples(registry, "requests_total") == {
        ("CURRENT_MAU", "live", "200"): 3,
        ("CURRENT_MAU", "none", "400"): 1,
        ("other", "none", "400"): 3,
        ("none", "none", "401"): 1,
        ("none", "none", "404"): 1,
    }
    assert samples(registry, "report_seconds_count") == {("CURRENT_MAU",): 1}
    assert 0 < samples(registry, "report_seconds_sum")["CURRENT_MAU",] < 60
    # Rules and panels of operators name these.
    assert [float(bound) for bound, _ in samples(registry, "report_seconds_bucket")] == [
        *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
        math.inf,
    ]


def test_users_are_shown_as_last_reported(users: Engine, registry: CollectorRegistry) -> None:
    client = measured(users, registry).test_client()

    ask(client, "CURRENT_MAU", {"application": "retail"})
    ask(client, "USERS_IN_PAST_DAYS", {"application": "retail", "days": 1})
    ask(client, "USERS_IN_PAST_DAYS", {"application": "corporate", "days": 7})
    ask(client, "USERS_IN_PAST_DAYS", {"application": "nowhere", "days": 7})

    assert samples(registry, "active_users") == {
        ("retail", "30"): 3,
        ("retail", "1"): 0,
        ("corporate", "7"): 0,
    }
    assert set(samples(registry, "active_users_timestamp_seconds").values()) == {NOW.timestamp()}


def test_callers_make_no_series_where_unknown_applications_have_no_users(
    users: Engine, registry: CollectorRegistry
) -> None:
    client = measured(users, registry, STRICT_APPLICATION=False).test_client()

    for name in ("nowhere", "corporate", "retail"):
        ask(client, "CURRENT_MAU", {"application": name})
    ask(client, "USERS_IN_PAST_DAYS", {"application": "retail", "days": 1})

    assert samples(registry, "active_users") == {("retail", "30"): 3, ("retail", "1"): 0}


def test_scrape_sends_no_statement(users: Engine, registry: CollectorRegistry) -> None:
    client = measured(users, registry).test_client()
    ask(client, "CURRENT_MAU", {"application": "retail"})

    with recorded_statements() as statements:
        generate_latest(registry)

    assert statements == []


def test_instances_have_a_label(users: Engine, registry: CollectorRegistry) -> None:
    keys = {"EMEA_DATABASE_URL": url_of(users), "EMEA_CREDENTIALS": CREDENTIALS}
    app = measured(users, registry, arguments={"name": "emea"}, **keys)

    ask(app.test_client(), "CURRENT_MAU", {"application": "retail"})

    labels = {"telemetry": "emea", "application": "retail", "days": "30"}
    assert registry.get_sample_value("powerauth_telemetry_active_users", labels) == 3


def test_one_object_measures_several_applications(
    users: Engine, registry: CollectorRegistry
) -> None:
    metrics = TelemetryMetrics(registry=registry)
    for app in (create_app(users), create_app(users)):
        metrics.init_app(app)
        ask(app.test_client(), "CURRENT_MAU", {"application": "retail"})

    assert samples(registry, "requests_total") == {("CURRENT_MAU", "live", "200"): 2}


def test_application_is_measured_once(users: Engine, registry: CollectorRegistry) -> None:
    metrics = TelemetryMetrics(registry=registry)
    app = create_app(users)
    metrics.init_app(app)

    with pytest.raises(ConfigurationError, match="is on this application already"):
        metrics.init_app(app)


def test_metrics_add_no_route(users: Engine, registry: CollectorRegistry) -> None:
    plain, app = create_app(users), measured(users, registry)

    assert [*map(str, app.url_map.iter_rules())] == [*map(str, plain.url_map.iter_rules())]


def test_base_works_without_the_package(users: Engine) -> None:
    code = """
import sys
sys.modules["prometheus_client"] = None
from sqlalchemy import create_engine, NullPool
from tests.support.service import ask, create_app
app = create_app(create_engine(sys.argv[1], poolclass=NullPool))
print(ask(app.test_client(), parameters={"application": "retail"}).status_code)
try:
    import flask_powerauth_telemetry.monitoring.metrics
except ImportError as error:
    print(error.name)
"""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, url_of(users)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stdout.split() == ["200", "prometheus_client"], result.stderr


def test_workers_of_several_processes_are_added_up(users: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    worker = """
import sys
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine, NullPool
from flask_powerauth_telemetry.monitoring import access_log
from flask_powerauth_telemetry.monitoring.metrics import TelemetryMetrics
from tests.support.service import ask, create_app
app = create_app(create_engine(sys.argv[1], poolclass=NullPool))
TelemetryMetrics(app, registry=CollectorRegistry())
ask(app.test_client(), parameters={"application": "retail"})
"""
    scrape = """
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""
    texts = [
        subprocess.run(
            [sys.executable, "-c", code, url_of(users)],
            env={"PROMETHEUS_MULTIPROC_DIR": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for code in (worker, worker, scrape)
    ]

    shown = {
        sample.name: sample.value
        for family in text_string_to_metric_families(texts[-1])
        for sample in family.samples
    }
    assert shown["powerauth_telemetry_requests_total"] == 2
    assert shown["powerauth_telemetry_report_seconds_count"] == 2
    assert shown["powerauth_telemetry_active_users"] == 3


def test_callers_make_no_series_by_windows(users: Engine, registry: CollectorRegistry) -> None:
    client = measured(users, registry).test_client()
    for days in range(1, 366):
        ask(client, "USERS_IN_PAST_DAYS", {"application": "retail", "days": days})
    windows = {"1", "7", "30", "90", "365"}
    for name in ("active_users", "active_users_timestamp_seconds"):
        assert {labels[1] for labels in samples(registry, name)} == windows


def test_users_shown_never_go_back_in_time(users: Engine, registry: CollectorRegistry) -> None:
    clock = {"now": NOW}
    app = create_app(users, clock=lambda: clock["now"], CACHE_SECONDS=3600)
    TelemetryMetrics(app, registry=registry)
    ask(app.test_client(), parameters={"application": "retail"})
    (labels,) = samples(registry, "active_users")
    # Another process has computed a newer number since; this one answers from what it keeps.
    app.extensions["powerauth_telemetry_metrics"]._users.labels(
        "powerauth_telemetry", "retail", "30"
    ).set(99)
    clock["now"] += timedelta(minutes=5)
    ask(app.test_client(), parameters={"application": "retail"})
    assert samples(registry, "active_users")[labels] == 99


def test_kept_answers_and_failures_are_counted(users: Engine, registry: CollectorRegistry) -> None:
    app = measured(users, registry)
    for _ in range(3):
        ask(app.test_client(), parameters={"application": "retail"})
    with users.begin() as connection:
        connection.exec_driver_sql("DROP TABLE pa_activation")
    ask(app.test_client(), parameters={"application": "corporate"})
    assert samples(registry, "kept_answers_total") == {("CURRENT_MAU",): 2}
    assert samples(registry, "failures_total") == {("DatabaseFault", "CURRENT_MAU"): 1}
    assert samples(registry, "waiting_callers") == {(): 0}


def test_metrics_alone_build_no_record(
    users: Engine, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    def note(event: str, *_: object) -> dict[str, object]:
        built.append(event)
        return {"event": event}

    monkeypatch.setattr(access_log, "fields_of", note)
    client = measured(users, registry).test_client()
    ask(client, parameters={"application": "retail"})
    assert built == []
    ask(client, parameters={"application": "nowhere"})
    assert built == ["report_failed"]
