"""Checks of the application: keys that nothing reads, who sees what, who answers strangers."""

import logging
from collections.abc import Collection, Iterator

from flask import current_app
from werkzeug.routing import Rule

from flask_powerauth_telemetry.auth.credentials import EVERYONE_ELSE, Principal, with_scope
from flask_powerauth_telemetry.cli.catalogue import principals, report_rules
from flask_powerauth_telemetry.cli.checks.findings import Finding, Target, cause_of
from flask_powerauth_telemetry.config.values import HISTORY_BIND
from flask_powerauth_telemetry.exceptions import Unauthorized
from flask_powerauth_telemetry.schemas import error_envelope
from flask_powerauth_telemetry.state import EXTENSION_KEY, Instances

_ACCESS_LOG = "flask_powerauth_telemetry.access_log"


def check_keys(target: Target) -> Iterator[Finding]:
    """Whether an instance reads each key of the application, this one or another."""
    instances: Instances = current_app.extensions[EXTENSION_KEY]
    instances.told = True  # here, not in the log
    unread = instances.unread(current_app.config)
    for key in unread:
        yield target.error(f"{key.name}: {key.cause}", key.cure, key=key.name)
    if not unread:
        yield target.ok("each key of the configuration is read")


def check_scopes(target: Target) -> Iterator[Finding]:
    """Of the main database, or of the history without one: who sees which applications."""
    if target.bind != (None if None in target.state.databases else HISTORY_BIND):
        return
    applications = target.application_names()
    config = target.state.config
    configured = config.scopes or {}
    known = principals(target.state)
    for name in sorted({*(known or ()), *configured} - {EVERYONE_ELSE}):
        if known is not None and name not in known:
            cure = f"Correct {config.key('scopes')}; they are: {', '.join(sorted(known))}"
            yield target.warning(f"there is no principal {name}", cure, principal=name)
        else:
            yield _seen(target, name, with_scope(name, config.scopes), applications)
    if known is None:
        everyone_else = with_scope(EVERYONE_ELSE, config.scopes)
        yield _seen(target, "every other principal", everyone_else, applications)
    for name, allowed in configured.items():
        if unknown := sorted(allowed - set(applications)):
            yield target.warning(
                f"the scope of {name} names what is no application: {', '.join(unknown)}",
                f"Correct {config.key('scopes')}; the names are: {', '.join(sorted(applications))}",
                principal=name,
                unknown=unknown,
            )


def _seen(
    target: Target, name: str, principal: Principal, applications: Collection[str]
) -> Finding:
    if principal.applications is None:
        return target.ok(f"{name} sees every application", principal=name)
    seen = ", ".join(sorted(set(applications) & principal.applications))
    if not seen:
        return target.note(f"{name} sees no application", principal=name)
    return target.ok(f"{name} sees {seen}", principal=name)


def check_routes(target: Target) -> Iterator[Finding]:
    """Whether requests get as far as the extension: each route of reports refuses a stranger.

    The application is asked itself, without a network, by a POST without credentials.
    """
    if target.bind != next(iter(target.state.databases)):
        return
    rules = report_rules(target.state.config)
    for rule in rules:
        if not rule.arguments:  # a host's prefix may hold variables
            yield _ask_stranger(target, rule)
    if not rules:
        cure = "Register telemetry.blueprint, or set " + target.state.config.key("url_prefix")
        yield target.warning("reports have no route in this application", cure)


def _ask_stranger(target: Target, rule: Rule) -> Finding:
    path = rule.rule
    named = current_app.config["SERVER_NAME"]
    trusted = [] if named else current_app.config["TRUSTED_HOSTS"] or []
    access_log = logging.getLogger(_ACCESS_LOG)
    access_log.addFilter(_nothing)  # it is no refused caller
    try:
        # By https, because the application may redirect what comes by http.
        answer = current_app.test_client().post(
            path,
            json={},
            subdomain=rule.subdomain or None,
            url_scheme="https",
            headers=[("Host", host.lstrip(".")) for host in trusted[:1]],
        )
    except Exception as error:
        text = f"POST {path} fails in the application: {type(error).__name__}: {cause_of(error)}"
        return target.error(text, "Mend the hook that raises it", path=path)
    finally:
        access_log.removeFilter(_nothing)
    facts = {"path": path, "status": answer.status_code}
    ours = error_envelope(Unauthorized())
    if answer.status_code == Unauthorized.status and answer.get_json(silent=True) == ours:
        return target.ok(f"POST {path} asks for credentials", **facts)
    likely = ""
    if answer.status_code in (400, 403):
        likely = " (protection from CSRF?)"
    elif 300 <= answer.status_code < 400 or answer.status_code == Unauthorized.status:
        likely = " (a hook that asks for a login?)"
    text = (
        f"POST {path} without credentials is answered {answer.status_code}"
        f" before the extension could refuse it{likely}"
    )
    cure = (
        "Leave these routes out of what answers in its place. Of Flask-WTF:"
        " csrf.exempt(telemetry.blueprint). Of a hook: return None for this path"
    )
    return target.error(text, cure, **facts)


def _nothing(record: logging.LogRecord) -> bool:
    return False
