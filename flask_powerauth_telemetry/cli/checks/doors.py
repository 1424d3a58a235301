"""Checks of scopes: who sees which applications, and names that are none."""

from collections.abc import Collection, Iterator

from flask_powerauth_telemetry.auth.credentials import EVERYONE_ELSE, Principal, Scopes
from flask_powerauth_telemetry.cli.checks.findings import Finding, Target
from flask_powerauth_telemetry.cli.counts import read_applications
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.history.store import HistoryStore


def check_scopes(target: Target) -> Iterator[Finding]:
    """Of the main database, or of the history without one: who sees which applications."""
    main = None if None in target.state.databases else HISTORY_BIND
    if target.bind == main:
        yield from _judge_scopes(target, _applications(target))


def _applications(target: Target) -> Collection[str]:
    if target.bind is None:
        return [application.name for application in read_applications(target.database)]
    store = HistoryStore.from_config(target.state.config)
    with target.database.connect() as connection:
        return store.names(connection)


def _judge_scopes(target: Target, applications: Collection[str]) -> Iterator[Finding]:
    config = target.state.config
    credentials = config.credentials if isinstance(config.credentials, dict) else {}
    scopes = Scopes(config.scopes)
    for name in sorted({*credentials, *(config.scopes or ())} - {EVERYONE_ELSE}):
        seen = _seen(scopes.principal(name), applications)
        yield target.ok("scopes", f"{name} sees {seen}", principal=name)
    if config.scopes is None or not isinstance(config.credentials, dict):
        seen = _seen(scopes.principal(EVERYONE_ELSE), applications)
        yield target.ok("scopes", f"every other principal sees {seen}")
    for name, allowed in (config.scopes or {}).items():
        if unknown := sorted(set(allowed) - set(applications)):
            yield target.warning(
                "scopes",
                f"the scope of {name} names what is no application: {', '.join(unknown)}",
                f"Correct {config.key('scopes')}; the names are: {', '.join(sorted(applications))}",
                principal=name,
                unknown=unknown,
            )


def _seen(principal: Principal, applications: Collection[str]) -> str:
    if principal.applications is None:
        return "every application"
    return ", ".join(sorted(set(applications) & principal.applications)) or "no application"
