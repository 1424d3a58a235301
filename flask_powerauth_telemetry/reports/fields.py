"""Fields of report data that further reports share."""

from typing import Any

from marshmallow import fields, validate


class CountField(fields.Integer):
    """How many of something there are, a required JSON integer from 0."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=True, strict=True, validate=validate.Range(0), **options)
