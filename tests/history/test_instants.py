"""When passes count as of: clocks that are apart, and what a standby tells of itself."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flask_powerauth_telemetry.database.dialects import DIALECTS, dialect_named
from flask_powerauth_telemetry.database.dialects.base import Replay
from flask_powerauth_telemetry.database.dialects.postgresql import PostgreSQL
from flask_powerauth_telemetry.history import instants
from flask_powerauth_telemetry.history.instants import Instants, NotNow
from flask_powerauth_telemetry.state import EXTENSION_KEY
from tests.support import powerauth
from tests.support.past import INSTANCE
from tests.support.recorded import Clock, Site, run
from tests.support.service import NOW, create_app

SECOND = timedelta(seconds=1)


class Shifted(Clock):
    """A clock that goes, apart from the true time by each of these seconds in turn."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = list(seconds)

    def __call__(self) -> datetime:
        seconds = self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        return datetime.now(UTC) + seconds * SECOND


@pytest.mark.usefixtures("server_clock")
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (86_400, "86,400 s ahead of"),
        (45, "45 s ahead of"),
        (-45, "45 s behind"),
        (-3600, "3,600 s behind"),
        (20, None),
        (-20, None),
        (0, None),
    ],
)
def test_clock_is_compared_with_the_servers(
    postgresql_site: Site, zone: str, seconds: int, words: str | None
) -> None:
    site = postgresql_site
    with site.powerauth.begin() as connection:
        connection.exec_driver_sql(
            f"ALTER DATABASE {site.powerauth.url.database} SET timezone = '{zone}'"
        )
    site.clock = Shifted(seconds)

    result = site.record()

    if words is None:
        assert result.exit_code == 0
        assert len(site.rows()) == 2
        return
    assert result.exit_code == 1
    assert f"Nothing is recorded: this host's clock is {words} the database server's" in (
        result.stderr
    )
    assert "NTP" in result.stderr
    assert "recorded for" not in result.stdout


@pytest.mark.usefixtures("server_clock")
@pytest.mark.parametrize("seconds", [-25, -5, 0, 5, 25])
def test_passes_count_up_to_now_by_the_servers_clock(postgresql_site: Site, seconds: int) -> None:
    """A user whose last use was later than the pass would be gone, and an earlier use with it."""
    site = postgresql_site
    site.clock = Shifted(seconds)
    used = datetime.now(UTC).replace(tzinfo=None)
    powerauth.add_activations(site.powerauth, [powerauth.Activation("a", 1, "anna", used)])

    assert site.record().exit_code == 0

    (as_of, users), *_ = [row[1:] for row in site.rows("application_name, as_of, users")][1:]
    assert abs(datetime.fromisoformat(as_of) - datetime.now(UTC)) < 3 * SECOND
    assert users.startswith("[1,1,")


@pytest.mark.usefixtures("server_clock")
def test_clock_that_is_set_meanwhile_is_refused_before_the_next_pass(
    postgresql_site: Site,
) -> None:
    site = postgresql_site
    site.clock = Shifted(*[0.0] * 8, 3600.0)

    result = site.record()

    assert result.exit_code == 1
    assert "3,600 s ahead of" in result.stderr
    assert len(site.rows()) <= 1


def test_every_server_has_a_clock() -> None:
    without = {name for name in DIALECTS if dialect_named(name).server_clock is None}

    assert without == {"postgresql", "sqlite"}  # the first by these tests alone: see any_clock


def replay(**facts: Any) -> Replay:
    usual: dict[str, Any] = {
        "replayed": 1000,
        "received": 1000,
        "sent": None,
        "committed": NOW - 60 * SECOND,
        "told": None,
        "receiver": 7,
        "silence": 60.0,
        "paused": False,
    }
    return Replay(**{**usual, **facts})


LATER = NOW + SECOND
LEFT = " bytes are received and not replayed"
ENDED = "the last transaction that was replayed ended 60 s before"


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses and the time that passes in them, without waiting."""
    passed = 0.0

    def pause(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(f"{instants.__name__}.time.sleep", pause)
    monkeypatch.setattr(f"{instants.__name__}.time.monotonic", lambda: passed)


def instants_of(site: Site, monkeypatch: pytest.MonkeyPatch, *replays: Replay | None) -> Instants:
    """Of a standby that tells one after the other, the last for ever."""
    told = list(replays)
    monkeypatch.setattr(PostgreSQL, "replay", lambda *_: told.pop(0) if len(told) > 1 else told[0])
    monkeypatch.setattr(instants, "dialect_named", lambda _: PostgreSQL())
    app = site.recorder()
    database = app.extensions[EXTENSION_KEY][INSTANCE].databases[None]
    return Instants(database, lambda: NOW + 2 * SECOND if len(told) < 2 else NOW)


@pytest.mark.usefixtures("waited")
@pytest.mark.parametrize(
    ("replays", "as_of"),
    [
        ([None], 2),
        ([replay(committed=LATER)], 1),
        ([replay(committed=NOW + 90 * SECOND)], 2),  # a primary's clock that is ahead
        ([replay(), replay(committed=LATER)], 1),
        ([replay(sent=1000, told=LATER)], 1),
        ([replay(sent=1000, told=NOW)], 0),
        ([replay(committed=NOW)], 0),
        ([replay(sent=2000, told=LATER), replay(replayed=2000, sent=2000, told=LATER)], 1),
        ([replay(committed=None, silence=0.5)], 0),
        ([replay(committed=None)], 0),  # idle: its receiver lives on
        ([replay(), None], 2),  # promoted
    ],
)
def test_standby_that_has_caught_up(
    small_site: Site, monkeypatch: pytest.MonkeyPatch, replays: list[Replay | None], as_of: int
) -> None:
    start = replays[0] if len(replays) > 1 else replay()
    found = instants_of(small_site, monkeypatch, *([start] if replays[0] else []), *replays).next()

    assert found == NOW + as_of * SECOND


@pytest.mark.usefixtures("waited")
@pytest.mark.parametrize(
    ("told", "words"),
    [
        (replay(replayed=0), f"1,000{LEFT}; {ENDED}"),
        (replay(replayed=0, paused=True), f"1,000{LEFT}; {ENDED}; the replay is paused"),
        (replay(received=0, silence=0.0), f"0{LEFT}; {ENDED}"),
        (replay(receiver=None), f"0{LEFT}; {ENDED}; nothing is received from the primary"),
        (replay(receiver=None, committed=None), f"0{LEFT}; nothing is received from the primary"),
        (replay(silence=0.0), f"0{LEFT}; {ENDED}"),
        (replay(silence=3600.0), f"0{LEFT}; {ENDED}"),
        (replay(sent=1000, told=NOW - SECOND), f"0{LEFT}; {ENDED}"),
        (replay(sent=2000, told=LATER), f"0{LEFT}; {ENDED}"),
    ],
)
def test_standby_that_is_behind_or_may_be(
    small_site: Site, monkeypatch: pytest.MonkeyPatch, told: Replay, words: str
) -> None:
    with pytest.raises(NotNow, match=f"not replayed all up to 12:00:00 UTC: {words}. Let it"):
        instants_of(small_site, monkeypatch, told, told).next()


@pytest.mark.usefixtures("waited")
def test_receiver_that_was_started_anew_proves_nothing(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotNow):
        instants_of(small_site, monkeypatch, replay(receiver=6), replay(receiver=7)).next()


@pytest.mark.usefixtures("waited")
def test_what_did_not_change_has_the_same_instant_at_once(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught = instants_of(small_site, monkeypatch, replay())

    first = caught.next()
    began = time.monotonic()

    assert caught.next() == first
    assert instants.time.monotonic() == began  # type: ignore[attr-defined]


@pytest.mark.usefixtures("waited")
@pytest.mark.parametrize(
    ("told", "seconds"),
    [(None, 12), (replay(committed=NOW + 90 * SECOND), 12), (replay(committed=None), 10)],
)
def test_instant_is_one_of_the_servers_clock(
    small_site: Site, monkeypatch: pytest.MonkeyPatch, told: Replay | None, seconds: int
) -> None:
    monkeypatch.setattr(instants, "seconds_behind_server", lambda *_: 10.0)

    found = instants_of(small_site, monkeypatch, replay(), told).next()

    assert found == NOW + seconds * SECOND


@pytest.mark.usefixtures("waited")
@pytest.mark.parametrize(
    ("then", "seconds"),
    [
        (replay(received=2000, silence=0.0), 0),
        (replay(replayed=900, received=900, silence=0.0), 0),
        (replay(receiver=None), 0),
        (replay(silence=0.0), 61),
    ],
)
def test_what_changed_or_is_long_ago_has_no_instant_of_before(
    small_site: Site, monkeypatch: pytest.MonkeyPatch, then: Replay, seconds: float
) -> None:
    caught = instants_of(small_site, monkeypatch, replay(), replay(committed=LATER))
    assert caught.next() == LATER
    instants.time.sleep(seconds)  # type: ignore[attr-defined]
    monkeypatch.setattr(PostgreSQL, "replay", lambda *_: then)

    with pytest.raises(NotNow):
        caught.next()


def test_lag_of_a_later_pass_leaves_the_first_recorded(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instants, "WAIT_SECONDS", 0.0)
    answers = iter([replay(committed=NOW)] * 2)
    monkeypatch.setattr(
        PostgreSQL, "replay", lambda *_: next(answers, replay(replayed=0, receiver=None))
    )
    monkeypatch.setattr(instants, "dialect_named", lambda _: PostgreSQL())

    result = run(create_app(small_site.powerauth, BINDS=small_site.binds))

    assert result.exit_code == 1
    recorded, _, head = result.stdout.splitlines()
    assert recorded.startswith("corporate: recorded")
    assert head.startswith("The history has 1 rows")
    assert (
        "Nothing more is recorded: this standby has not replayed all up to 12:00:00 UTC"
        in result.stderr
    )
    assert [row[0] for row in small_site.rows()] == ["corporate"]
