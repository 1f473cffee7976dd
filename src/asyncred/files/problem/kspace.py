"""Doubts about k-space: whether its middle, its mask and its samples belong together.

Most of the energy of an image lies at low frequencies. k-space is stored here with zero frequency
at [ky // 2, kx // 2]; a transform that leaves it at [0, 0], or a mask made for such a one, is the
usual fault, and a shift by half of a side mends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from asyncred.files.problem.plausible import of_values, said

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]
Axes = tuple[int, ...]
T = TypeVar("T", bound=np.generic)

EMPTY = 0.2
"""Share of the sampled points that may hold 0."""

MISSED, CAUGHT = 0.4, 0.8
"""Shares of the energy: a mask that catches less than the first is none where a shifted one
catches more than the second."""

NEAR = 8
"""The middle reaches so far to either side of zero frequency: this part of a side."""

BRIGHTER = 5.0
"""How many times the energy of a sample of the middle those of another place must have."""

SHIFTS: dict[Axes, str] = {(0, 1): "both axes", (0,): "axis ky", (1,): "axis kx"}
"""Axes along which k-space or a mask may be shifted by half a side."""


def of_kspace(k: NDArray[np.complex64], mask: Mask, place: str) -> tuple[str, ...]:
    """Doubts about the samples of some coils, complex [coils, ky, kx], and the mask [ky, kx].

    ``place`` is their dataset. () where a sample is not finite, which a run refuses.
    """
    energy = np.square(np.abs(k), dtype=np.float64).sum(axis=0)
    if not np.isfinite(energy[mask]).all():
        return ()
    energy = np.where(np.isfinite(energy), energy, 0)
    blank = of_values(energy, place)
    if blank:
        return (blank,)
    return said(_of_middle(energy, mask, place) or _of_mask(energy, mask, place))


def _of_middle(energy: Numbers, mask: Mask, place: str) -> str | None:
    """Whether k-space is brightest half a side off its middle."""
    middle = _brightness(energy, ())
    if middle is None:
        return None
    others = {axes: _brightness(energy, axes) or 0.0 for axes in SHIFTS}
    axes = max(SHIFTS, key=lambda axes: others[axes])
    if others[axes] < BRIGHTER * middle:
        return None
    what = "y and mask" if _empty(energy, mask) <= EMPTY else "y"
    return (
        f"{place}: samples half a side off the middle along {SHIFTS[axes]} have "
        f"{others[axes] / middle:.2g} times the energy of those in it, expected the most at zero "
        f"frequency, [{mask.shape[0] // 2}, {mask.shape[1] // 2}]: numpy.fft.fftshift of {what} "
        f"along {SHIFTS[axes]} puts it there"
    )


def _of_mask(energy: Numbers, mask: Mask, place: str) -> str | None:
    """Whether points that the mask calls sampled hold nothing, or all but the energy."""
    empty, caught = _empty(energy, mask), float(energy[mask].sum() / energy.sum())
    if empty <= EMPTY and caught >= MISSED:
        return None
    for words, other in _other_masks(mask):
        fits = float(energy[other].sum() / energy.sum()) > CAUGHT
        if fits and _empty(energy, other) <= EMPTY:
            return (
                f"{place}: {100 * empty:.0f} % of the points that the mask calls sampled hold 0, "
                f"and {100 * (1 - caught):.0f} % of the energy lies elsewhere, expected data "
                f"where the mask is 1: it fits {words}"
            )
    if empty <= EMPTY:
        return None
    return (
        f"{place}: {100 * empty:.0f} % of the points that the mask calls sampled hold 0, expected "
        "data there: set the mask to 0 where nothing was measured, or zeros are fitted like data"
    )


def _empty(energy: Numbers, mask: Mask) -> float:
    """The share of the points of a mask that hold 0."""
    return 1 - float((energy[mask] > 0).mean()) if mask.any() else 1.0


def _other_masks(mask: Mask) -> Iterator[tuple[str, Mask]]:
    """What may have been meant, and how to make that of the mask."""
    for axes, name in SHIFTS.items():
        yield f"after numpy.fft.fftshift along {name}", np.fft.fftshift(mask, axes)
        yield f"after numpy.fft.ifftshift along {name}", np.fft.ifftshift(mask, axes)
    yield "when inverted", ~mask


def _brightness(energy: Numbers, axes: Axes) -> float | None:
    """Mean energy of what was sampled around the middle of k-space shifted along some axes."""
    reach = [max(1, n // NEAR) for n in energy.shape]
    middle = tuple(
        slice(max(0, n // 2 - r), n // 2 + r + 1) for n, r in zip(energy.shape, reach, strict=True)
    )
    around = _shifted(energy, axes)[middle]
    return float(around[around > 0].mean()) if around.any() else None


def _shifted(values: NDArray[T], axes: Axes) -> NDArray[T]:
    return np.fft.fftshift(values, axes) if axes else values
