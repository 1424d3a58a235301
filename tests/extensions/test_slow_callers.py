"""Callers who send slowly, or never to the end: who waits because of them, and who doesn't."""

import json
import shlex
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

import pytest
import yaml

from tests.extensions.serving import (
    GEVENT,
    GUNICORN,
    MOD_WSGI,
    SERVER_BLOCK,
    UVICORN,
    UWSGI,
    WAITRESS,
    Address,
    Servers,
    with_one_worker,
)
from tests.extensions.test_servers import behind_nginx, is_well, started
from tests.support.documents import ROOT
from tests.support.service import PATH, USER, basic

CALLERS = 150
OTHERS = 3
"""Well-behaved callers; more of one principal would not be let wait at the same time."""
PATIENCE = 5.0
LINE = f"POST {PATH} HTTP/1.1\r\n".encode()
HEADERS = (
    LINE
    + f"Host: 127.0.0.1\r\nAuthorization: {basic(':'.join(USER))}\r\n".encode()
    + b"Content-Type: application/json\r\nContent-Length: 500\r\n\r\n"
)
KINDS = {"silent": b"", "in-headers": LINE + b"X-Slow: ", "in-body": HEADERS + b"{"}
"""What a slow caller sends at once; a space each half of a second comes after it."""


@contextmanager
def slow_callers(address: Address, start: bytes) -> Iterator[None]:
    """Callers who have begun to send, and send on, a byte at a time, to the end of the block."""
    end = threading.Event()
    with ExitStack() as stack:
        callers = [stack.enter_context(address.connect()) for _ in range(CALLERS)]
        for caller in callers:
            caller.sendall(start)

        def send_on() -> None:
            while start and not end.wait(0.5):
                for caller in callers:
                    caller.sendall(b" ")

        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(send_on)
            try:
                yield
            finally:
                end.set()
            sent.result()


@contextmanager
def compose(servers: Servers) -> Iterator[Address]:
    """The services ``telemetry`` and ``proxy`` of the compose file, but the application."""
    command = json.loads((ROOT / "Dockerfile").read_text().rpartition("\nCMD ")[2])
    line = shlex.join(command).replace("example_app:", "app:").replace("0.0.0.0", "127.0.0.1")
    block = (ROOT / "nginx.conf").read_text()
    with servers.started(line) as gunicorn, servers.nginx(block, gunicorn) as nginx:
        yield nginx


Start = Callable[[Servers], AbstractContextManager[Address]]


def _server(text: str) -> Start:
    return partial(started, text=text)


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(partial(behind_nginx, block=SERVER_BLOCK), id="nginx"),
        pytest.param(compose, id="compose"),
        pytest.param(_server(GEVENT), id="gevent"),
        pytest.param(_server(WAITRESS), id="waitress"),
        pytest.param(_server(UVICORN), id="uvicorn"),
    ],
)
def test_others_are_answered(servers: Servers, server: Start) -> None:
    with server(servers) as address:
        is_well(address)
        for kind, start in KINDS.items():
            with slow_callers(address, start):
                assert answered(address) == [200] * OTHERS, kind


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GUNICORN, id="gunicorn"),
        pytest.param(UWSGI, id="uwsgi"),
        pytest.param(MOD_WSGI, id="mod_wsgi"),
        pytest.param(WAITRESS.replace("--connection-limit 1000 ", ""), id="waitress-by-default"),
    ],
)
def test_others_wait_without_nginx(servers: Servers, text: str) -> None:
    with started(servers, with_one_worker(text)) as address:
        is_well(address)
        with slow_callers(address, KINDS["in-body"]):
            assert None in answered(address)


def answered(address: Address) -> list[int | None]:
    """The statuses that well-behaved callers get at the same time, in time; None for no answer."""
    with ThreadPoolExecutor(OTHERS) as pool:
        return list(pool.map(lambda _: _status(address), range(OTHERS)))


def _status(address: Address) -> int | None:
    try:
        return address.request(timeout=PATIENCE)[0]
    except TimeoutError:
        return None


def test_only_nginx_of_the_compose_file_is_reached() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    published = {name: one["ports"] for name, one in services.items() if "ports" in one}

    assert published == {"proxy": ["127.0.0.1:8000:8080"]}
    assert services["proxy"]["volumes"] == ["./nginx.conf:/etc/nginx/conf.d/default.conf:ro"]
