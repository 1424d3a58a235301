"""HTTP Basic application credentials, through Flask-HTTPAuth."""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any

from flask import request
from flask_httpauth import HTTPBasicAuth
from werkzeug.datastructures import Authorization

from flask_powerauth_telemetry.auth.credentials import CredentialStore, Principal, with_scope
from flask_powerauth_telemetry.exceptions import Unauthorized

REALM = "PowerAuth Telemetry"
CHALLENGE = f'Basic realm="{REALM}", charset="UTF-8"'
"""What a 401 asks for in its header ``WWW-Authenticate``."""

_BASIC = re.compile(r"basic +([a-z0-9+/]+={0,2})", re.IGNORECASE)


# Flask-HTTPAuth has no type hints.
class ApplicationAuth(HTTPBasicAuth):  # type: ignore[misc]
    """Tells who a request comes from.

    Flask-HTTPAuth also takes other schemes than Basic for it, falls back to Latin-1, asks its
    callback about a request without credentials, and lets ``OPTIONS`` through. So the header is
    read here, strictly as RFC 7617 has it for UTF-8, and the check is called by the view itself.
    """

    def __init__(self, store: CredentialStore, scopes: Mapping[str, frozenset[str]] | None) -> None:
        super().__init__(realm=REALM)
        self._scopes = scopes
        self._store = store
        self._asynchronous = iscoroutinefunction(store.authenticate)

    def get_auth(self) -> Authorization | None:
        """The credentials in the request's header, None without well-formed ones."""
        header = _BASIC.fullmatch(request.headers.get("Authorization", "").strip())
        if header is None:
            return None
        try:
            username, colon, password = b64decode(header[1], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        if not colon:
            return None
        return Authorization("basic", {"username": username, "password": password})

    def current_principal(self) -> Principal:
        """The principal of this request; raises ``Unauthorized``, or what the store raises."""
        name = self._authenticated()
        if isinstance(name, Exception):
            raise name
        return with_scope(name, self._scopes)

    def _authenticated(self) -> str | Exception:
        """The name of the principal, or what is to be raised.

        No frame that holds the password may stand in a traceback, which others log or send away.
        So what the store raises is returned, with the store's own frames alone.
        """
        credentials = self.get_auth()
        if credentials is None:
            return Unauthorized()
        try:
            authenticate: Callable[[Any, Any], object] = self._store.authenticate
            if self._asynchronous:
                authenticate = self.ensure_sync(authenticate)
            name = authenticate(credentials.username, credentials.password)
        except Exception as error:
            return error.with_traceback(_from_store(error.__traceback__, self._store))
        return name if isinstance(name, str) and name else Unauthorized(user=credentials.username)


def _from_store(traceback: TracebackType | None, store: CredentialStore) -> TracebackType | None:
    """The part of a traceback that begins in the store's method, None without one."""
    method = getattr(store.authenticate, "__func__", store.authenticate)
    while traceback and traceback.tb_frame.f_code is not getattr(method, "__code__", None):
        traceback = traceback.tb_next
    return traceback
