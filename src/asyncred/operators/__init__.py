"""Forward models, one file each, and what the algorithms ask of them.

g(x) = 1/2 ||A x - y||^2 is the data term, A = [A_1 ... A_b] its operator, cut into the blocks of the
image. Two kinds of A:

- local: block i of grad g(x) depends on x no farther than a few pixels from block i. Such a model
  answers ``Operator`` itself and holds the measurements of the blocks of one rank.
- coupled: every A_i touches common measurements. Such a model is a ``ForwardModel`` and knows no
  measurements; ``asyncred.operators.coupled`` keeps the residual r = A x - y for it.

Images are float32 [h, w], complex ones float32 [2, h, w], real and imaginary part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asyncred.operators.block_random import BlockRandom

Image = NDArray[np.float32]
Rows = NDArray[np.int64]


class Operator(Protocol):
    """The data term g, block by block."""

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


@dataclass(frozen=True)
class Footprint:
    """The measurements that one block touches: in each group a run of ``width``."""

    first: NDArray[np.int64]
    """Where the run begins in each group, [groups]."""
    width: int


class ForwardModel(Protocol):
    """A coupled A. Measurements are float32 [groups, length]: views, coils or runs of rows."""

    groups: int
    length: int
    """Of one group; complex measurements count twice, real and imaginary part in turn."""

    def footprint(self, i: int) -> Footprint:
        """Outside of it A_i x_i is 0 and A_i^T looks at nothing."""
        ...

    def forward(self, i: int, x_i: Image, groups: Rows | None) -> NDArray[np.float32]:
        """A_i x_i on some groups (all), float32 [groups, width of the footprint]."""
        ...

    def adjoint(self, i: int, r: NDArray[np.float32], groups: Rows | None) -> Image:
        """A_i^T r, r as ``forward`` returns it."""
        ...


__all__ = ["BlockRandom", "Footprint", "ForwardModel", "Image", "Operator", "Rows"]
