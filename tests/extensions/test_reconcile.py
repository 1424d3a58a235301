"""``flask telemetry reconcile`` over TLS: only to who has a certificate that is trusted."""

import ssl
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.extensions.serving import self_signed
from tests.support.commands import app_of, command, fill
from tests.support.reference_server import BASE, running

ALL = ("http_proxy", "https_proxy", "all_proxy")


@pytest.mark.parametrize(
    ("host", "is_trusted", "code"),
    [("127.0.0.1", True, 0), ("127.0.0.1", False, 2), ("localhost", True, 2)],
)
def test_certificate_of_an_own_authority_is_named_in_the_environment(
    sqlite: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    is_trusted: bool,
    code: int,
) -> None:
    fill(sqlite)
    certificate, key = self_signed(tmp_path)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for variable in ALL:  # of which none is asked
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    with running(sqlite) as server:
        server.knows = lambda *_: True  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = f"https://{host}:{server.server_port}{BASE}"
        options = ["--server", url, "--user", "token", "--days", "30"]
        environment = {"POWERAUTH_SERVER_TOKEN": "secret"}
        result = command(app_of(sqlite), "reconcile", *options, env=environment)

    assert result.exit_code == code, result.output
    assert len(server.requests) == (0 if code else 2)
    assert ("certificate" in result.stderr.lower()) == bool(code)
