"""Generated requests: no fault, no answer of another shape, nobody let in by mistake."""

import base64
import binascii
import json
from datetime import UTC
from typing import Any

import pytest
from flask import Flask
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import NullPool, create_engine
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.blueprint.test_conformance import check_envelope
from tests.support import powerauth
from tests.support.service import NOW, PATH, USER, basic, create_app

PREFIX = PATH.removesuffix("/report")
GOOD = ":".join(USER)
STATUSES = {200, 400, 401, 404, 405, 413, 415}
CODES = {
    400: {"ERROR_HTTP_REQUEST", "ERROR_TELEMETRY"},
    401: {"ERROR_UNAUTHORIZED"},
    404: {"ERROR_NOT_FOUND"},
    405: {"ERROR_HTTP_REQUEST"},
    413: {"ERROR_HTTP_REQUEST"},
    415: {"ERROR_HTTP_REQUEST"},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le", "latin-1")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    file = tmp_path_factory.mktemp("generated") / "powerauth.sqlite"
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
    powerauth.create_schema(engine)
    powerauth.add_applications(engine, ["retail"])
    now = powerauth.wall_clock(NOW, UTC)
    powerauth.add_activations(engine, [powerauth.Activation("a", 1, "user", now)])
    app = create_app(engine)
    app.testing = False
    return app


def request(app: Flask, **parts: Any) -> tuple[int, bytes]:
    """The status and the body, of what no client could be made to send as well."""
    method, path = parts.get("method", "POST"), parts.get("path", PATH)
    environ = EnvironBuilder(
        method="POST", data=parts.get("body", b""), content_type=parts.get("media_type")
    ).get_environ()
    environ["REQUEST_METHOD"] = method
    environ["PATH_INFO"] = path
    if (authorization := parts.get("authorization", basic(GOOD))) is not None:
        environ["HTTP_AUTHORIZATION"] = authorization
    chunks, status, headers = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    body = b"".join(chunks)
    check_answer(method, int(status.split()[0]), headers, body)
    return int(status.split()[0]), body


def check_answer(method: str, status: int, headers: Headers, body: bytes) -> None:
    assert status in STATUSES
    assert headers["Cache-Control"] == "no-store"
    if method == "HEAD" or (method == "OPTIONS" and status == 200):
        assert body == b""
        return
    assert headers["Content-Type"] == "application/json"
    answer = json.loads(body)
    code = answer["responseObject"].get("code")
    assert code in CODES.get(status, {None})
    check_envelope(answer, status, code)


def holds_good_credentials(header: str) -> bool:
    scheme, _, token = header.strip().partition(" ")
    try:
        decoded = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and decoded == GOOD.encode()


def mutated(whole: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes in which a few in a row are replaced by others."""
    return st.builds(
        lambda data, start, length, put: data[:start] + put + data[start + length :],
        whole,
        st.integers(0, 120),
        st.integers(0, 6),
        st.binary(max_size=6),
    )


latin_1 = st.text(st.characters(max_codepoint=255))
schemes = st.sampled_from(["Basic", "basic", "BASIC", "Bearer", "Digest", "", "Basic\t", "Basic  "])
near_credentials = st.one_of(
    st.sampled_from([GOOD, GOOD.upper(), f"{USER[0]}:", f":{USER[1]}", USER[0], f" {GOOD}"]),
    st.builds(lambda user, secret: f"{user}:{secret}", st.text(), st.text()),
).map(lambda text: text.encode("utf-8", "surrogatepass"))
headers = st.one_of(
    latin_1,
    st.builds(lambda scheme, rest: f"{scheme} {rest}", schemes, latin_1),
    st.builds(
        lambda scheme, secret: f"{scheme} {base64.b64encode(secret).decode()}",
        schemes,
        st.one_of(near_credentials, mutated(near_credentials), st.binary()),
    ),
    mutated(st.just(basic(GOOD).encode())).map(lambda data: data.decode("latin-1")),
)
text = st.text(st.characters(), max_size=20)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-1, 366), st.floats(), text
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)
parameters = st.one_of(
    values,
    st.fixed_dictionaries(
        {"application": st.just("retail") | values}, optional={"days": values, "more": values}
    ),
)
names = st.sampled_from(["CURRENT_MAU", "USERS_IN_PAST_DAYS", "current_mau", "\u017f", ""]) | values
envelopes = st.one_of(
    values,
    st.fixed_dictionaries(
        {"requestObject": values | st.fixed_dictionaries({"name": names, "parameters": parameters})}
    ),
)
documents = envelopes.map(json.dumps) | envelopes.map(lambda v: json.dumps(v, ensure_ascii=False))
encoded = st.builds(
    lambda document, encoding: document.encode(
        encoding, "replace" if encoding == "latin-1" else "surrogatepass"
    ),
    documents,
    st.sampled_from(ENCODINGS),
)
valid = st.sampled_from(
    [
        b'{"requestObject":{"name":"CURRENT_MAU","parameters":{"application":"retail"}}}',
        b'{"requestObject":{"name":"USERS_IN_PAST_DAYS","parameters":'
        b'{"application":"retail","days":"365"}}}',
    ]
)
deep = st.builds(
    lambda opening, depth, closing: opening * depth + closing * depth,
    st.sampled_from([b"[", b'{"requestObject":', b'{"a":[']),
    st.integers(1, 3_000),
    st.sampled_from([b"", b"]", b"}", b"]}"]),
)
bodies = st.one_of(st.binary(), encoded, mutated(valid), mutated(encoded), deep)
media_types = st.sampled_from(
    ["application/json", "application/json;charset=utf-16", "application/x+json", "text/json", ""]
)


@given(headers)
@example(basic(GOOD))
@example("Basic " + base64.b64encode(f"\ufeff{GOOD}".encode()).decode())
def test_authorization(app: Flask, header: str) -> None:
    status, _ = request(app, authorization=header, media_type="application/json")

    if not holds_good_credentials(header):
        assert status == 401
    elif header == basic(GOOD):
        assert status == 400


@given(bodies)
def test_body(app: Flask, body: bytes) -> None:
    status, _ = request(app, body=body, media_type="application/json")

    assert status in {200, 400}


@given(envelopes)
def test_envelope(app: Flask, envelope: object) -> None:
    body = json.dumps(envelope).encode()
    status, _ = request(app, body=body, media_type="application/json")

    assert status in {200, 400}


@given(
    method=st.sampled_from(METHODS) | st.text("ABCXYZ-!", min_size=1, max_size=9),
    path=latin_1 | st.sampled_from(["report", "report/", "/report", "Report", "..", "report\n"]),
    header=st.sampled_from([basic(GOOD), None, "Basic", basic("billing:wrong")]),
    body=bodies,
    media_type=media_types,
)
def test_path_and_method(app: Flask, path: str, header: str | None, **parts: Any) -> None:
    status, _ = request(app, path=f"{PREFIX}/{path}", authorization=header, **parts)

    if header != basic(GOOD):
        assert status == 401
    elif path != "report":
        assert status == 404
    elif parts["method"] not in {"POST", "OPTIONS"}:
        assert status == 405
