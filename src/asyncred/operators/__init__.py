"""Forward models. One file each; all of them answer the few questions of ``Operator``.

g(x) = 1/2 ||A x - y||^2 is the data term; an operator holds A and y for the blocks of one rank and
no others.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asyncred.operators.block_random import BlockRandom

Image = NDArray[np.float32]
Rows = NDArray[np.int64]


class Operator(Protocol):
    """The data term g, block by block. Images are float32 [height, width]."""

    def gradient(self, i: int, x_i: Image, rows: Rows | None) -> Image:
        """U_i^T grad g(x), or its unbiased estimate from a subset of the measurements."""
        ...

    def measurements(self, i: int) -> int:
        """m_i, the number of measurements a minibatch of block i is drawn from."""
        ...

    def adjoint(self, i: int) -> Image:
        """U_i^T A^T y: a start, and the picture shown beside the result."""
        ...

    def lipschitz(self, i: int, minibatch: int | None) -> float:
        """L_i: the Lipschitz constant of the block gradient (of its estimate from a minibatch)."""
        ...


__all__ = ["BlockRandom", "Image", "Operator", "Rows"]
