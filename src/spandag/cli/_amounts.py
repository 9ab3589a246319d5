"""Numbers as people write and read them."""

from __future__ import annotations

import re

UNITS = ("B", "KB", "MB", "GB", "TB")
"""Of bytes, each a thousand times the one before."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?B|[KMGT])", re.IGNORECASE)


def number(count: int, what: str) -> str:
    """So many of something.

    Args:
        count: How many.
        what: Of what, in the singular.
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """A number of bytes, as in ``24.6 KB``."""
    shown = float(count)
    for unit in UNITS[:3]:
        if shown < 1000:
            return f"{shown:.0f} {unit}" if unit == "B" else f"{shown:.1f} {unit}"
        shown /= 1000
    return f"{shown:.1f} GB"


def parse_size(text: str) -> int:
    """The number of bytes that a person means by ``500MB``, ``1.5 gb`` or ``500000000B``.

    A unit has to be there: whoever forgets it means no bytes.

    Raises:
        ValueError: None is meant.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a size such as 500MB or 2GB")
    unit = found[2].upper()
    return int(float(found[1]) * 1000 ** UNITS.index(unit if unit.endswith("B") else unit + "B"))


def last_days(days: int | None) -> str:
    """What to add to a sentence about the last so many days; nothing about all that there ever were."""
    if days is None:
        return ""
    return " today (UTC)" if days == 1 else f" in the last {days} days (UTC)"
