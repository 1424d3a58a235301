"""Parameters as they are loaded: names of applications, and who is asked for."""

from typing import Any

import pytest
from marshmallow import Schema, ValidationError, fields, post_load
from marshmallow.validate import OneOf

from flask_powerauth_telemetry.fields import ApplicationField, DaysField, load_parameters


class WindowSchema(Schema):
    application = ApplicationField()
    days = DaysField()


@pytest.mark.parametrize("character", [chr(0), *map(chr, (0xD800, 0xDBFF, 0xDC00, 0xDFFF))])
def test_what_no_database_takes_is_in_no_name(character: str) -> None:
    loaded = load_parameters(WindowSchema(), {"application": f"a{character}b", "days": 7})

    assert isinstance(loaded.error, ValidationError)
    assert loaded.error.messages == {
        "application": ["Has a character that no application name can have."]
    }


@pytest.mark.parametrize("character", ["\1", "\ud7ff", "\ue000", "\uffff", "\U0001f600", "'"])
def test_all_else_may_be_in_a_name(character: str) -> None:
    name = f"a{character}b"
    loaded = load_parameters(WindowSchema(), {"application": name, "days": 7, "more": 1})

    assert loaded.error is None
    assert (loaded.values, loaded.applications) == ({"application": name, "days": 7}, (name,))


@pytest.mark.parametrize("length", [1, 255])
def test_length_of_a_name(length: int) -> None:
    asked: dict[str, Any] = {"application": "a" * length, "days": 7}
    assert load_parameters(WindowSchema(), asked).error is None
    asked["application"] = "a" * 256 if length == 255 else ""
    assert load_parameters(WindowSchema(), asked).error is not None


def test_author_may_add_validators() -> None:
    class Chosen(Schema):
        application = ApplicationField(validate=OneOf(["retail", "a" * 256]))
        days = DaysField(validate=[OneOf([7, 30, 400])])

    def is_refused(application: str, days: int) -> bool:
        asked = {"application": application, "days": days}
        return load_parameters(Chosen(), asked).error is not None

    assert not is_refused("retail", 30)
    assert is_refused("corporate", 30)
    assert is_refused("a" * 256, 30)
    assert is_refused("retail", 8)
    assert is_refused("retail", 400)


def test_applications_are_told_even_of_parameters_that_are_refused() -> None:
    loaded = load_parameters(WindowSchema(), {"application": "retail", "days": 0})

    assert (loaded.values, loaded.applications) == ({}, ("retail",))
    assert isinstance(loaded.error, ValidationError)


def test_any_error_of_a_schema_is_told() -> None:
    class Broken(Schema):
        application = ApplicationField()

        @post_load
        def divide(self, data: dict[str, Any], **_: Any) -> float:
            return 1 / 0

    loaded = load_parameters(Broken(), {"application": "retail"})

    assert isinstance(loaded.error, ZeroDivisionError)
    assert loaded.applications == ("retail",)


def test_loads_do_not_mix() -> None:
    """One load begins inside another, as on a server that switches tasks; and after it."""

    class Nesting(Schema):
        before = ApplicationField()
        inner = fields.Function(
            deserialize=lambda name: load_parameters(
                WindowSchema(), {"application": name, "days": 7}
            )
        )
        later = ApplicationField()

    loaded = load_parameters(Nesting(), {"before": "a", "inner": "b", "later": "c"})

    assert loaded.applications == ("a", "c")
    assert loaded.values["inner"].applications == ("b",)
    WindowSchema().load({"application": "d", "days": 1})  # outside of any, as before
