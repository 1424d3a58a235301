"""How the raw values of the keys for credentials and scopes are read; as in ``settings``."""

import re
from collections.abc import Mapping, Sequence

from flask_powerauth_telemetry.auth.credentials import DIGEST_PREFIX, EVERYONE_ELSE
from flask_powerauth_telemetry.config.values import (
    PA_INTEGRATION,
    Refused,
    read_mapping,
    read_names,
)

_DIGEST = re.compile(re.escape(DIGEST_PREFIX) + r"[0-9a-fA-F]{64}")
_CREATE = "Create credentials with: flask telemetry create-credential NAME"


def read_credentials(value: object) -> str | Mapping[str, Sequence[str]]:
    """Digests by principal, or the word for PowerAuth's own table."""
    if value == PA_INTEGRATION:
        return PA_INTEGRATION
    if not isinstance(value, Mapping) or not value:
        raise Refused(f"must map principals to digests, or be {PA_INTEGRATION!r}", _CREATE)
    return {read_principal(name): _digests(name, both) for name, both in value.items()}


def read_principal(name: object) -> str:
    """A principal's name, which has to fit into HTTP Basic."""
    if not isinstance(name, str) or not name.strip() or name == EVERYONE_ELSE:
        raise Refused(f"{name!r} can't be the name of a principal", "Choose another name")
    if ":" in name or not name.isprintable():
        raise Refused(
            f"the principal {name!r} has a colon or a control character",
            "Choose another name, HTTP Basic can't carry this one",
        )
    return name


def _digests(principal: object, value: object) -> Sequence[str]:
    both = [value] if isinstance(value, str) else value
    if not isinstance(both, list | tuple) or not 1 <= len(both) <= 2:
        raise Refused(f"{principal!r} must have one digest or a list of two", _CREATE)
    for known in both:
        if not isinstance(known, str) or not _DIGEST.fullmatch(known):
            raise Refused(
                f"{principal!r} has something else than sha256: and 64 hexadecimal digits", _CREATE
            )
    return tuple(known.lower() for known in both)


def read_scopes(value: object) -> Mapping[str, Sequence[str]]:
    """The names of applications that each principal may ask for."""
    return {
        principal: read_names(applications)
        for principal, applications in read_mapping(value, "lists of applications").items()
    }
