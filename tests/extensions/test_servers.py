"""Under each server of docs/extensions.md, started as it is printed there."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import Engine

from tests.extensions.serving import (
    ASGI,
    GEVENT,
    GUNICORN,
    MOD_WSGI,
    PREFIX_LINES,
    SERVER_BLOCK,
    UVICORN,
    UWSGI,
    WAITRESS,
    Address,
    Servers,
    with_one_worker,
)
from tests.support.held import eventually, hold, running_passes
from tests.support.service import PATH

PASS_SECONDS = 3.0
SOON = 1.0
STARTS = pytest.mark.parametrize(
    "text",
    [
        pytest.param(GUNICORN, id="gunicorn"),
        pytest.param(GEVENT, id="gevent"),
        pytest.param(UWSGI, id="uwsgi"),
        pytest.param(WAITRESS, id="waitress"),
        pytest.param(MOD_WSGI, id="mod_wsgi"),
        pytest.param(UVICORN, id="uvicorn"),
    ],
)


def started(servers: Servers, text: str) -> AbstractContextManager[Address]:
    return servers.apache(text) if text.startswith("WSGI") else servers.started(text)


def is_well(address: Address, path: str = PATH) -> None:
    status, answer = address.request(path)

    assert status == 200
    assert answer["responseObject"]["reportData"]["users"] == 30
    refused, answer = address.request(path, headers={"Authorization": ""})
    assert (refused, answer["responseObject"]["code"]) == (401, "ERROR_UNAUTHORIZED")


@STARTS
def test_server_answers(servers: Servers, text: str) -> None:
    with started(servers, text) as address:
        is_well(address)


@contextmanager
def a_pass(owner: Engine, address: Address) -> Iterator[None]:
    """A caller waits for a pass at the beginning of the block, and is answered after it."""
    assert address.request("/own", body=None)[0] == 200
    hold(owner, PASS_SECONDS)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(address.request)
        eventually(lambda: running_passes(owner) == 1)
        yield
        assert answer.result()[0] == 200


def own_page_is_answered(address: Address) -> bool:
    try:
        return address.request("/own", body=None, timeout=SOON)[0] == 200
    except TimeoutError:
        return False


@STARTS
def test_one_worker_answers_while_a_report_is_computed(
    servers: Servers, owner: Engine, text: str
) -> None:
    with started(servers, with_one_worker(text)) as address, a_pass(owner, address):
        assert [own_page_is_answered(address) for _ in range(3)] == [True] * 3
        assert running_passes(owner) == 1


def _by_psycopg2(servers: Servers) -> str:
    servers.driver = "psycopg2"
    return with_one_worker(GEVENT)


def _preloaded(servers: Servers) -> str:
    return with_one_worker(GEVENT).replace("gunicorn", "gunicorn --preload")


def _in_one_thread(servers: Servers) -> str:
    (servers.folder / "asgi.py").write_text(f"{ASGI}\napplication = in_one_thread\n")
    return UVICORN


@pytest.mark.parametrize("begin", [_by_psycopg2, _preloaded, _in_one_thread])
def test_what_the_page_advises_against_stands_still(
    servers: Servers, owner: Engine, begin: Callable[[Servers], str]
) -> None:
    with servers.started(begin(servers)) as address, a_pass(owner, address):
        assert not own_page_is_answered(address)


def test_without_its_last_line_mod_wsgi_takes_tokens_away(servers: Servers) -> None:
    *lines, last = MOD_WSGI.splitlines(keepends=True)
    assert last == "WSGIPassAuthorization On\n"

    with servers.apache("".join(lines)) as address:
        status, answer = address.request()

    assert (status, answer["responseObject"]["code"]) == (401, "ERROR_UNAUTHORIZED")


FORGED = {
    "X-Forwarded-For": "10.0.0.1",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": "/forged",
    "X-Forwarded-Host": "forged.example",
}


@contextmanager
def behind_nginx(servers: Servers, block: str) -> Iterator[Address]:
    """nginx in front of gunicorn, whose application knows of it."""
    command = GUNICORN.replace("app:create_app()", "proxied:app")
    with servers.started(command) as gunicorn, servers.nginx(block, gunicorn) as nginx:
        yield nginx


def with_prefix() -> str:
    """The block for nginx with the lines for a prefix in place of its own."""
    first, second, last = PREFIX_LINES.splitlines()
    lines = SERVER_BLOCK.splitlines()
    start = lines.index("    location / {")
    assert lines[start + 1].startswith("        proxy_pass")
    assert lines[start + 5].startswith("        proxy_set_header X-Forwarded-Prefix")
    changed = [*lines[:start], first, second, *lines[start + 2 : start + 5], last]
    return "\n".join([*changed, *lines[start + 6 :]])


@pytest.mark.parametrize(("block", "prefix"), [(SERVER_BLOCK, ""), (with_prefix(), "/powerauth")])
def test_nginx_in_front(servers: Servers, block: str, prefix: str) -> None:
    with behind_nginx(servers, block) as address:
        is_well(address, f"{prefix}{PATH}")
        seen = address.request(f"{prefix}/own", body=None, headers=FORGED, source="127.0.0.2")
        page = address.request(f"{prefix}/telemetry/", body=None, headers=FORGED)

    assert seen == (200, ["127.0.0.2", "https://127.0.0.1/", prefix])
    assert f'href="{prefix}/telemetry/static/dashboard.css"' in page[1]
