"""Every error the telemetry API knows, each with its wire code and HTTP status.

The codes are those of PowerAuth's public telemetry documentation, plus ``ERROR_GENERIC``,
Wultra's general code, for faults on the server's side.
"""

import math
import re
from collections.abc import Iterable

from flask_powerauth_telemetry.text import describe, shortened

_PASSWORD = re.compile(r"(?<=://)(?!USER:)(?:(?!://).)*@|(?<=password=)[^\s&'\"]+", re.DOTALL)
"""In a text with URLs; the examples in ours have none."""


class TelemetryError(Exception):
    """A report can't be given as asked; the base of every error of this package.

    A report provider may raise it with a message meant for the caller, who gets a
    400 ``ERROR_TELEMETRY``.
    """

    code = "ERROR_TELEMETRY"
    status = 400
    public_message: str | None = None
    """What the caller is told instead of the message; for errors whose message is for the log."""
    database: str | None = None
    """The database that failed, ``main`` or the name of a bind; None for other errors."""

    @property
    def message(self) -> str:
        """The ``message_of`` this error."""
        return message_of(self)


class UnknownReport(TelemetryError):
    """No report of this name is registered."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Unknown report: {shortened(name)}")
        self.name = name


class InvalidParameters(TelemetryError):
    """The parameters don't fit the report; ``errors`` are marshmallow's, by field."""

    def __init__(self, report: str, errors: object) -> None:
        super().__init__(f"Invalid parameters of {report}: {describe(errors)}")
        self.errors = errors


class UnknownApplication(TelemetryError):
    """No application of this name exists, or the credential's scope leaves it out."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Unknown application: {shortened(name)}")
        self.name = name


class InvalidRequest(TelemetryError):
    """The request did not pass validation."""

    code = "ERROR_HTTP_REQUEST"


class MethodNotAllowed(InvalidRequest):
    """The path exists, but not for this method; ``allowed`` are the methods that it knows."""

    status = 405

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__(f"Method {shortened(method)} is not allowed, use {self.allowed[0]}")


class PayloadTooLarge(InvalidRequest):
    """The body is longer than the limit."""

    status = 413


class UnsupportedMediaType(InvalidRequest):
    """The body is not declared as JSON."""

    status = 415


class Unauthorized(TelemetryError):
    """The application credentials are missing or wrong; ``user`` is the user name that was sent."""

    code = "ERROR_UNAUTHORIZED"
    status = 401

    def __init__(self, *, user: str | None = None) -> None:
        super().__init__("Invalid application credentials")
        self.user = user


class NotFound(TelemetryError):
    """Nothing is served at this path."""

    code = "ERROR_NOT_FOUND"
    status = 404


class ServerFault(TelemetryError):
    """Something is wrong on the server's side that won't pass by itself.

    The message is for the log; the caller is told no details.
    """

    code = "ERROR_GENERIC"
    status = 500
    public_message = "The report could not be generated, see the log of the server"


class DatabaseFault(ServerFault):
    """The database refused a statement, for example for a missing table or privilege."""


class ProviderFault(ServerFault):
    """A report provider broke its contract."""


class Unavailable(TelemetryError):
    """The database can't be reached or has no time now.

    ``retry_after`` is the number of seconds after which the caller may try again, rounded up. The
    message is for the log; the caller is told no details. Raises ``ValueError`` for NaN.
    """

    code = "ERROR_GENERIC"
    status = 503
    public_message = "The report is not available now, try again later"
    retry_after: int = 5

    def __init__(self, message: str, *, retry_after: float = retry_after) -> None:
        super().__init__(message)
        self.retry_after = max(0, math.ceil(retry_after))


class TooSlow(Unavailable):
    """A statement ran into its time limit, now or a short while ago."""


class Cancelled(Unavailable):
    """The database ended a statement that had to make room, or was out of memory or disk.

    That may be so at every try, so it is taken for too slow from the second time on.
    """


class ConfigurationError(ServerFault):
    """The application can't start so; the message names key, cause and cure, no URL's password."""

    def __init__(self, key: str, cause: str, cure: str) -> None:
        super().__init__(_PASSWORD.sub("…", f"{key}: {cause}. {cure}."))
        self.key = key


class InvalidProvider(ServerFault):
    """A provider that can't be registered; the message names its class and the cause."""

    def __init__(self, provider: object, cause: str) -> None:
        kind = provider if isinstance(provider, type) else type(provider)
        super().__init__(f"{class_path(kind)} {cause}")


def message_of(error: Exception) -> str:
    """What an exception was raised with, as text, whatever that was; its class where that fails."""
    try:
        return str(error)
    except Exception:
        return type(error).__name__


def class_path(kind: type) -> str:
    """Where a class is defined: its module and its name."""
    return f"{kind.__module__}.{kind.__qualname__}"
