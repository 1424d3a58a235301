"""How many files a reader has to open to follow a request."""

import sys
import threading
from pathlib import Path
from types import FrameType

from sqlalchemy import Engine

import flask_powerauth_telemetry
from tests.support import powerauth
from tests.support.service import ask, create_app

MOST_FILES = 15
MOST_FILES_OF_THE_CORE = {
    "service.py",
    "registry.py",
    "computation.py",
    "providers.py",
    "fields.py",
    "reports/active_users.py",
    "reports/activity.py",
}
"""From a report's name to its data, without the database."""

_PACKAGE = Path(flask_powerauth_telemetry.__file__).parent
_OTHERS = ("auth", "database", "factory", "monitoring")
_AROUND = {"blueprint.py", "responses.py", "schemas.py", "state.py"}


def test_cold_report_goes_through_few_files(sqlite: Engine) -> None:
    powerauth.create_schema(sqlite)
    powerauth.add_applications(sqlite, ["retail"])
    client = create_app(sqlite).test_client()
    files = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(_PACKAGE):
            files.add(path.relative_to(_PACKAGE).as_posix())

    threading.setprofile(note)  # for the thread of the computation
    sys.setprofile(note)
    try:
        response = ask(client, "CURRENT_MAU", {"application": "retail"})
    finally:
        sys.setprofile(None)
        threading.setprofile(None)

    assert response.status_code == 200
    core = {file for file in files - _AROUND if not file.startswith(_OTHERS)}
    assert core == MOST_FILES_OF_THE_CORE
    assert len(files) <= MOST_FILES, sorted(files)
