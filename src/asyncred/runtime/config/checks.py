"""Checks of single values that users give: the value, or a ValueError of what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncred.errors import did_you_mean

Bounds = tuple["float | None", "float | None"]
"""Of values, where None is no bound."""

LARGEST = 1e12
"""No number that a user gives may be larger."""


def number(
    expected: str,
    *,
    low: float = 0.0,
    open_low: bool = False,
    below: float = math.inf,
    infinite: bool = False,
) -> Callable[[Any], float]:
    """A check: a real number from ``low`` (beyond it with ``open_low``) to less than ``below``."""

    def check(value: Any) -> float:
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        inside = low < found if open_low else low <= found
        if not inside or below <= found < math.inf:
            raise ValueError(expected)
        if found > LARGEST and not (infinite and math.isinf(found)):
            raise ValueError(f"{expected}, at most {LARGEST:g}")
        return found

    return check


def integer(expected: str, *, low: int = 0, large: bool = False) -> Callable[[Any], int]:
    """A check: an integer of at least ``low``, past 2^31 only if ``large``."""

    def check(value: Any) -> int:
        try:
            found = low - 1 if isinstance(value, (bool, float)) else int(value)
        except (TypeError, ValueError):
            found = low - 1
        if found < low:
            raise ValueError(expected)
        if found > 2**31 - 1 and not large:
            raise ValueError(f"{expected}, below 2^31")
        return found

    return check


noise_level = number("a number > 0, in units of 1/255", open_low=True)
"""A check: ``--sigma``."""


def images(value: Any) -> tuple[int, int]:
    """A check: one image of a stack, K, or some, A:B, B excluded, counted from 0."""
    try:
        found = value.split(":") if isinstance(value, str) else value
        if isinstance(found, (bool, float)):
            raise TypeError
        parts = [int(part) for part in (found if isinstance(found, list) else [found])]
        first, end = (parts[0], parts[0] + 1) if len(parts) == 1 else parts
    except (TypeError, ValueError):
        first, end = -1, 0
    if not 0 <= first < end:
        raise ValueError("K or A:B with 0 <= A < B, B excluded")
    return first, end


class Choice:
    """A check: one of some names, ``choices``."""

    def __init__(self, *names: str) -> None:
        self.choices = names

    def __call__(self, value: Any) -> str:
        if value not in self.choices:
            hint = did_you_mean(value, self.choices) if isinstance(value, str) and value else ""
            raise ValueError(" or ".join(self.choices) + hint)
        return str(value)


def path(value: Any) -> Path:
    """A check: a file name."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("a file name")
    return value if isinstance(value, Path) else Path(value)


def text(value: Any) -> str:
    """A check: a name or a file."""
    if not isinstance(value, str) or not value:
        raise ValueError("a name or a file")
    return value


def flag(value: Any) -> bool:
    """A check: true or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def step(value: Any) -> str | float:
    """A check: ``--step``."""
    if value in ("safe", "adaptive"):
        return str(value)
    return number("safe, adaptive or a number > 0", open_low=True)(value)


_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def duration(value: Any) -> float:
    """A check: a time in seconds, as a number, as 90s, 90m, 1h or 2d, or as SLURM writes it.

    Of SLURM's forms D-HH:MM:SS, HH:MM:SS, MM:SS, D-HH and D-HH:MM.
    """
    expected = "a time > 0: seconds, 90m, 1h or D-HH:MM:SS"
    found: Any = value
    if isinstance(value, str):
        unit = re.fullmatch(r"\s*([\d.]+)\s*([a-z]+)\s*", value)
        if unit and unit[2] in _UNITS:
            found = number(expected)(unit[1]) * _UNITS[unit[2]]
        elif ":" in value or "-" in value.strip().lstrip("-"):
            found = _clock(value)
    return number(expected, open_low=True, infinite=True)(found)


def _clock(text: str) -> float:
    """Seconds of D-HH:MM:SS and its shorter forms; NaN for anything else."""
    days, dash, rest = text.partition("-") if "-" in text else ("0", "", text)
    parts = rest.split(":")
    if not (days.isdecimal() and all(part.isdecimal() for part in parts) and len(parts) <= 3):
        return math.nan
    # with days it begins with hours, without it ends with seconds
    units = (3600, 60, 1) if dash else (3600, 60, 1)[3 - len(parts) :]
    return 86400 * int(days) + sum(int(n) * unit for n, unit in zip(parts, units, strict=False))


def value_range(value: Any) -> tuple[float, float]:
    """A check: LOW:HIGH."""
    try:
        low, high = value.split(":") if isinstance(value, str) else value
        found = float(low), float(high)
    except (AttributeError, TypeError, ValueError):
        raise ValueError("LOW:HIGH, such as 0:255") from None
    if not (found[0] < found[1] and all(map(math.isfinite, found))):
        raise ValueError("LOW:HIGH with LOW < HIGH, both finite")
    return found


def halo(value: Any) -> int | str:
    """A check: pixels, or auto:ERROR."""
    expected = "an integer >= 0, or auto:ERROR with 0 < ERROR < 1, such as auto:1e-3"
    if isinstance(value, str) and value.startswith("auto:"):
        return f"auto:{number(expected, open_low=True, below=1.0)(value[5:]):g}"
    return integer(expected)(value)


def views(value: Any) -> tuple[tuple[int, int], ...]:
    """A check: A:B, or several such parts with commas between them."""
    expected = "A:B or A:B,C:D with 0 <= A < B, such as 0:90,95:180"
    parts = value.split(",") if isinstance(value, str) else value
    try:
        pairs = [part.split(":") if isinstance(part, str) else part for part in parts]
        found = tuple((int(first), int(end)) for first, end in pairs)
    except (TypeError, ValueError):
        raise ValueError(expected) from None
    if not found or not all(0 <= first < end <= LARGEST for first, end in found):
        raise ValueError(expected)
    return found


def bounds(value: Any) -> str | Bounds:
    """A check: auto, none, LOW:HIGH, or LOW: or :HIGH with no bound (None) on the other side."""
    if isinstance(value, str) and value in ("auto", "none"):
        return value
    try:
        sides = value.split(":") if isinstance(value, str) else value
        low, high = (None if side in ("", None) else float(side) for side in sides)
    except (AttributeError, TypeError, ValueError):
        raise ValueError("auto, none or LOW:HIGH, such as 0:1 or 0:") from None
    told = [side for side in (low, high) if side is not None]
    ordered = low is None or high is None or low < high
    if not told or not ordered or not all(map(math.isfinite, told)):
        raise ValueError("auto, none or LOW:HIGH with LOW < HIGH, finite; one may be left out")
    return low, high


def center(value: Any) -> float | str:
    """A check: a bin of the detector, or middle."""
    if value == "middle":
        return str(value)
    return number("a bin, or middle", low=-LARGEST)(value)


def slow(value: Any) -> tuple[tuple[int, float], ...]:
    """A check: ``--slow``."""
    expected = "RANK:FACTOR with FACTOR >= 1, such as 1:4"
    found = []
    for item in value if isinstance(value, (list, tuple)) else [value]:
        try:
            rank, factor = item.split(":")
            found.append((int(rank), float(factor)))
        except (AttributeError, ValueError):
            raise ValueError(expected) from None
        if found[-1][0] < 0 or not 1 <= found[-1][1] < math.inf:
            raise ValueError(expected)
    return tuple(found)
