"""Functions of SQL that reports use, exact to the microsecond on every dialect.

They only say what is meant. ``database.dialects`` has the SQL, a method of the same name in each
dialect. All times are naive times of one clock.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, Integer, literal_column
from sqlalchemy.sql.functions import FunctionElement


class WholeDays(FunctionElement[int]):
    """The complete 24-hour days from a start to an end: ``WholeDays(end, start)``.

    A fraction of either sign is cut off.
    """

    type = Integer()
    name = "whole_days"
    inherit_cache = True


class WholeSlots(FunctionElement[int]):
    """The complete spans of ``seconds`` from a start to an end: ``WholeSlots(end, start, 60)``.

    The end must not be before the start.
    """

    type = Integer()
    name = "whole_slots"
    inherit_cache = True

    def __init__(
        self, end: ColumnElement[datetime], start: ColumnElement[datetime], seconds: int
    ) -> None:
        # A clause, so that statements with other lengths are not taken for the same.
        super().__init__(end, start, literal_column(str(int(seconds)), Integer))
