"""Whether there is a recording to answer from, where the source is the history."""

from collections.abc import Iterator

from flask_powerauth_telemetry.cli.checks.findings import Finding, Target
from flask_powerauth_telemetry.exceptions import TelemetryError
from flask_powerauth_telemetry.history.source import CLOCK_TOLERANCE
from flask_powerauth_telemetry.history.store import HistoryStore

_CURE = "Run: flask telemetry snapshot, and see that its schedule works"


def check_history(target: Target) -> Iterator[Finding]:
    """Whether the newest recording is young enough; one finding."""
    config = target.state.config
    store = HistoryStore.from_config(config)
    now = target.state.clock()
    try:
        with target.database.connect() as connection:
            store.check(connection)
            newest = store.newest_of_any(connection, now + CLOCK_TOLERANCE)
    except TelemetryError as error:
        yield target.error("history", error.message, _CURE)
        return
    if newest is None:
        yield target.error("history", "nothing is recorded yet", _CURE)
        return
    as_of = newest.profile.as_of
    age = (now - as_of).total_seconds()
    message = f"the newest recording is of {as_of:%Y-%m-%d %H:%M:%S} UTC, {age / 3600:.1f} h old"
    if age <= config.max_age:
        yield target.ok("history", message, age_seconds=round(age))
    elif config.serve_stale:
        yield target.warning("history", f"{message}, and is still answered from", _CURE)
    else:
        yield target.error("history", f"{message}: too old to answer from", _CURE)
