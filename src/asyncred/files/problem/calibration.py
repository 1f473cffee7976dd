"""What the fully sampled centre of k-space tells: the image at low frequencies, and its phase.

    l_c = F^-1 (w k_c)                      w a smooth window on the centre
    P = exp(i arg sum_c conj(s_c) l_c)      smooth part of the phase, where s_c is known

``espirit`` has the sensitivities s_c where nobody knows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from asyncred.grid import BlockGrid

LARGEST = 31
"""Most frequencies of a side of the centre: sensitivities are smoother than that."""

SMALLEST = 7
"""Fewest of them."""

Complex = NDArray[np.complex64]


Offset = tuple[int, int]
"""Rows and columns from [H // 2, W // 2] to zero frequency."""

NONE: Offset = (0, 0)


def central(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns about zero frequency, [H // 2, W // 2], all of whose points are sampled.

    Odd numbers of them, evenly about it; none where it is not sampled itself.
    """

    def region(reach: list[int]) -> tuple[slice, slice]:
        (top, left), (up, aside) = (n // 2 for n in mask.shape), reach
        return slice(top - up, top + up + 1), slice(left - aside, left + aside + 1)

    most = [min((n - 1) // 2, LARGEST // 2) for n in mask.shape]
    reach = [0, 0] if mask[region([0, 0])].all() else [-1, -1]
    growing = [reach[0] == 0] * 2
    while any(growing):
        for axis in (0, 1):
            wider = [r + (axis == k) for k, r in enumerate(reach)]
            growing[axis] = wider[axis] <= most[axis] and bool(mask[region(wider)].all())
            reach = wider if growing[axis] else reach
    return region(reach)


def phases(
    center: Complex,
    coils: Mapping[int, Complex],
    grid: BlockGrid,
    blocks: list[int],
    offset: Offset = NONE,
) -> dict[int, Complex]:
    """P on some blocks, complex64 [h, w]; 1 where nothing tells it.

    ``center`` complex64 [C, p, q], p and q odd, is k-space with zero frequency in its middle;
    ``coils`` holds s_c.
    """
    found = {}
    for i, low in smooth(center, grid, blocks, offset):
        P = _normed((coils[i].conj() * low).sum(axis=0, keepdims=True))[0]
        found[i] = np.where(P == 0, np.complex64(1), P)
    return found


def smooth(
    center: Complex, grid: BlockGrid, blocks: list[int], offset: Offset = NONE
) -> Iterator[tuple[int, Complex]]:
    """Block by block l_c, complex64 [C, h, w]."""
    windows = (np.hanning(n + 2)[1:-1] for n in center.shape[1:])
    weighted = (center * np.multiply.outer(*windows)).astype(np.complex64)
    for i in blocks:
        rows, cols = (
            waves(part, side, n, shift)
            for part, side, n, shift in zip(
                grid.block(i), grid.shape, center.shape[1:], offset, strict=True
            )
        )
        yield i, (rows @ weighted @ cols.T).astype(np.complex64)


def _normed(low: Complex) -> Complex:
    """Divided by the root sum of squares of the coils; 0 where that is."""
    norm = np.sqrt(np.sum(np.square(np.abs(low)), axis=0))
    s: Complex = np.divide(low, norm, out=np.zeros_like(low), where=norm > 0)
    return s


def waves(part: slice, side: int, n: int, shift: int = 0) -> Complex:
    """exp(2 pi i k p / side): pixels p of a part of a side [pixels], the n lowest k [n].

    ``shift`` is how far after the middle of k-space the lowest of them is.
    """
    p, k = np.arange(part.start, part.stop) - side // 2, np.arange(n) - n // 2 + shift
    waves: Complex = np.exp(2j * np.pi / side * np.multiply.outer(p, k)).astype(np.complex64)
    return waves
