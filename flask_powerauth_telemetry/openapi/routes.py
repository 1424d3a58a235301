"""The catalogue of reports, and the routes of it and of the OpenAPI document."""

import json
import re
from urllib.parse import quote

from apispec import APISpec
from flask import Response, request

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.blueprint import Route
from flask_powerauth_telemetry.openapi.document import SCHEMAS, empty_spec, openapi_document
from flask_powerauth_telemetry.openapi.schemas import Keywords
from flask_powerauth_telemetry.registry import ReportRegistry
from flask_powerauth_telemetry.responses import json_response
from flask_powerauth_telemetry.schemas import catalogue_envelope, encode
from flask_powerauth_telemetry.state import TelemetryState

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_READ = ("GET", "HEAD", "OPTIONS")


def _read_reports(state: TelemetryState, _: Principal, path: str) -> Response:
    return json_response(catalogue_envelope(list_reports(state.registry)))


REPORTS = Route(path="reports", endpoint="reports", methods=_READ, read=_read_reports)
"""The catalogue; scopes restrict applications, so every principal sees every report."""


def _read_openapi(state: TelemetryState, _: Principal, path: str) -> Response:
    # Without a host: a path is right behind every proxy that tells its prefix.
    base = (request.script_root + request.path).removesuffix(f"/{OPENAPI.path}")
    return json_response(openapi_document(state.registry, quote(base) or "/"))


OPENAPI = Route(path="openapi.json", endpoint="openapi", methods=_READ, read=_read_openapi)
"""The description of the API."""

ROUTES = (REPORTS, OPENAPI)


def list_reports(registry: ReportRegistry) -> list[Keywords]:
    """The reports in the order in which they were registered, as JSON can carry them.

    ``parameters`` and ``reportData`` of each are JSON Schemas.
    """
    entries = []
    for report in registry:
        spec, plugin = empty_spec()
        parameters = _alone(plugin.parameters(report.parameters_schema), spec)
        data = _alone(plugin.report_data(report.data_schema), spec)
        known = {"name": report.name, "definition": report.definition}
        entries.append(known | {"parameters": parameters, "reportData": data})
    return entries


def _alone(schema: Keywords, spec: APISpec) -> Keywords:
    """A schema outside the document, with those that it refers to inside."""
    inside: Keywords = {}
    pending = [schema]
    while pending:
        for name in re.findall(rf'"{SCHEMAS}(\w+)"', encode(pending.pop())):
            if name in spec.components.schemas and name not in inside:
                inside[name] = spec.components.schemas[name]
                pending.append(inside[name])
    whole = {"$schema": DIALECT, **schema} | ({"$defs": inside} if inside else {})
    alone: Keywords = json.loads(encode(whole).replace(f'"{SCHEMAS}', '"#/$defs/'))
    return alone
