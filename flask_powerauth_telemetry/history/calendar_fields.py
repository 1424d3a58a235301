"""Parameter fields for days and months of the calendar."""

import re
from datetime import date
from typing import Any

from marshmallow import ValidationError, fields

from flask_powerauth_telemetry.history.calendar import Month

_MONTH = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])")
_DAY = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}")


class MonthField(fields.String):
    """A month as ``YYYY-MM``, loaded as a ``Month``; required."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=True, metadata={"examples": ["2026-11"]}, **options)

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> Any:
        found = _MONTH.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValidationError("Must be a month such as 2026-11.")
        return Month(int(found[1]), int(found[2]))


class DayField(fields.Date):
    """A day as ``YYYY-MM-DD``, loaded as a ``date``; required."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=True, **options)

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> Any:
        try:
            if isinstance(value, str) and _DAY.fullmatch(value):
                return date.fromisoformat(value)
        except ValueError:
            pass
        raise ValidationError("Must be a day such as 2026-11-25.")
