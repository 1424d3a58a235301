"""Which further reports a database can answer: what ``flask telemetry check`` finds."""

import json
from collections.abc import Collection, Sequence

from flask import Flask


def answerable(app: Flask, reports: Collection[str]) -> Sequence[str]:
    """Those of the ``reports``, all of which ``app`` has, that its database has all columns for.

    None of them, where the database can't be reached or has no application.
    """
    arguments = ["telemetry", "check", "--json", "--no-pass"]
    output = app.test_cli_runner().invoke(args=arguments).stdout
    try:
        findings = json.loads(output)["findings"]
    except ValueError:
        return []
    levels: dict[str, set[str]] = {}
    for finding in findings:
        levels.setdefault(finding["facts"].get("report"), set()).add(finding["level"])
    return [
        name for name in reports if "ok" in levels.get(name, ()) and "error" not in levels[name]
    ]
