"""Inpainting: A keeps the pixels that were measured, y = M x + noise.

A^T A is the mask M itself: block i of the gradient is M_i (x_i - y_i) and looks at no other block.
Measurements with weights, 1/2 ||M x - y||_W^2, have W M in the place of M there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.grid import BlockGrid
from asyncred.operators.local import LocalModel
from asyncred.operators.protocols import Image, Rows


def hide(x: Image, mask: NDArray[np.bool_]) -> Image:
    """M x: x where it is measured, 0 elsewhere; of the shape of x."""
    return np.where(mask, x, np.float32(0))


class Mask(LocalModel):
    """The data term of the blocks of one rank.

    ``mask`` and ``y`` map a block's number to M_i, bool [h, w], and to y_i, float32 [h, w], of
    which only the measured pixels are looked at. The measurements a minibatch is drawn from are
    these pixels, in row-major order. ``weights`` maps it to w on the block, float32 [h, w], where
    they are not all 1. Raises ValueError.
    """

    def __init__(
        self,
        grid: BlockGrid,
        mask: Mapping[int, NDArray[np.bool_]],
        y: Mapping[int, Image],
        weights: Mapping[int, Image] | None = None,
    ) -> None:
        if mask.keys() != y.keys():
            raise ValueError(f"masks of blocks {sorted(mask)}, y of {sorted(y)}")
        for i, M_i in mask.items():
            shape = grid.window(i, 0).shape
            if M_i.shape != shape or y[i].shape != shape or M_i.dtype != np.bool_:
                raise ValueError(
                    f"block {i}: mask {M_i.dtype} {list(M_i.shape)}, y {list(y[i].shape)}, "
                    f"expected bool {list(shape)} and {list(shape)}"
                )
        self._grid, self._mask = grid, mask
        self._pixels = {i: np.flatnonzero(M_i) for i, M_i in mask.items()}
        self._y = {i: y[i][M_i] for i, M_i in mask.items()}
        self._shapes = {i: M_i.shape for i, M_i in mask.items()}
        self._misfits: dict[int, float] = {}
        self._weights = weights
        self._w = None if weights is None else {i: weights[i][M_i] for i, M_i in mask.items()}

    def of(self, y: Mapping[int, Image]) -> Mask:
        """The same A with other measurements."""
        return Mask(self._grid, self._mask, y, self._weights)

    def gradient(self, i: int, x_i: Image, rows: Rows | None) -> Image:
        """W M_i (x_i - y_i), or (m/w) W M_S (x_i - y_i) for a subset S of w measured pixels."""
        pixels, y, weight = self._pixels[i], self._y[i], np.float32(1)
        if rows is not None:
            weight = np.float32(y.size / rows.size)
            pixels, y = pixels[rows], y[rows]
        out = np.zeros(self._shapes[i], np.float32)
        r = x_i.reshape(-1)[pixels] - y
        weighted = self._weighted(i, r, rows)
        if rows is None:
            self._misfits[i] = float(np.vdot(r, weighted))
        out.reshape(-1)[pixels] = weight * weighted
        return out

    def misfit(self, i: int) -> float:
        """||M_i x_i - y_i||_W^2 as of the last gradient of block i."""
        return self._misfits.get(i, math.nan)

    def energy(self, i: int) -> float:
        """||y_i||_W^2."""
        return float(np.vdot(self._y[i], self._weighted(i, self._y[i], None)))

    def normal(self, i: int, v: Image) -> Image:
        """W M_i v."""
        out, pixels = np.zeros_like(v), self._pixels[i]
        out.reshape(-1)[pixels] = self._weighted(i, v.reshape(-1)[pixels], None)
        return out

    def measurements(self, i: int) -> int:
        """How many pixels of block i are measured."""
        return self._y[i].size

    def adjoint(self, i: int) -> Image:
        """W M_i y_i, float32 [h, w]."""
        return -self.gradient(i, np.zeros(self._shapes[i], np.float32), None)

    def interpolated(self, i: int) -> Image:
        """y_i, every gap filled from the nearest measured pixel of the block, float32 [h, w].

        0 where the block has none.
        """
        x_i = self.adjoint(i)
        if self._w is not None:
            x_i.reshape(-1)[self._pixels[i]] = self._y[i]
        if not self._y[i].size:
            return x_i
        nearest = scipy.ndimage.distance_transform_edt(
            ~self._mask[i], return_distances=False, return_indices=True
        )
        filled: Image = x_i[tuple(nearest)]
        return filled

    def lipschitz(self, i: int, minibatch: int | None) -> float:
        """The largest weight, 1 as a rule, times m/w for a minibatch of w; 0 without pixels."""
        m = self._y[i].size
        share = float(m > 0) if minibatch is None else m / max(1, min(minibatch, m))
        return share if self._w is None or m == 0 else share * float(self._w[i].max())

    def _weighted(self, i: int, r: Image, rows: Rows | None) -> Image:
        """W r for some of the measured pixels (all)."""
        if self._w is None:
            return r
        w = self._w[i]
        return (w if rows is None else w[rows]) * r
