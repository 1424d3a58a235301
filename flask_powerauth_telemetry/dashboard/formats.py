"""Numbers and times as they are shown: the same for readers of every country."""

from datetime import UTC, datetime, tzinfo

NOTHING = "\u2013"
"""What stands for a number that is not known."""

_GROUPS = "\u202f"


def number(value: float | None) -> str:
    """A number in groups of three digits, parted by thin blanks, with a decimal point."""
    if value is None:
        return NOTHING
    whole = int(value)
    return f"{whole if whole == value else value:,}".replace(",", _GROUPS)


def percentage(part: float, whole: float) -> str:
    """A share with one decimal, nothing of nothing."""
    return NOTHING if not whole else f"{100 * part / whole:.1f}{_GROUPS}%"


def instant(time: datetime, zone: tzinfo) -> str:
    """An aware time by the second, with the zone's name and its offset then."""
    local = time.astimezone(zone)
    text = f"{local:%Y-%m-%d %H:%M:%S} {zone}"
    if is_utc(zone):
        return text
    offset = f"{local:%z}"
    return f"{text} (UTC{offset[:3]}:{offset[3:5]})"


def isolated(name: str) -> str:
    """A name whose direction of writing changes nothing around it, for texts without tags."""
    return f"\u2068{name}\u2069"


def is_utc(zone: tzinfo) -> bool:
    """Whether times in the zone are those of UTC, by its name."""
    return zone is UTC or str(zone) in ("UTC", "Etc/UTC", "Etc/UCT", "Zulu")
