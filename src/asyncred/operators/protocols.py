"""What the algorithms ask of a forward model; see the package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]
"""float32 or complex64 [h, w]."""
Rows = NDArray[np.int64]


class Operator(Protocol):
    """The data term g, block by block."""

    halo: int
    """How many pixels around block i its gradient looks at."""

    def request(self, i: int, rows: Rows | None) -> None:
        """Ask other hosts for what ``gradient`` will need of them."""
        ...

    def gradient(self, i: int, x_i: Image, rows: Rows | None) -> Image:
        """U_i^T grad g(x), or its unbiased estimate from a subset of the measurements.

        ``x_i`` is x on the window of block i that ``halo`` makes.
        """
        ...

    def normal(self, i: int, v: Image) -> Image:
        """A_i^T A_i v, with the weight of the data term: block i of its Hessian, times v."""
        ...

    def moved(self, i: int, delta: Image) -> None:
        """Be told that x became x + U_i delta."""
        ...

    def misfit(self, i: int) -> float:
        """||A x - y||^2 over the measurements that count as block i's, as of its last gradient.

        From all measurements; NaN where that is not known block by block.
        """
        ...

    def energy(self, i: int) -> float:
        """||y||^2 over the same measurements."""
        ...

    def measurements(self, i: int) -> int:
        """m_i, the number of measurements a minibatch of block i is drawn from."""
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

    @property
    def dtype(self) -> type[np.generic]:
        """Of the image: float32 or complex64."""
        ...

    def footprint(self, i: int) -> Footprint:
        """Outside of it A_i x_i is 0 and A_i^T looks at nothing."""
        ...

    def forward(self, i: int, x_i: Image, groups: Rows | None) -> NDArray[np.float32]:
        """A_i x_i on some groups (all), float32 [groups, width of the footprint]."""
        ...

    def adjoint(self, i: int, r: NDArray[np.float32], groups: Rows | None) -> Image:
        """A_i^T r, r as ``forward`` returns it."""
        ...
