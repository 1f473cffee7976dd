"""A dense data term, factored: what makes a proximal update as cheap as a gradient.

    A' = L^-1 A_i,   y' = L^-1 y_i,   L L^T = A_i A_i^T + mu I
    (A_i^T A_i + mu I)^-1 (A_i^T y_i + mu z) = z - A'^T (A' z - y')         (Woodbury)

The second term is the gradient of 1/2 ||A' z - y'||^2, whose Hessian A'^T A' has the eigenvalues
s^2 / (s^2 + mu), s a singular value of A_i: below 1, and closer together than those of A_i^T A_i.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.operators.block_random import BlockRandom

Array = NDArray[np.float32]


def factor(a: Array, mu: float) -> tuple[Array, Array]:
    """A' [m, n] and L [m, m], float32 in C order, of A_i, float32 [m, n] in C order.

    Takes m^2 n multiplications for A A^T and for A' each, m^3 / 6 for L. Raises ValueError where mu
    is too small for single precision.
    """
    # BLAS sees the transposes: its matrices are in Fortran order
    K = scipy.linalg.blas.ssyrk(1.0, a.T, trans=1)
    K[np.diag_indices_from(K)] += np.float32(mu)
    try:
        upper = scipy.linalg.cholesky(K, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"--mu is {mu:g}: too small beside A_i A_i^T to be factored, expected more"
        ) from None
    solved = scipy.linalg.blas.strsm(1.0, upper, np.array(a.T, order="F"), side=1, overwrite_b=1)
    return solved.T, upper.T


class Factored(BlockRandom):
    """A'_i and y'_i of the blocks of one rank, in the place of A_i and y_i.

    ``matrices`` and ``lower`` map a block's number to A' and L as ``factor`` returns them; ``y``
    to y_i, float32 [m_i], of which y' is made.
    """

    start_steps: ClassVar[int] = 8

    def __init__(
        self,
        matrices: Mapping[int, Array],
        lower: Mapping[int, Array],
        y: Mapping[int, Array],
        *,
        shapes: Mapping[int, tuple[int, int]],
        threads: int,
    ) -> None:
        solved = {
            i: scipy.linalg.solve_triangular(lower[i].T, y_i, trans="T", check_finite=False)
            for i, y_i in y.items()
        }
        super().__init__(matrices, solved, shapes=shapes, threads=threads)
        self._lower = lower

    def of(self, y: Mapping[int, Array]) -> Factored:
        """The same factors, for other measurements."""
        return Factored(self._matrices, self._lower, y, shapes=self._shapes, threads=self._threads)

    @property
    def bytes_to_share(self) -> int:
        """0: the file that the factors are in is shared memory already."""
        return 0

    def shared(self, share: Callable[[dict[int, Array]], Mapping[int, Array]]) -> Factored:
        """The same: every rank has mapped the factors of all blocks that it may update."""
        return self

    def misfit(self, i: int) -> float:
        """NaN: factors see another y."""
        return math.nan

    def lipschitz(self, i: int, minibatch: int | None) -> float:
        """1: more than any eigenvalue of A'^T A'."""
        assert minibatch is None, "factors are those of all measurements"
        return 1.0
