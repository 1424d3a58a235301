"""``report_data``: the numbers of a provider, of the rows that an author's test gives."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from example_app.active_devices import ActiveDevicesByPlatform
from flask_powerauth_telemetry.exceptions import InvalidParameters, UnknownApplication
from flask_powerauth_telemetry.reports.active_users import UsersInPastDays
from flask_powerauth_telemetry.testing import NOW, report_data

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
RETAIL = {"application": "retail", "days": 30}


def users_at(*times: datetime, **options: Any) -> int:
    """What USERS_IN_PAST_DAYS gives of a user for each time."""
    rows = [
        {"application_id": 1, "user_id": f"{number}", "timestamp_last_used": time}
        for number, time in enumerate(times)
    ]
    users: int = report_data(UsersInPastDays(), RETAIL, {"pa_activation": rows}, **options)["users"]
    return users


def test_window_has_both_its_ends_to_the_microsecond() -> None:
    assert users_at(NOW, NOW - 30 * DAY) == 2
    assert users_at(NOW + TICK, NOW - 30 * DAY - TICK) == 0


def test_instants_are_those_of_now_whatever_their_zone() -> None:
    now = datetime(2024, 2, 29, 23, 59, tzinfo=timezone(timedelta(hours=-8)))

    assert users_at(now, now.astimezone(UTC), now + TICK, NOW, now=now) == 2


def test_naive_time_is_what_the_clock_shows() -> None:
    shown = (NOW + timedelta(hours=5, minutes=30)).replace(tzinfo=None)

    assert users_at(shown) == 1
    assert users_at(shown + TICK) == 0


def test_left_out_columns_are_null() -> None:
    row = {"application_id": 1, "activation_status": 3, "timestamp_last_used": NOW}

    data = report_data(ActiveDevicesByPlatform(), RETAIL, {"pa_activation": [row, row]})

    assert data["platforms"] == {"unknown": 2}


def test_applications_are_there_or_named() -> None:
    named = {"pa_application": [{"id": 7, "name": "kiosk"}]}

    assert report_data(UsersInPastDays(), RETAIL | {"application": "corporate"}, {})["users"] == 0
    assert report_data(UsersInPastDays(), RETAIL | {"application": "kiosk"}, named)["users"] == 0
    with pytest.raises(UnknownApplication):
        report_data(UsersInPastDays(), RETAIL, named)


def test_what_no_table_has_is_refused() -> None:
    rows: list[dict[str, Any]] = [{"user_id": "anna"}, {"user_id": "bert", "counter": 1}]

    with pytest.raises(ValueError, match="pa_activation has no column counter"):
        report_data(UsersInPastDays(), RETAIL, {"pa_activation": rows})
    with pytest.raises(AttributeError, match="pa_token"):
        report_data(UsersInPastDays(), RETAIL, {"pa_token": rows})


def test_parameters_are_checked_as_by_the_service() -> None:
    with pytest.raises(InvalidParameters, match="days"):
        report_data(UsersInPastDays(), {"application": "retail", "days": 0}, {})
