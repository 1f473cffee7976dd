"""A coupled A whose measurements have weights: W^(1/2) A takes the place of A, W^(1/2) y that of y.

    1/2 ||A x - y||_W^2 = 1/2 sum over k of w_k (A x - y)_k^2 = 1/2 ||W^(1/2) A x - W^(1/2) y||^2

With w_k = 1 / variance of y_k the minimum is the most likely x under Gaussian noise. In
transmission tomography, where y = -log(counts / beam), that is w_k proportional to the counts
(Sauer and Bouman, A local update strategy for iterative reconstruction from projections, IEEE
Trans. Signal Process. 41(2), 1993). What was not measured has w_k = 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from asyncred.operators.protocols import Footprint, ForwardModel, Image, Rows

Array = NDArray[np.float32]


class Weighted:
    """A ``ForwardModel``: W^(1/2) A.

    ``roots`` maps the blocks that will be asked for to w^(1/2) on the footprint of the block,
    float32 [groups, width]. Raises ValueError.
    """

    def __init__(self, model: ForwardModel, roots: Mapping[int, Array]) -> None:
        for i, root in roots.items():
            expected = (model.groups, model.footprint(i).width)
            if root.shape != expected or root.dtype != np.float32:
                raise ValueError(
                    f"block {i}: roots of the weights are {root.dtype} {list(root.shape)}, "
                    f"expected float32 {list(expected)} (its footprint)"
                )
        self.groups, self.length = model.groups, model.length
        self._model, self._roots = model, roots

    @property
    def dtype(self) -> type[np.generic]:
        """Of the image."""
        return self._model.dtype

    def footprint(self, i: int) -> Footprint:
        """That of A_i."""
        return self._model.footprint(i)

    def forward(self, i: int, x_i: Image, groups: Rows | None) -> Array:
        """W^(1/2) A_i x_i in some groups (all), float32 [groups, width of the footprint]."""
        Ax: Array = self._model.forward(i, x_i, groups) * self._root(i, groups)
        return Ax

    def adjoint(self, i: int, r: Array, groups: Rows | None) -> Image:
        """A_i^T W^(1/2) r from some groups (all), [h, w]."""
        return self._model.adjoint(i, r * self._root(i, groups), groups)

    def _root(self, i: int, groups: Rows | None) -> Array:
        root = self._roots[i]
        return root if groups is None else root[groups]


def roots_of(weights: Array, mean: float) -> Array:
    """w^(1/2), float32, of weights divided by their mean over what was measured, so that this is 1.

    The scale of the weights then has no say in what the weight tau of the denoiser means.
    """
    return np.asarray(np.sqrt(weights / np.float32(mean)), np.float32)


def on_footprints(model: ForwardModel, weights: Array, blocks: list[int]) -> Weighted:
    """W^(1/2) A on some blocks, from all weights [groups, length]."""
    known = weights[weights > 0]
    roots = roots_of(weights, float(known.mean(dtype=np.float64)) if known.size else 1.0)
    parts = {}
    for i in blocks:
        seen = model.footprint(i)
        columns = seen.first[:, None] + np.arange(seen.width)
        parts[i] = np.take_along_axis(roots, columns, axis=1)
    return Weighted(model, parts)
