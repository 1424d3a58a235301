"""How little many callers cost the database."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine

from tests.support import held
from tests.support.databases import Databases
from tests.support.held import GRACE_SECONDS, RETAIL, Crowd, answer_of, hold, passes
from tests.support.service import NOW, create_app, recorded_statements

CALLERS = 64
LIMIT = 1.0
NEVER = 60


class Clock:
    """The extension's clock, moved by the test.

    Results age by it or by the time that passes, whichever is more; so a test moves it by a
    little more than it waits for.
    """

    now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def owner(databases: Databases) -> Engine:
    engine = databases.create("postgresql-18", Path())
    held.create_held_database(engine)
    return engine


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app_with(owner: Engine, clock: Clock) -> Iterator[Callable[..., Flask]]:
    """Makes an application whose computations are as cold as in a new process."""

    def create(**keys: Any) -> Flask:
        keys = {"TABLES": held.TABLES, "MAX_WAITING": 0, **keys}
        return create_app(owner, clock=clock, **keys)

    hold(owner)
    yield create
    hold(owner)


def test_one_pass_answers_all_who_ask_at_once(
    owner: Engine, app_with: Callable[..., Flask]
) -> None:
    hold(owner, 0.3)
    with recorded_statements() as statements:
        answers = Crowd(app_with(), [RETAIL] * CALLERS).answers()

    assert [(answer.status, answer.users) for answer in answers] == [(200, 30)] * CALLERS
    assert passes(statements) == 1
    assert max(answer.seconds for answer in answers) < 0.3 + GRACE_SECONDS


def test_three_passes_answer_every_window(owner: Engine, app_with: Callable[..., Flask]) -> None:
    hold(owner, 0.3)
    asked = [1, 30, 31, 90, 91, 365, *range(2, 350, 6)][:CALLERS]
    parameters = [RETAIL | {"days": days} for days in asked]
    assert len({*asked}) == CALLERS
    with recorded_statements() as statements:
        answers = Crowd(app_with(), parameters, "USERS_IN_PAST_DAYS").answers()

    assert [(answer.status, answer.users) for answer in answers] == [(200, n) for n in asked]
    assert passes(statements) <= 3


def test_killed_pass_is_told_to_all_and_healed_by_the_next(
    owner: Engine, app_with: Callable[..., Flask]
) -> None:
    app = app_with(STATEMENT_TIMEOUT=5)
    hold(owner, NEVER)
    with recorded_statements() as statements:
        crowd = Crowd(app, [RETAIL] * CALLERS)
        held.eventually(lambda: held.running_passes(owner) == 1)
        time.sleep(0.2)
        assert held.terminate_passes(owner) == 1
        answers = crowd.answers()

    assert [answer.status for answer in answers] == [503] * CALLERS
    assert all(answer.headers["Retry-After"] == "5" for answer in answers)
    assert max(answer.seconds for answer in answers) < 5 + GRACE_SECONDS
    assert passes(statements) == 1
    hold(owner)
    assert answer_of(app).status == 200


def test_time_limit_is_told_to_all_and_remembered(
    owner: Engine, app_with: Callable[..., Flask], clock: Clock
) -> None:
    app = app_with(STATEMENT_TIMEOUT=LIMIT)
    hold(owner, NEVER)
    with recorded_statements() as statements:
        answers = Crowd(app, [RETAIL] * CALLERS).answers()
        assert [answer.status for answer in answers] == [503] * CALLERS
        assert {answer.headers["Retry-After"] for answer in answers} == {"60"}
        assert max(answer.seconds for answer in answers) < LIMIT + GRACE_SECONDS
        hold(owner)
        for left in (60, 30, 2):
            narrower = RETAIL | {"days": left // 2}
            for again in (answer_of(app), answer_of(app, narrower, "USERS_IN_PAST_DAYS")):
                assert again.status == 503
                assert left <= int(again.headers["Retry-After"]) <= left + 2
            clock.move(30 if left == 60 else 28)
        assert passes(statements) == 1

    clock.move(4)
    assert answer_of(app).status == 200


def test_time_limit_reached_again_is_remembered_for_longer(
    owner: Engine, app_with: Callable[..., Flask], clock: Clock
) -> None:
    app = app_with(STATEMENT_TIMEOUT=0.2)
    hold(owner, NEVER)
    for seconds in (60, 120, 240):
        assert answer_of(app).headers["Retry-After"] == str(seconds)
        clock.move(seconds + 2)
    hold(owner)
    assert answer_of(app).status == 200


def test_kept_answer_costs_no_statement_and_tells_its_age(
    app_with: Callable[..., Flask], clock: Clock
) -> None:
    app = app_with()
    first = answer_of(app)
    assert "Age" not in first.headers
    clock.move(42)
    with recorded_statements() as statements:
        kept = answer_of(app)

    assert statements == []
    assert (kept.status, kept.body, kept.headers["Age"]) == (200, first.body, "42")
    assert first.headers["Last-Modified"] == kept.headers["Last-Modified"]
    assert parsedate_to_datetime(kept.headers["Last-Modified"]) == NOW
    clock.move(20)
    with recorded_statements() as statements:
        fresh = answer_of(app)
    assert passes(statements) == 1
    assert "Age" not in fresh.headers
    assert parsedate_to_datetime(fresh.headers["Last-Modified"]) == clock.now


def test_wider_profile_in_hand_serves_a_narrower_window(
    app_with: Callable[..., Flask], clock: Clock
) -> None:
    app = app_with()
    assert answer_of(app, RETAIL | {"days": 200}, "USERS_IN_PAST_DAYS").users == 200
    clock.move(7)
    with recorded_statements() as statements:
        month, week = answer_of(app), answer_of(app, RETAIL | {"days": 7}, "USERS_IN_PAST_DAYS")

    assert statements == []
    assert (month.users, week.users) == (30, 7)
    assert month.headers["Age"] == week.headers["Age"] == "7"


def test_many_slow_reports_are_bounded(owner: Engine, app_with: Callable[..., Flask]) -> None:
    """50 callers of 50 different reports: two at once, and none left over."""
    app = app_with(STATEMENT_TIMEOUT=LIMIT)
    hold(owner, NEVER)
    seen, done = [], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            seen.append(held.running_passes(owner))

    watcher = threading.Thread(target=watch)
    watcher.start()
    parameters = [{"application": f"application-{number}"} for number in range(50)]
    answers = Crowd(app, parameters).answers()
    ended = time.monotonic()
    held.eventually(lambda: held.running_passes(owner) == 0)
    left_running = time.monotonic() - ended
    done.set()
    watcher.join()

    assert [answer.status for answer in answers] == [503] * 50
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert max(answer.seconds for answer in answers) < LIMIT + GRACE_SECONDS
    assert max(seen) == 2
    assert left_running < LIMIT + 0.5
    hold(owner)
    assert answer_of(app).status == 200
