"""The alerts of the documentation: Prometheus takes them, and each fires when it should."""

import re
import subprocess
from pathlib import Path
from shutil import copy

from prometheus_client import CollectorRegistry

from flask_powerauth_telemetry.monitoring.metrics import TelemetryMetrics

RULES = Path(__file__).parents[2] / "docs/alerts.yml"
CASES = Path(__file__).with_name("cases.yml")


def promtool(*arguments: str | Path) -> str:
    """What the program says; it has to be content."""
    run = subprocess.run(
        ["promtool", *map(str, arguments)], check=False, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def names_of_alerts(pattern: str, text: str) -> set[str]:
    return set(re.findall(pattern, text))


def test_prometheus_takes_the_rules() -> None:
    rules = names_of_alerts(r"- alert: (\w+)", RULES.read_text(encoding="utf-8"))

    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", RULES)


def test_each_alert_fires_in_its_case_and_else_is_silent(tmp_path: Path) -> None:
    for file in (RULES, CASES):
        copy(file, tmp_path)

    assert "SUCCESS" in promtool("test", "rules", tmp_path / CASES.name)


def test_each_alert_has_a_case_in_which_it_fires() -> None:
    rules, cases = (file.read_text(encoding="utf-8") for file in (RULES, CASES))

    firing = r"- alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n"
    assert names_of_alerts(r"- alert: (\w+)", rules) == names_of_alerts(firing, cases)


def test_alerts_know_only_metrics_that_there_are() -> None:
    registry = CollectorRegistry()
    TelemetryMetrics(registry=registry)
    kinds = {"counter": ("_total",), "histogram": ("_bucket",), "gauge": ("",)}
    there = {metric.name + ending for metric in registry.collect() for ending in kinds[metric.type]}

    named = names_of_alerts(r"powerauth_telemetry_\w+", RULES.read_text(encoding="utf-8"))
    assert named - {"powerauth_telemetry"} <= there
    assert len(named) > 4
