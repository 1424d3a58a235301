"""Application credentials: who may ask, and for which applications.

Secrets are random tokens, so they are kept as SHA-256 digests; a slow password hash would only
cost time.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

DIGEST_PREFIX = "sha256:"
EVERYONE_ELSE = "*"
"""The name under which scopes hold the applications of every principal not named there."""


@dataclass(frozen=True)
class Principal:
    """Who asks; ``applications`` are the names it may ask for, None for all."""

    name: str
    applications: frozenset[str] | None = None

    def may_read(self, application: str) -> bool:
        """Whether reports on the application of this name are within the scope."""
        return self.applications is None or application in self.applications


@runtime_checkable
class CredentialStore(Protocol):
    """Where application credentials are checked; implement it to use a store of your own."""

    def authenticate(self, username: str, password: str) -> str | None:
        """The name of the principal whose credentials these are, None for wrong ones.

        Called once for each request with credentials. May raise ``Unavailable`` when it can't tell.
        """


def with_scope(name: str, scopes: Mapping[str, frozenset[str]] | None) -> Principal:
    """The principal of this name, with the names of its applications.

    One that is not in ``scopes`` has those under ``*``, or none without such an entry. None for
    ``scopes``: all have all.
    """
    if scopes is None:
        return Principal(name)
    return Principal(name, scopes.get(name, scopes.get(EVERYONE_ELSE, frozenset())))


class StaticCredentials:
    """Credentials from the configuration: the user name is the principal's name.

    ``digests`` maps it to the digests of one token, or of two while tokens are rotated.
    """

    def __init__(self, digests: Mapping[str, Sequence[str]]) -> None:
        self._digests = {
            principal: tuple(known.removeprefix(DIGEST_PREFIX) for known in both)
            for principal, both in digests.items()
        }

    def authenticate(self, username: str, password: str) -> str | None:
        """The user name, when the password's digest is one of its digests."""
        known = self._digests.get(username, ())
        return username if matches(hex_digest(password), known) else None


def matches(digest: str, known: Sequence[str]) -> bool:
    """Whether a hex digest is one of those known, in a time that tells nothing of it.

    An unknown user, who has none, costs one comparison as well.
    """
    found = False
    for one in known or ("",):
        found |= hmac.compare_digest(digest.encode(), one.encode())
    return found


def digest(token: str) -> str:
    """What to configure for a token: ``sha256:`` and 64 hexadecimal digits."""
    return DIGEST_PREFIX + hex_digest(token)


def create_token() -> str:
    """A new random token of 256 bits, safe in URLs and shells."""
    return secrets.token_urlsafe(32)


def hex_digest(text: str) -> str:
    """SHA-256 in hexadecimal digits, of any text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
