"""A client of PowerAuth Server's own telemetry endpoint."""

import base64
import ipaddress
import json
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

REPORT_PATH = "/v3/telemetry/report"
_LONGEST_ANSWER = 1024 * 1024
_MOST_USERS = 2**63 - 1


class CannotAsk(Exception):
    """PowerAuth Server can't be asked, or gives no number; the message says why."""


class PowerAuthServer:
    """PowerAuth Server at a base URL, the one that its Java client takes, ending in ``/rest``.

    ``credentials`` are user name and token, None to send none. ``timeout`` in seconds holds for
    the connection and for each wait for data. Without ``plain_http``, a URL that is not https must
    be one of this host. Raises ``CannotAsk`` for a URL that can't be used so.
    """

    def __init__(
        self,
        url: str,
        credentials: tuple[str, str] | None,
        *,
        timeout: float,
        plain_http: bool = False,
    ) -> None:
        self._url = _checked(url, plain_http) + REPORT_PATH
        self._timeout = timeout
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if credentials is not None:
            token = base64.b64encode(":".join(credentials).encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
        # No proxy is asked for the way, and a redirect must not take the credentials elsewhere.
        self._opener = build_opener(ProxyHandler({}), _NoRedirects)

    def users_in_past_days(self, application: str, days: int) -> int:
        """The number that PowerAuth Server answers; raises ``CannotAsk`` without one."""
        parameters = {"application": application, "days": days}
        body = {"requestObject": {"name": "USERS_IN_PAST_DAYS", "parameters": parameters}}
        answer = self._post(json.dumps(body).encode())
        try:
            data = answer["responseObject"]["reportData"]
            users, told = data["users"], {**parameters, **data}
        except (KeyError, TypeError):
            users, told = None, parameters
        if type(users) is not int or not 0 <= users <= _MOST_USERS:
            raise CannotAsk("its answer is not a report: is the URL the base that ends in /rest?")
        if any(told[name] != asked for name, asked in parameters.items()):
            raise CannotAsk("it answers for another application or window: does a cache answer?")
        return users

    def _post(self, body: bytes) -> Any:
        # The scheme was checked: http or https.
        request = Request(self._url, body, self._headers, method="POST")  # noqa: S310 - see above
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return _json(response)
        except HTTPError as error:
            with error:
                raise CannotAsk(_refusal(error)) from error
        except (OSError, HTTPException, UnicodeError) as error:
            cause = getattr(error, "reason", None) or error
            cure = "check --server, and that this host may reach it"
            raise CannotAsk(f"no answer: {cause} ({cure})") from error


class _NoRedirects(HTTPRedirectHandler):
    """Makes an error of every redirect."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nowhere."""


def _checked(url: str, plain_http: bool) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise CannotAsk(f"that is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise CannotAsk("the URL must be like https://HOST/powerauth-java-server/rest")
    if "@" in parts.netloc:
        raise CannotAsk("the URL must hold no credentials, other users see the command line")
    if parts.scheme == "http" and not plain_http and not _is_loopback(host):
        raise CannotAsk("over http everyone on the way reads the token, use https")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refusal(error: HTTPError) -> str:
    try:
        content = _json(error)["responseObject"]
        told = f"{content['code']}: {content['message']}"
    except (CannotAsk, KeyError, TypeError):
        told = error.reason
    hint = {401: " (check the user name and token)", 404: " (does the URL end in /rest?)"}
    return f"it answers {error.code} {told}{hint.get(error.code, '')}"


def _json(response: IO[bytes]) -> Any:
    try:
        content = response.read(_LONGEST_ANSWER + 1)
        if len(content) <= _LONGEST_ANSWER:
            return json.loads(content)
    except (ValueError, RecursionError):
        pass
    raise CannotAsk("its answer is not JSON of at most 1 MiB")
