"""Request cases beyond those of ``data/conformance.json``, in the same form."""

import base64
import json
from typing import Any

Case = dict[str, Any]

PATH = "/rest/v3/telemetry/report"
JSON = {"Content-Type": "application/json"}
TELEMETRY = "ERROR_TELEMETRY"
REQUEST = "ERROR_HTTP_REQUEST"


def case(
    name: str,
    status: int,
    code: str | None = None,
    *,
    auth: str = "good",
    method: str = "POST",
    path: str = PATH,
    headers: dict[str, str] | None = None,
    **body: Any,
) -> Case:
    return {
        "id": name,
        "method": method,
        "path": path,
        "headers": JSON if headers is None else headers,
        "auth": auth,
        "expect": {"status": status, "code": code},
        **body,
    }


def report(name: object = "USERS_IN_PAST_DAYS", **parameters: object) -> dict[str, object]:
    return {"requestObject": {"name": name, "parameters": parameters}}


def past_days(days: object) -> dict[str, object]:
    return report(application="demo-app", days=days)


def mau(application: object = "demo-app") -> dict[str, object]:
    return report("CURRENT_MAU", application=application)


def nested(levels: int) -> str:
    """A valid request with ``levels`` levels of nesting, the two of the envelope among them."""
    lists = "[" * (levels - 2) + "]" * (levels - 2)
    inner = '"name":"CURRENT_MAU","parameters":{"application":"demo-app"}'
    return f'{{"requestObject":{{{inner},"x":{lists}}}}}'


def encoded(text: str, encoding: str) -> str:
    return base64.b64encode(text.encode(encoding)).decode()


VALID = past_days(7)
VALID_TEXT = json.dumps(mau())
LIMIT = 65_536


def days_text(number: str) -> str:
    return json.dumps(past_days(7)).replace("7", number)


BEFORE_OTHERS: dict[str, dict[str, Any]] = {
    "before-404": {"path": "/rest/v3/telemetry/other", "body_json": VALID},
    "before-405": {"method": "DELETE"},
    "before-415": {"headers": {}, "body_text": "x"},
    "before-413": {"body_text": "x" * 70_000},
    "before-400": {"body_text": "{"},
    "options": {"method": "OPTIONS", "headers": {}},
    "base-path": {"method": "GET", "path": "/rest/v3/telemetry", "headers": {}},
}
RIGHT_DAYS: dict[str, object] = {
    "1": 1,
    "364": 364,
    "string-1": "1",
    "string-007": "007",
    "string-365": "365",
}
WRONG_DAYS: dict[str, object] = {
    "string-0": "0",
    "string-000": "000",
    "string-0030": "0030",
    "string-plus": "+30",
    "string-minus": "-1",
    "string-leading-blank": " 30",
    "string-underscore": "3_0",
    "string-float": "30.0",
    "string-arabic": "\u0663\u0660",
    "string-superscript": "\u00b2",
    "float": 7.5,
    "object": {"days": 7},
    "false": False,
    "float-minus-zero": -0.0,
    "10-to-18": 10**18,
}
WRONG_APPLICATIONS: dict[str, object] = {
    "blank": "   ",
    "leading-blank": " demo-app",
    "trailing-blank": "demo-app ",
    "null": None,
    "object": {},
    "false": False,
    "float": 1.5,
    "id": "1",
    "255-characters": "a" * 255,
    "256-characters": "a" * 256,
    "null-byte": "demo-app\0",
    "quote": "' OR '1'='1",
    "underscore-wildcard": "demo_app",
}
NOT_AN_OBJECT: dict[str, object] = {"null": None, "number": 7, "list-of-one": [VALID]}

AUTHENTICATION = [
    *(
        case(f"auth-{auth}", 401, "ERROR_UNAUTHORIZED", auth=auth, body_json=VALID)
        for auth in (
            "empty_password",
            "secret_case_changed",
            "malformed_base64",
            "bearer_with_credentials",
            "not_utf_8",
            "two_credentials",
        )
    ),
    *(
        case(f"auth-none-{name}", 401, "ERROR_UNAUTHORIZED", auth="none", **request)
        for name, request in BEFORE_OTHERS.items()
    ),
]

NAMES = [
    *(
        case(
            f"name-{name}", 400, TELEMETRY, body_json=report(value, application="demo-app", days=1)
        )
        for name, value in {
            "dotless-i": "USERS_\u0131N_PAST_DAYS",
            "dotted-i": "USERS_\u0130N_PAST_DAYS",
            "long-s": "U\u017fERS_IN_PAST_DAYS",
            "leading-blank": " CURRENT_MAU",
            "trailing-blank": "CURRENT_MAU ",
            "null-byte": "CURRENT_MAU\0",
            "60000-characters": "N" * 60_000,
        }.items()
    ),
    *(
        case(f"name-{name}", 400, REQUEST, body_json=report(value, application="demo-app"))
        for name, value in {
            "empty": "",
            "line-feed": "\n",
            "number": 5,
            "true": True,
            "list": ["CURRENT_MAU"],
        }.items()
    ),
    case(
        "name-lone-surrogate",
        400,
        TELEMETRY,
        body_text='{"requestObject":{"name":"\\ud800","parameters":{}}}',
    ),
]

ENVELOPES = [
    *(
        case(
            f"parameters-{name}",
            400,
            REQUEST,
            body_json={"requestObject": {"name": "CURRENT_MAU", "parameters": value}},
        )
        for name, value in {"number": 1, "false": False, "empty-string": ""}.items()
    ),
    *(
        case(f"request-object-{name}", 400, REQUEST, body_json={"requestObject": value})
        for name, value in NOT_AN_OBJECT.items()
    ),
    case(
        "parameters-missing-past",
        400,
        TELEMETRY,
        body_json={"requestObject": {"name": "USERS_IN_PAST_DAYS"}},
    ),
    case(
        "parameters-list-and-name-unknown",
        400,
        REQUEST,
        body_json={"requestObject": {"name": "NOPE", "parameters": []}},
    ),
    case(
        "request-object-key-case",
        400,
        REQUEST,
        body_json={"requestobject": VALID["requestObject"]},
    ),
]

DAYS = [
    *(case(f"days-{name}", 200, body_json=past_days(value)) for name, value in RIGHT_DAYS.items()),
    *(
        case(f"days-{name}", 400, TELEMETRY, body_json=past_days(value))
        for name, value in WRONG_DAYS.items()
    ),
    *(
        case(f"days-{name}", 400, code, body_text=days_text(name))
        for name, code in {
            "-0": TELEMETRY,
            "1e400": TELEMETRY,
            "Infinity": REQUEST,
            "-Infinity": REQUEST,
            "+7": REQUEST,
            "0x7": REQUEST,
        }.items()
    ),
    case("days-missing", 400, TELEMETRY, body_json=report(application="demo-app")),
    case("days-key-case", 400, TELEMETRY, body_json=report(application="demo-app", Days=7)),
]

APPLICATIONS = [
    *(
        case(f"application-{name}", 400, TELEMETRY, body_json=mau(value))
        for name, value in WRONG_APPLICATIONS.items()
    ),
    case(
        "application-lone-surrogate",
        400,
        TELEMETRY,
        body_text=VALID_TEXT.replace("demo-app", "\\udfff"),
    ),
    case("application-beyond-ascii", 200, body_json=mau("příliš-žluťoučký")),
]

BODIES = [
    *(
        case(f"body-{encoding}", 200, body_base64=encoded(VALID_TEXT, encoding))
        for encoding in ("utf-8-sig", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
    ),
    *(
        case(f"body-{name}", 400, REQUEST, body_text=text)
        for name, text in {
            "trailing-comma": VALID_TEXT[:-1] + ",}",
            "trailing-text": VALID_TEXT + "x",
            "two-documents": VALID_TEXT * 2,
            "comment": "/* */" + VALID_TEXT,
            "true": "true",
            "control-character": VALID_TEXT.replace("_", "\n"),
            "null-byte-after": VALID_TEXT + "\0",
            "101-levels": nested(101),
            "101-levels-of-objects": '{"a":' * 101 + "1" + "}" * 101,
            "50000-brackets": "[" * 50_000,
            "30000-levels": "[" * 30_000 + "]" * 30_000,
            "number-of-4301-digits": VALID_TEXT[:-1] + ',"x":' + "1" * 4_301 + "}",
        }.items()
    ),
    *(
        case(f"body-{name}", 400, REQUEST, body_base64=base64.b64encode(body).decode())
        for name, body in {
            "surrogate-in-utf-8": VALID_TEXT.encode().replace(b"demo", b"\xed\xa0\x80"),
            "latin-1": VALID_TEXT.replace("demo", "démo").encode("latin-1"),
            "only-a-byte-order-mark": b"\xef\xbb\xbf",
            "half-a-utf-16-character": VALID_TEXT.encode("utf-16") + b"\x00",
        }.items()
    ),
    case("body-100-levels", 200, body_text=nested(100)),
    case("body-blank-around", 200, body_text=f" \r\n\t{VALID_TEXT}\n"),
    case("body-at-the-limit", 200, body_text=VALID_TEXT.ljust(LIMIT)),
    case("body-over-the-limit", 413, REQUEST, body_text=VALID_TEXT.ljust(LIMIT + 1)),
    case("body-over-the-limit-not-json", 413, REQUEST, body_text="x" * 70_000),
    case(
        "body-over-the-limit-of-wrong-type",
        415,
        REQUEST,
        headers={"Content-Type": "text/plain"},
        body_text="x" * 70_000,
    ),
]

MEDIA_TYPES = [
    case(
        f"content-type-{kind or 'blank'}",
        status,
        None if status == 200 else REQUEST,
        headers={"Content-Type": kind},
        body_text=VALID_TEXT,
    )
    for kind, status in {
        "application/json; boundary=x": 200,
        "application/json-patch+json": 200,
        "application/problem+json": 200,
        "text/json": 415,
        "application/javascript": 415,
        "application/json-seq": 415,
        "multipart/form-data; boundary=x": 415,
        "image/svg+json": 415,
        "": 415,
    }.items()
]

PATHS_AND_METHODS = [
    *(
        case(f"method-{method.lower()}", 405, REQUEST, method=method, headers={})
        for method in ("DELETE", "PATCH", "TRACE", "PROPFIND", "CONNECT")
    ),
    *(
        case(f"path-{name}", 404, "ERROR_NOT_FOUND", path=path, body_json=VALID)
        for name, path in {
            "slash": "/rest/v3/telemetry/",
            "case": "/rest/v3/telemetry/Report",
            "line-feed": "/rest/v3/telemetry/report%0A",
            "null": "/rest/v3/telemetry/%00",
            "dots": "/rest/v3/telemetry/x/../report",
            "deep": "/rest/v3/telemetry/a/b/c",
            "two-slashes-at-the-end": "/rest/v3/telemetry/report//",
            "two-slashes": "/rest/v3/telemetry//",
            "encoded-slash": "/rest/v3/telemetry/%2Freport",
            "not-utf-8": "/rest/v3/telemetry/%ff",
            "semicolon": "/rest/v3/telemetry/report;x=1",
        }.items()
    ),
    case(
        "unknown-path-before-method",
        404,
        "ERROR_NOT_FOUND",
        method="DELETE",
        path="/rest/v3/telemetry/other",
        headers={},
    ),
    case(
        "unknown-path-options",
        404,
        "ERROR_NOT_FOUND",
        method="OPTIONS",
        path="/rest/v3/telemetry/other",
        headers={},
    ),
    case(
        "method-before-media-type",
        405,
        REQUEST,
        method="PUT",
        headers={"Content-Type": "text/plain"},
        body_text="x",
    ),
    case("accept-xml", 200, headers={**JSON, "Accept": "application/xml"}, body_json=VALID),
]

CASES = [
    *AUTHENTICATION,
    *NAMES,
    *ENVELOPES,
    *DAYS,
    *APPLICATIONS,
    *BODIES,
    *MEDIA_TYPES,
    *PATHS_AND_METHODS,
]
