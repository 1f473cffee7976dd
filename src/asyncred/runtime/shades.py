"""Which values of an image are black and white to the denoiser, and whether its start fits them.

The user says them (``--range``), or the file does, or 0 and 1 are assumed; files of others leave
them to the start: all its values but a few extreme ones. So does an own file that says none, where
the start shows that 0 to 1 cannot be meant:

- little: the start lies, all but 0.4 % of its pixels, within a tenth of the range from black, or
  outside of the range and spans a tenth of its length, and is more than noise: an attenuation of
  0.012, say
- much: the start's means over tiles, in which noise counts little, reach beyond the range by four
  times its length: grey values up to 255, say

What was said is kept; that the start does not fit it is a doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncred.denoisers.values import range_of, sample
from asyncred.files.problem import Problem
from asyncred.operators import Image

LITTLE = 0.1
"""Of the range: a start that spans no more of it does not fit."""

FAINT = 0.02
"""The same of complex images: without the middle of k-space a zero-filled start is that dark."""

MUCH = 4.0
"""Lengths of the range beyond which the tiles of a start that does not fit it reach."""

TILE = 8
"""Pixels of a side of a tile."""

NOISE = 0.15
"""The means over tiles of a start that is but noise lie this near to black, at least; of what its
pixels span."""

OTHERWISE = "--range LOW:HIGH, or the attribute range of /image, says others"

MARGIN = 0.25
"""Of the range from black to white and the values of the start, that x may go beyond them."""

Pair = tuple[float, float]


@dataclass(frozen=True)
class Values:
    """Some of the values of an image, and some of its means over tiles; [n] each."""

    pixels: Image
    tiles: Image
    ends: Pair
    """The least and the largest of all; of complex ones 0 and the largest magnitude."""


@dataclass(frozen=True)
class Decision:
    """The values of black and white of an image."""

    shades: Pair
    note: str | None = None
    """That they were taken from the start, where the file led to expect others."""
    doubt: str | None = None
    """That the start does not fit what was said."""


def values_of(blocks: Sequence[Image], count: int) -> list[Values]:
    """Those of some of ``count`` blocks of an image."""
    return [
        Values(sample(block, count), sample(_means(block), count), _ends(block, 0.0))
        for block in blocks
    ]


def together(parts: Sequence[Values]) -> Values:
    """Those of several blocks."""
    return Values(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.tiles for part in parts]),
        (min(part.ends[0] for part in parts), max(part.ends[1] for part in parts)),
    )


def bounds_of(
    asked: str | tuple[float | None, float | None],
    shades: Pair,
    start: Values,
    *,
    potential: bool,
    floor: float | None = None,
) -> Pair | None:
    """What x is kept between, if by anything; ``potential``: whether the objective has one.

    A side without a bound is infinite. ``floor``: no image has values below it.
    """
    if not isinstance(asked, str):
        low, high = asked
        return -np.inf if low is None else low, np.inf if high is None else high
    if asked == "none" or not potential:
        return None
    low, high = min(shades[0], start.ends[0]), max(shades[1], start.ends[1])
    margin = MARGIN * (high - low)
    return low - margin if floor is None else max(low - margin, floor), high + margin


def decide(
    problem: Problem, asked: Pair | None, start: Values, *, name: str = "the start"
) -> Decision:
    """By what the user asked for, the file says, and the start shows; ``name`` is that in words."""
    known = asked or problem.shades
    if known is None:
        return Decision(range_of(start.pixels))
    misfit = _misfit(start, known)
    if misfit is None:
        return Decision(known)
    if asked is None and not problem.stated:
        return Decision(
            range_of(start.pixels),
            note=f"{name} {misfit}, which are assumed to be black and white: they are taken from "
            "the start",
        )
    place = "--range" if asked else "the attribute range of /image"
    return Decision(
        known,
        doubt=f"{name} {misfit}, which are black and white by {place}, expected values about "
        "these: without it they are taken from the start",
    )


def _misfit(start: Values, shades: Pair) -> str | None:
    """In words, how the start differs from a range, if it does by far."""
    low, high = shades
    length, (least, most) = high - low, _ends(start.pixels, 0.002)
    if least == most:  # a start of one value shows nothing
        return None
    little = length * (FAINT if np.iscomplexobj(start.pixels) else LITTLE)
    outside = least > high or most < low
    near = max(abs(least - low), abs(most - low)) <= little
    dark, bright = _ends(start.tiles, 0.02)
    shows = max(abs(dark - low), abs(bright - low)) > NOISE * (most - least)
    if shows and (near or (outside and most - least <= little)):
        return f"lies between {least:.4g} and {most:.4g}, a small part of {low:g} to {high:g}"
    if max(low - dark, bright - high) > MUCH * length:
        return f"lies between {dark:.4g} and {bright:.4g}, far beyond {low:g} to {high:g}"
    return None


def _ends(values: Image, share: float) -> Pair:
    """Between which values all but a share at either end lie; of complex ones 0 and magnitudes."""
    if np.iscomplexobj(values):
        return 0.0, float(np.quantile(np.abs(values), 1 - share))
    least, most = (float(q) for q in np.quantile(values, (share, 1 - share)))
    return least, most


def _means(x_i: Image) -> NDArray[np.generic]:
    """Of the whole tiles of a block, [rows, columns]; of all of it where it is smaller than one."""
    h, w = (min(TILE, side) for side in x_i.shape)
    rows, cols = x_i.shape[0] // h, x_i.shape[1] // w
    means: NDArray[np.generic] = (
        x_i[: rows * h, : cols * w].reshape(rows, h, cols, w).mean(axis=(1, 3))
    )
    return means
