"""Frames of a scan: those that are asked for, and those that hold no measurement.

A projection without light (a beam dump, a pillar of a cell, an aborted scan whose frames were never
written), a white field without light and a dark field with light are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Numbers = NDArray[np.int64]
Marked = NDArray[np.bool_]

Views = tuple[tuple[int, int], ...]

LIGHTLESS = 0.005
"""Share of what the brighter pixels of most views show, at most, in a view without light,"""

DARKEST = 4.0
"""or standard deviations of a dark frame."""

ODD = 0.5
"""Share by which a white field may differ from the others, and of the white field by which a dark
one may."""

COLUMNS = 256
"""Of a row that are looked at, about."""

NAMED = 6
"""Runs of frames that are told one by one."""


@dataclass(frozen=True)
class Screened:
    """Which frames hold a measurement, in the order of each kind."""

    views: Marked
    white: Marked
    dark: Marked


def chosen_views(path: Path, count: int, asked: Views | None) -> Numbers:
    """The numbers of the projections that are asked for out of so many. Raises ValueError."""
    if asked is None:
        return np.arange(count)
    if max(end for _, end in asked) > count:
        raise ValueError(
            f"{path}: --views is {','.join(f'{a}:{b}' for a, b in asked)}, expected parts of "
            f"0:{count}, the projections of the scan"
        )
    return np.unique(np.concatenate([np.arange(first, end) for first, end in asked]))


def screened(
    counts: Sequence[Array], white: Sequence[Array | None], dark: Sequence[Array | None]
) -> Screened:
    """Of some rows of the detector, each [frames, columns]; all have the same fields.

    A frame without light has none in any row that has some in other frames.
    """
    views = [_lit(*rows) for rows in zip(counts, white, dark, strict=True)]
    fields = [_fields(w, d) for w, d in zip(white, dark, strict=True) if w is not None]
    telling = [lit for lit in views if lit.any()]
    lit = np.stack(telling).any(axis=0) if telling else np.ones(len(counts[0]), bool)
    return Screened(
        np.asarray(lit),
        _any([found[0] for found in fields], white),
        _any([found[1] for found in fields], dark),
    )


def _any(found: list[Marked], fields: Sequence[Array | None]) -> Marked:
    """Whether a frame is good in some row; all are where no row tells one."""
    count = 0 if fields[0] is None else len(fields[0])
    good = np.any(found, axis=0) if found else np.ones(count, bool)
    return np.asarray(good if good.any() else np.ones(count, bool))


def _lit(counts: Array, white: Array | None, dark: Array | None) -> Marked:
    """Which views of a row [views, columns] show light; none where all are alike without any."""
    part = counts[:, :: max(1, counts.shape[1] // COLUMNS)]
    finite = np.asarray(np.isfinite(part).all(axis=1))
    part = np.where(finite[:, None], part, 0)
    level, noise = 0.0, 0.0
    if white is not None and dark is not None and np.isfinite(dark).all():
        level = float(np.median(dark))
        noise = 1.4826 * float(np.median(np.abs(dark - np.median(dark, axis=0))))
    some = int(0.9 * (part.shape[1] - 1))
    bright = np.partition(part, some, axis=1)[:, some] - level
    typical = float(np.median(bright[finite])) if finite.any() else 0.0
    lit = finite & (bright > max(DARKEST * noise, LIGHTLESS * typical, 0.0))
    constant = np.ptp(part, axis=1) == 0
    if part.shape[1] > 1 and constant.mean() < ODD:
        lit &= ~constant
    return np.asarray(lit)


def _fields(white: Array, dark: Array | None) -> tuple[Marked, Marked]:
    """Which white frames have about the light that the others have, and which dark ones none."""
    dark = np.zeros((0, white.shape[1]), np.float32) if dark is None else dark
    white, dark = (np.where(np.isfinite(part), part, 0) for part in (white, dark))
    bright, faint = np.median(white, axis=1), np.median(dark, axis=1)
    level = float(np.median(faint)) if faint.size else 0.0
    light = float(np.median(bright)) - level
    whole = np.abs(bright - level - light) <= ODD * light
    return whole, np.abs(faint - level) <= ODD * max(light, 0.0)


def named(numbers: Numbers) -> str:
    """Numbers in ascending order as runs: ``3, 100 to 125``."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    words = [str(run[0]) if run.size == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return ", ".join(words[:NAMED]) + (", ..." if len(words) > NAMED else "")
