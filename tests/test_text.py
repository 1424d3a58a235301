"""What strangers sent is made safe to show."""

import pytest

from flask_powerauth_telemetry.text import describe, one_line, printable, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Über 銀行 🏦", "Über 銀行 🏦"),
        ("re\x1b[31md\n", r"re\x1b[31md\n"),
        ("right\u202eleft", r"right\u202eleft"),
        ("\u2028\x85\x7f\ud800", r"\u2028\x85\x7f\ud800"),
        ("no\u00a0break", r"no\xa0break"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()


def test_a_message_of_several_lines_is_one_line() -> None:
    assert one_line("first\r\n  second\tthird\x07") == r"first second third\x07"


def test_long_texts_are_cut() -> None:
    assert shortened("a" * 255) == "a" * 255
    assert shortened("a" * 256) == "a" * 255 + "…"


def test_nested_errors_are_described_by_their_paths() -> None:
    errors = {"days": ["No."], "applications": {1: ["Blank."]}, "_schema": ["Too long."]}

    assert describe(errors) == "days: No.; applications.1: Blank.; Too long."
