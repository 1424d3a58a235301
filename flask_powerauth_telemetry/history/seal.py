"""The seal of a row: only who has the key can make it, whatever else he may write.

A digest shows that a row is damaged, and anybody can compute it anew. The seal is HMAC-SHA256 of
the digest by a key that is not in the database. Sealed rows follow unsealed ones, never the other
way round.
"""

import hmac

from flask_powerauth_telemetry.config.values import Keys


def seal_of(digest: str, keys: Keys) -> str | None:
    """The seal of a row with this digest by the newest key; None without a key."""
    return _seal(digest, keys.values[0]) if keys.values else None


def is_genuine(digest: str, seal: object, keys: Keys) -> bool:
    """Whether one of the keys made the seal."""
    given = str(seal).encode()
    return any(hmac.compare_digest(_seal(digest, key).encode(), given) for key in keys.values)


def _seal(digest: str, key: bytes) -> str:
    return hmac.new(key, digest.encode(), "sha256").hexdigest()
