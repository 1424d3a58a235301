"""``flask telemetry snapshot`` killed before each of its statements: nothing untrue stays."""

import json
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, inspect

from tests.support import powerauth
from tests.support.powerauth import Activation
from tests.support.recorded import Site, run
from tests.support.service import users_of

KINDS = ("before_cursor_execute", "commit", "rollback")
HOUR = timedelta(hours=1)

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def kill_before(step: int) -> None:
    """End this process before a statement or the end of a transaction, the first being 0."""
    passed = iter(range(step))

    def pass_one(*_: Any) -> None:
        if next(passed, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    for kind in KINDS:
        event.listen(Engine, kind, pass_one)


def is_killed(step: int, record: Callable[[], int]) -> bool:
    """Record in a process that is killed before a step; whether it got there, else it succeeds."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            kill_before(step)
            status = record()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (-signal.SIGKILL, 0)
    return status != 0


def log_in(site: Site, number: int) -> None:
    used = site.clock.now.replace(tzinfo=None)
    name = f"user-{number}"
    powerauth.add_activations(site.powerauth, [Activation(name, 1, name, used)])


def test_recording_killed_at_each_step(postgresql_site: Site) -> None:
    site, true = postgresql_site, {}
    assert site.record().exit_code == 0
    step, killed = 0, True
    while killed:
        site.clock.now += HOUR
        log_in(site, step)
        true[f"{site.clock.now:%Y-%m-%dT%H}"] = step + 1
        killed = is_killed(step, lambda: site.record().exit_code)

        assert run(site.auditor, "--verify").exit_code == 0
        if step % 2:
            assert site.record().exit_code == 0  # as the next run of cron in the same hour
            assert users_of(site.reader().test_client(), "retail", 30) == step + 1
        step += 1

    rows = site.rows("slot, users, application_name")[2:]
    counted = {slot[:13]: json.loads(users)[29] for slot, users, name in rows if name == "retail"}
    assert 10 < step < 2 * len(counted)
    assert counted == {slot: true[slot] for slot in counted}


def test_first_recording_killed_at_each_step(postgresql_site: Site) -> None:
    site = postgresql_site
    log_in(site, 0)
    step, killed = 0, True
    while killed:
        killed = is_killed(step, lambda: site.record().exit_code)

        assert run(site.auditor, "--verify").exit_code in (0, 2)  # 2: nothing is recorded yet
        assert site.record().exit_code == 0
        assert users_of(site.reader().test_client(), "retail", 30) == 1
        assert run(site.auditor, "--verify").exit_code == 0
        for table in inspect(site.history).get_table_names():
            site.execute(f"DROP TABLE {table}")
        step += 1

    assert step > 10
