"""Responses of the dashboard: HTML and CSV, by a strict policy."""

from collections.abc import Mapping
from http import HTTPStatus

from flask import Response

from flask_powerauth_telemetry.dashboard.links import Links
from flask_powerauth_telemetry.dashboard.rendering import render
from flask_powerauth_telemetry.responses import error_headers, log_and_translate

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
EVERY_RESPONSE: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""The headers of every response, of styles and scripts as well."""

_NEVER_STORED = {"Cache-Control": "no-store"}


def html_response(
    text: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A page."""
    return Response(
        text,
        status,
        {"Content-Type": "text/html; charset=utf-8", **_NEVER_STORED, **(headers or {})},
    )


def csv_response(text: str, filename: str) -> Response:
    """A file to be saved; ``filename`` is ASCII without quotes."""
    headers = {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{filename}"',
    }
    return Response(text, 200, {**headers, **_NEVER_STORED})


def error_page(error: Exception, links: Links) -> Response:
    """The page for a request that an exception has ended; a fault is logged and signalled."""
    known = log_and_translate(error)
    message = known.public_message or known.message
    text = render("error.html", links=links, title=HTTPStatus(known.status).phrase, message=message)
    return html_response(text, known.status, error_headers(known))
