"""Phase retrieval of a slice: a row of the detector from the rows about it.

Each row of the band is corrected by itself. Where one holds no measurements, and beyond the frame,
the next row towards the slice stands for it. Rows are read in groups, so that memory does not grow
with the band.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asyncred.errors import BadImage
from asyncred.files.problem.correction import Correction
from asyncred.files.problem.flaws import PASSES
from asyncred.files.problem.phase import WIDEST, PaganinFilter, Propagation

if TYPE_CHECKING:
    from asyncred.files.problem.counts import Counts

Array = NDArray[np.float32]

VALUES = 2**24
"""Counts that are read at once, about."""


def retrieved(counts: Counts, row: int, views: range, phase: Propagation) -> Array:
    """Line integrals of some views of a slice, float32 [views, columns]. Raises BadImage."""
    columns, reach = counts.shape[2], phase.reach
    made = PaganinFilter(phase.length, reach, columns)
    y, least = _corrected(counts, row, views)
    own = made.spectrum(np.exp(-y))
    total = made.response(0) * own
    for direction in (-1, 1):
        last, d = own, 0
        for other in _outward(counts, row, views, direction * reach):
            d += 1
            if other is not None:
                last = made.spectrum(np.exp(-other))
            total += made.response(d) * last
        if d < reach:
            rest = np.sum([made.response(k) for k in range(d + 1, reach + 1)], axis=0)
            total += rest * last
    T = np.maximum(made.row(total), least)
    return np.asarray(-np.log(T), np.float32)


def whole_slices(counts: Counts, rows: Sequence[int]) -> Array:
    """Line integrals of some slices, [slices, views, columns]. Raises BadImage."""
    return np.stack([counts.line_integrals(row, range(counts.shape[0])) for row in rows])


def noise_gain(counts: Counts) -> float:
    """Noise of T' over that of T, and so of line integrals before and after."""
    phase = counts.detector.corrections.phase
    assert phase is not None
    return PaganinFilter(phase.length, phase.reach, counts.shape[2]).noise


def of_phase(counts: Counts) -> list[str]:
    """What is to be said of phase retrieval, if it is asked for. Raises ValueError."""
    phase, (_, rows, columns) = counts.detector.corrections.phase, counts.shape
    if phase is None:
        return []
    if phase.pixel is None:
        raise ValueError(
            f"{counts.path}: --phase paganin, and the file does not tell the side of a pixel, "
            "expected --pixel-size MICROMETRES"
        )
    length, reach = phase.length, phase.reach
    said = (
        f"{phase.energy:g} keV, {phase.distance:g} m, delta/beta {phase.ratio:g}, pixels of "
        f"{phase.pixel:.4g} um"
    )
    if length > columns / WIDEST:
        raise ValueError(
            f"{counts.path}: --phase paganin with {said}: the filter averages over {length:.3g} "
            f"pixels, expected at most {columns // WIDEST}, a quarter of the detector's columns: "
            "keV, metres and micrometres"
        )
    return [
        f"phase retrieved by Paganin's filter, {said}: it averages over {length:.3g} pixels, and "
        f"reads {min(2 * reach + 1, rows)} of {rows} rows for a slice"
    ]


def _corrected(counts: Counts, row: int, views: range) -> tuple[Array, Array]:
    """Line integrals of a row, and the least transmission that is one, [columns] or a number."""
    correction, some = counts.correction(row, views)
    return correction.slice(some).y, correction.least


def _outward(counts: Counts, row: int, views: range, far: int) -> Iterator[Array | None]:
    """Line integrals of the rows from the next one on, as far as there are any.

    ``far``: how many, before or after ``row`` by its sign; None for a row without measurements.
    """
    step = 1 if far > 0 else -1
    end = min(max(row + far, 0), counts.shape[1] - 1)
    wanted = list(range(row + step, end + step, step))
    at_once = max(1, VALUES // ((len(views) + 2 * PASSES) * counts.shape[2]))
    for k in range(0, len(wanted), at_once):
        some = wanted[k : k + at_once]
        first, inside = counts.around(views)
        found = counts.read_rows(range(min(some), max(some) + 1), first)
        for number in some:
            try:
                one = found[number - min(some)]
                counts.check_finite(number, one)
                yield Correction(one, counts.detector).slice(inside).y
            except BadImage:
                yield None
