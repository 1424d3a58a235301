"""Responses: pages of HTML out of templates, and CSV, by a strict policy.

Templates have an environment of our own: a host's settings change nothing here.
"""

from collections.abc import Mapping
from datetime import UTC
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, request, url_for
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from werkzeug.datastructures import Headers

from flask_powerauth_telemetry.dashboard import formats
from flask_powerauth_telemetry.dashboard.figures.base import Bar, Share
from flask_powerauth_telemetry.responses import error_headers, log_and_translate

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_EVERY_RESPONSE: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

# No cache may keep a page or a file with names or numbers in it.
_PRIVATE: Mapping[str, str] = {**_EVERY_RESPONSE, "Cache-Control": "no-store"}

OUR_VARIABLES = frozenset({"key", "filename"})
"""The variables of our paths; others are those of a prefix of the host's."""

_environment = Environment(
    loader=PackageLoader("flask_powerauth_telemetry.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def strict(response: Response, headers: Mapping[str, str] = _EVERY_RESPONSE) -> Response:
    """The response, whose headers hold, whatever the host's own functions set or remove."""

    def get_wsgi_headers(environ: "WSGIEnvironment") -> Headers:
        sent = type(response).get_wsgi_headers(response, environ)
        sent.update(headers)
        return sent

    # Of the response, not of a class of ours: Flask replaces that by one that the host has.
    vars(response)["get_wsgi_headers"] = get_wsgi_headers
    return response


def page(
    template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> Response:
    """The page that a template makes; all values are escaped in it."""
    text = _environment.get_template(template).render(**values)
    return strict(Response(text, status, headers, mimetype="text/html"), _PRIVATE)


def csv_response(text: str, filename: str) -> Response:
    """A file to be saved; ``filename`` is ASCII without quotes."""
    saved = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return strict(Response(text, 200, saved, mimetype="text/csv"), _PRIVATE)


def error_page(error: Exception) -> Response:
    """The page for a request that an exception has ended; a fault is logged and signalled."""
    known = log_and_translate(error)
    message = known.public_message or known.message
    title = HTTPStatus(known.status).phrase
    return page("error.html", known.status, error_headers(known), title=title, message=message)


def _url_for(endpoint: str, **values: Any) -> str:
    """The address of another page below the prefix of this one, also if that has variables."""
    prefix = {k: v for k, v in (request.view_args or {}).items() if k not in OUR_VARIABLES}
    return url_for(endpoint, **prefix, **values)


def _cell(value: float | str | Share | None) -> Markup:
    """A cell's text; a line may be broken after each underscore of a name."""
    if isinstance(value, str):
        return Markup("<bdi>{}</bdi>").format(Markup("_<wbr>").join(value.split("_")))
    if isinstance(value, Share):
        return escape(formats.percentage(value.part, value.whole))
    return escape(formats.number(value))


_environment.globals.update(utc=UTC, url_for=_url_for)
_environment.filters.update(
    number=formats.number, cell=_cell, isolated=formats.isolated, instant=formats.instant
)
_environment.tests.update(
    bar=lambda value: isinstance(value, Bar),
    numeric=lambda value: value is None or isinstance(value, int | float | Share),
    utc=formats.is_utc,
)
