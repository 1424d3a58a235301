"""The routes of the catalogue and of the OpenAPI document."""

from urllib.parse import quote

from flask import Response, request

from flask_powerauth_telemetry.auth.credentials import Principal
from flask_powerauth_telemetry.blueprint import Route
from flask_powerauth_telemetry.openapi.document import list_reports, openapi_document
from flask_powerauth_telemetry.responses import json_response
from flask_powerauth_telemetry.schemas import catalogue_envelope
from flask_powerauth_telemetry.state import TelemetryState

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
