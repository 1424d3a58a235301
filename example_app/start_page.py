"""The page at ``/``: what runs here, and where to go on."""

from html import escape

from flask import Blueprint, Response, current_app, url_for

from example_app.curl import curl_line

_REPORT = "powerauth_telemetry.report"
_OPENAPI = "powerauth_telemetry.openapi"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>PowerAuth telemetry: example</title>
<h1>PowerAuth telemetry: example</h1>
<p>This service answers how many users were active in {what}.
The browser asks for a user name and a token: those that were printed at the start, or those of
a caller that you have configured.</p>
<ul>
<li><a href="{dashboard}">Dashboard</a></li>
{openapi}</ul>
<p>Or ask for a report in a terminal, with the token in place of TOKEN:</p>
<pre>{line}</pre>
</html>
"""


def create_blueprint(dashboard: str, application: str | None, user: str | None) -> Blueprint:
    """The route ``/``, for everybody: it reads no database, and shows no secret.

    ``dashboard`` is the path of the dashboard. ``application`` is a made-up one, None where a
    database was given, whose names are not for everybody; so is ``user``.
    """
    blueprint = Blueprint("start_page", __name__)

    @blueprint.get("/", provide_automatic_options=False)
    def start_page() -> Response:
        named = application or "YOUR-APPLICATION"
        url = url_for(_REPORT, _external=True)
        line = curl_line(url, f"{user or 'NAME'}:TOKEN", "CURRENT_MAU", {"application": named})
        link = ""
        if _OPENAPI in current_app.view_functions:  # apispec is installed
            link = f'<li><a href="{escape(url_for(_OPENAPI))}">OpenAPI document</a></li>\n'
        page = _PAGE.format(
            what="a made-up PowerAuth database" if application else "your PowerAuth database",
            dashboard=escape(dashboard),
            openapi=link,
            line=escape(line),
        )
        response = Response(page)
        response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        return response

    return blueprint
