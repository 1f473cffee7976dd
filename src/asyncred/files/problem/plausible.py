"""Doubts: what makes a valid problem file look wrong, a line each, with figures and a way out.

A doubt is no error: the file can be read and a run would end, but most likely with a wrong image.
Every kind says its own (``Data.doubts``); here is what they share. Each looks at a bounded number
of measurements, however many the file holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VALUES = 2**18
"""Measurements of an image that are looked at, about."""

PARTS = 16
"""Blocks, or other parts of the measurements, that are looked at, at most."""

LOOKED_AT = 3
"""Images of a stack that are looked at, at most."""

OUTSIDE = 0.25
"""How far out of the range of values, in lengths of it, most measurements may lie."""

FOREIGN = 4.0
"""So far above the range they are in other units: the start decides (``runtime.shades``)."""

FEWEST = 16
"""Measurements that ``of_sign`` needs."""

OPPOSITE = -0.5
"""The cosine below which ``of_sign`` finds them opposed."""

Shades = tuple[float, float]


def settle(path: Path, doubts: Sequence[str], *, strict: bool) -> tuple[str, ...]:
    """The doubts, to be shown and stored. Raises ValueError, in one line, where they are errors."""
    if strict and doubts:
        raise ValueError(f"{path}: {'; and '.join(doubts)} (--strict)")
    return tuple(doubts)


def marked(doubts: Sequence[str]) -> list[str]:
    """As they are printed and stored."""
    return [f"!! {doubt}" for doubt in doubts]


def of_images(found: Mapping[int, tuple[str, ...]], *, stack: bool) -> tuple[str, ...]:
    """Doubts of some images by number: those of all, and those of the first that has others."""
    first = next(iter(found.values()))
    common = [line for line in first if all(line in lines for lines in found.values())]
    for image, lines in found.items():
        others = [line for line in lines if line not in common]
        if others:
            prefix = f"image {image}: " if stack else ""
            return (*common, *(f"{prefix}{line}" for line in others))
    return tuple(common)


def spread(count: int, most: int) -> list[int]:
    """At most so many of the numbers from 0 to count - 1, evenly spread, both ends among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(place) for place in np.linspace(0, count - 1, most)})


def of_values(values: NDArray[Any], name: str) -> str | None:
    """Whether measurements say anything at all: some, not all 0, not all the same.

    ``name`` says where they are. What is not finite is left to those who read it for good.
    """
    values = values[np.isfinite(values)]
    if values.size == 0:
        return f"{name} holds no number, expected measurements"
    if not values.any():
        return f"{name} is 0 in all {values.size} values looked at, expected measurements"
    if values.size > 1 and (values == values.flat[0]).all():
        return (
            f"{name} is {values.flat[0]:.4g} in all {values.size} values looked at, expected "
            "measurements that differ"
        )
    return None


def of_level(values: NDArray[Any], shades: Shades | None) -> str | None:
    """Whether measurements that have the image's values lie where black and white are.

    Measurements that are negative where the image is not have the wrong sign; those far above the
    range are in other units, for which the start tells the range.
    """
    values = values[np.isfinite(values)]
    if shades is None or values.size == 0:
        return None
    (low, high), middle = shades, float(np.median(values))
    below, above = (low - middle) / (high - low), (middle - high) / (high - low)
    if below <= OUTSIDE and not OUTSIDE < above <= FOREIGN:
        return None
    sign = "y may have the wrong sign; else " if middle < 0 <= low else ""
    return (
        f"/measurements/y: values about {middle:.3g}, the median, expected {low:g} to {high:g}, "
        f"black to white: {sign}the attribute range of /image, or --range LOW:HIGH, says what is "
        "black and white"
    )


def of_sign(y: NDArray[Any], seen: NDArray[Any], shades: Shades | None) -> str | None:
    """Whether y answers like A x of an image that is not negative, as ``shades`` have it.

    ``seen`` is A applied to an image of ones, for the same measurements. For x >= 0 the cosine of
    A x and A 1 is about mean(x) / rms(x), which no such image makes clearly negative.
    """
    norm = float(np.linalg.norm(y)) * float(np.linalg.norm(seen))
    told = y.size >= FEWEST and norm > 0 and np.isfinite(norm)
    if shades is None or shades[0] < 0 or not told:
        return None
    cosine = float(np.vdot(seen, y)) / norm
    if cosine > OPPOSITE:
        return None
    return (
        f"/measurements/y: its cosine with A applied to a white image is {cosine:.2f} in the "
        f"{y.size} rows looked at, expected more than 0 for an image of values of {shades[0]:g} "
        f"to {shades[1]:g}: y or A may have the wrong sign, or --range LOW:HIGH says that values "
        "are negative"
    )


def said(*doubts: str | None) -> tuple[str, ...]:
    """Those that there are."""
    return tuple(doubt for doubt in doubts if doubt is not None)
