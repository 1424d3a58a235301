"""What is told to those who watch, beside the facts of runs: refusals, and where they come from."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A request that was refused before a report was known.

    ``principal`` is who asked, None when the credentials were wrong or could not be checked.
    ``user`` is the start of the user name that came with wrong credentials. ``database`` is the
    name of the one that failed.
    """

    status: int
    code: str
    error: str
    principal: str | None
    user: str | None = None
    database: str | None = None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a run or a refusal comes from.

    ``instance`` is the ``name=`` of the extension's instance; ``request_id`` printable ASCII of at
    most 128 characters. It and the caller's ``address`` are None outside of a request.
    """

    instance: str
    request_id: str | None = None
    address: str | None = None
