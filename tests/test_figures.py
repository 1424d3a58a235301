"""The figures that the documentation names are those that the package has."""

import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from flask_powerauth_telemetry.auth import pa_integration
from flask_powerauth_telemetry.cli import attempts
from flask_powerauth_telemetry.cli.checks import databases
from flask_powerauth_telemetry.cli.checks import reports as answers
from flask_powerauth_telemetry.cli.snapshot import snapshot as command
from flask_powerauth_telemetry.computation import (
    GRACE_SECONDS,
    HANG_SECONDS,
    KEPT_BYTES,
    SLOW_SECONDS,
)
from flask_powerauth_telemetry.config.keys import TelemetryConfig
from flask_powerauth_telemetry.dashboard import parts
from flask_powerauth_telemetry.dashboard.figures import calendar
from flask_powerauth_telemetry.database.dialects import postgresql
from flask_powerauth_telemetry.exceptions import Unavailable
from flask_powerauth_telemetry.fields import MAXIMUM_DAYS
from flask_powerauth_telemetry.history import (
    instants,
    mau_history,
    recording,
    snapshot,
    users_by_month,
    users_in_month,
)
from flask_powerauth_telemetry.monitoring import metrics
from flask_powerauth_telemetry.reports import activity, signatures
from flask_powerauth_telemetry.responses import LOG_AGAIN_SECONDS
from flask_powerauth_telemetry.schemas import MAXIMUM_DEPTH

DOCS = Path(__file__).parents[1] / "docs"
WORDS = {10: "ten seconds", 60: "a minute", 3_600: "an hour"}
MONTHS = {12: "twelve"}
MAX_STANDBY_STREAMING_DELAY = 30  # PostgreSQL's default


def text_of(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def listed(days: Iterable[int]) -> str:
    *others, last = sorted(days)
    return f"{', '.join(map(str, others))} or {last}"


def test_time_limits_of_the_documentation_are_those_of_the_package() -> None:
    _, _, section = text_of("troubleshooting").partition("\n## Time limits\n")
    documented = [line.partition(":")[0] for line in section.splitlines() if line[:2] == "- "]
    default = TelemetryConfig()
    (of_snapshot,) = (one.default for one in command.params if "--time-limit" in one.opts)

    assert {int(number) for line in documented for number in re.findall(r"\b\d+\b", line)} == {
        default.statement_timeout,
        default.max_waiting,
        of_snapshot,
        100 * postgresql._LOCK_SHARE,
        postgresql._LOCK_SHARE * default.statement_timeout,
        postgresql._LIBPQ_ARGUMENTS["connect_timeout"],
        pa_integration._LONGEST_READING_SECONDS,
        pa_integration._LONGEST_REREADING_SECONDS,
        MAX_STANDBY_STREAMING_DELAY,
    }


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("configuration", f"at most once {WORDS[pa_integration.REFRESH_SECONDS]}"),
        ("configuration", f"stays valid for {WORDS[pa_integration.VALID_SECONDS]}"),
        ("configuration", f"the next try is after {pa_integration.RETRY_SECONDS} s"),
        ("configuration", f"up to about {KEPT_BYTES / 2**20:g} MB"),
        ("commands", f"{databases.CLOCK_TOLERANCE_SECONDS} seconds of ours"),
        ("commands", f"{answers.ANSWER_SECONDS:g} seconds an application at most"),
        ("compatibility", f"`days` from 1 to {MAXIMUM_DAYS}"),
        ("compatibility", f"nested deeper than {MAXIMUM_DEPTH} levels"),
        ("dashboard", f"are kept for {WORDS[int(parts._Names.keep_seconds)]}"),
        ("dashboard", f"the recorded days of the past {calendar.HISTORY_DAYS}"),
        ("databases", f"What takes {HANG_SECONDS:g} s longer is taken to hang"),
        ("databases", f"A caller waits for {GRACE_SECONDS:g} s longer at most"),
        ("monitoring", f"logged every {WORDS[int(LOG_AGAIN_SECONDS)]}"),
        ("monitoring", f"`days` is {listed(metrics.WINDOWS)}"),
        ("recording", f"Try again every {attempts.SECONDS_BETWEEN:g} s"),
        ("recording", f"more than {recording.TOLERANCE / timedelta(minutes=1):g} minutes off"),
        ("recording", f"within {instants.CLOCK_TOLERANCE / timedelta(seconds=1):g} seconds"),
        ("recording", f"waits for that for {instants.WAIT_SECONDS:g} seconds"),
        ("recording", f"A run takes {snapshot.DAYS_A_RUN} days of each application"),
        ("recording", f"{recording.VERIFICATIONS_OF_A_DAY} for a day of verifications"),
        ("recording", f"{activity.DEFINITION_VERSION} for users"),
        ("reports", f"{mau_history.MAXIMUM_DATES:,} at most"),
        ("reports", f"the {users_in_month.ROWS_BESIDE} recordings before"),
        ("reports", f"the {MONTHS[users_by_month.MONTHS]} calendar months"),
        ("reports", f"up to {listed(activity.WIDTHS)} days"),
        ("reports", f"the rows of {listed(signatures.WIDTHS)} days"),
        ("troubleshooting", f"`Retry-After: {SLOW_SECONDS}`, which doubles"),
        ("troubleshooting", f"`Retry-After: {Unavailable('').retry_after}`: the database"),
    ],
)
def test_figure_of_the_documentation_is_that_of_the_package(page: str, sentence: str) -> None:
    assert sentence in " ".join(text_of(page).split())
