"""Report data as rows of cells, for CSV and for a table on a terminal."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask_powerauth_telemetry.exceptions import ProviderFault
from flask_powerauth_telemetry.text import printable

Row = dict[str, Any]

POSITION = "position"
"""The last part of the name of a column that counts the elements of a list, from 1."""

ELEMENT = "element"
"""What the path to a list in a list has in the place of a name."""

# What a spreadsheet takes for the start of a formula, also in the full width of East Asian text.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_CONTROLS = frozenset("\t\r\n")


def rows_of(data: Mapping[str, Any]) -> list[Row]:
    """The rows of report data, each with its cells by column.

    Each element of a list is a row. What stands beside a list is repeated in each of its rows; two
    lists side by side follow each other. Where all lists are empty, what stands beside them is a
    row. Columns are named by the path to their values, with dots. Raises ``ProviderFault`` for two
    values with the same path, one of which would be lost.
    """
    return list(_rows(data, ""))


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The columns that any row has, in the order in which they first come."""
    return list({column: None for row in rows for column in row})


def as_csv(data: Mapping[str, Any]) -> str:
    """Report data as CSV with a header, in lines that end as on Unix; null is an empty cell.

    A text that a spreadsheet would take for a formula has an apostrophe before it: a name in the
    database may be made to do harm there. For the same reason all texts are quoted, because some
    spreadsheets part cells at semicolons.
    """
    rows = rows_of(data)
    columns = columns_of(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow([_guarded(column) for column in columns])
    writer.writerows([_guarded(_cell(row.get(column))) for column in columns] for row in rows)
    return text.getvalue()


def as_table(data: Mapping[str, Any]) -> list[str]:
    """Report data as lines of aligned columns with a header, numbers to the right."""
    rows = rows_of(data)
    columns = columns_of(rows)
    lines = [columns, *([str(_cell(row.get(column))) for column in columns] for row in rows)]
    cells = [[printable(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = [all(_is_number(row.get(column)) for row in rows) for column in columns]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in cells
    ]


def _rows(value: Any, path: str) -> Iterator[Row]:
    if isinstance(value, Mapping):
        yield from _rows_of_object(value, path)
    elif isinstance(value, list | tuple):
        for number, element in enumerate(value, start=1):
            inner = path if not isinstance(element, list | tuple) else _below(path, ELEMENT)
            for row in _rows(element, inner):
                yield _joined({_below(path, POSITION): number}, row)
    else:
        yield {path: value}


def _rows_of_object(value: Mapping[str, Any], path: str) -> Iterator[Row]:
    parts = [(list(_rows(value[key], _below(path, key))), _has_list(value[key])) for key in value]
    beside: Row = {}
    for rows, is_list in parts:
        if not is_list:
            beside = _joined(beside, rows[0])
    listed = [row for rows, is_list in parts if is_list for row in rows]
    yield from (_joined(beside, row) for row in listed or [{}])


def _joined(one: Row, other: Row) -> Row:
    if twice := one.keys() & other.keys():
        raise ProviderFault(f"two values are at {', '.join(sorted(twice))}: take JSON")
    return one | other


def _has_list(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_list(member) for member in value.values())
    return isinstance(value, list | tuple)


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value


def _guarded(value: Any) -> Any:
    if isinstance(value, str) and (value.lstrip().startswith(_FORMULA) or value[:1] in _CONTROLS):
        return f"'{value}"
    return value


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
