"""How a path below the prefix gets into the URL map of an application."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import Response
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.state import TelemetryState

View = Callable[..., Response]

_CONVERTER = "powerauth_telemetry_anything"

ANYTHING_ELSE = f"<{_CONVERTER}:path>"
"""The rule below a prefix that every path fits which no other rule fits."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """A path below the prefix, such as ``reports``, that has an answer of its own.

    ``endpoint`` is its name for ``url_for``, inside the blueprint. ``methods`` are those that
    ``Allow`` names, OPTIONS among them, the one to recommend first. ``answer`` is only called for
    a principal whose credentials are good, within a request. What it raises becomes the answer of
    that error.
    """

    path: str
    endpoint: str
    methods: Sequence[str]
    answer: Callable[[TelemetryState, Principal], Response]


class _Anything(BaseConverter):
    """Any rest of a path; werkzeug's ``path`` stops at a leading slash and at a line feed."""

    regex = r"(?s:.*)"
    part_isolating = False
    weight = 1000


def add_rule(
    setup: BlueprintSetupState, path: str, view: View, methods: Sequence[str] | None = None
) -> None:
    """Add a rule with what Flask's own way doesn't allow: any method, and no merging of slashes.

    Without ``methods`` the rule is for all of them.
    """
    app = setup.app
    app.url_map.converters.setdefault(_CONVERTER, _Anything)
    endpoint = f"{setup.name_prefix}.{setup.name}.{view.__name__}".lstrip(".")
    rule = app.url_rule_class(
        path,
        endpoint=endpoint,
        methods=methods,
        subdomain=setup.subdomain,
        defaults=setup.url_defaults,
        strict_slashes=True,
        merge_slashes=False,
    )
    app.url_map.add(rule)
    app.view_functions[endpoint] = view
