"""Block-diagonal compressive sensing: y_i = A_i x_i + noise, A_i dense and random.

The operator of the Async-RED paper's first experiment (Sun et al. 2021, section 4.1): the entries
of A_i are normal with variance 1/m, so that E[A_i^T A_i] = I.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from asyncred.operators.kernels import dense_gradient, dense_gradient_rows
from asyncred.operators.local import LocalModel
from asyncred.operators.spectrum import largest_eigenvalue

Array = NDArray[np.float32]

SUBSETS_TRIED = 4
"""How many minibatches the norm of the minibatch gradient is measured on."""

SEES_CONSTANTS = 1e-2
"""A block of A with ||A_i 1||^2 below this times ||1||^2 tells nothing of the mean."""


def draw_matrix(seed: int, i: int, m: int, n: int) -> Array:
    """A_i, float32 [m, n], entries N(0, 1/m), from ``seed`` and the block's number alone."""
    rng = np.random.default_rng([seed, i])
    a = rng.standard_normal((m, n), dtype=np.float32)
    a *= np.float32(1 / np.sqrt(m))
    return a


def rows_of_block(m: int, n: int, n_full: int) -> int:
    """m_i of a border block of n pixels: the same share as the m measurements of a full block."""
    return max(1, round(m * n / n_full))


def kernel(a: NDArray[Any]) -> NDArray[Any]:
    """A matrix as the kernels take it."""
    return a.view(np.uint16) if a.dtype == np.float16 else a


class BlockRandom(LocalModel):
    """The data term of the blocks of one rank.

    ``matrices`` and ``y`` map a block's number to A_i, float32 or float16 [m_i, n_i] in C order,
    and to y_i, float32 [m_i]; ``shapes`` to height and width (row-major pixels, n_i = h w).
    ``threads`` is the number of threads of the fused gradient kernel.
    """

    start_steps: ClassVar[int] = 14
    """Of FISTA that bring a total variation start about: more do not make it better."""

    def __init__(
        self,
        matrices: Mapping[int, Array],
        y: Mapping[int, Array],
        *,
        shapes: Mapping[int, tuple[int, int]],
        threads: int,
    ) -> None:
        for i, y_i in y.items():
            if matrices[i].shape != (y_i.size, int(np.prod(shapes[i]))):
                a = matrices[i].shape
                raise ValueError(f"block {i}: A {a} against y {y_i.shape}, {shapes[i]}")
        self._matrices = matrices
        self._y = y
        self._shapes = shapes
        self._threads = threads
        self._norms: dict[tuple[int, int | None], float] = {}
        self._seen: dict[int, tuple[Array, Array]] = {}  # x and g of the last gradient
        self._backprojected: dict[int, Array] = {}

    def of(self, y: Mapping[int, Array]) -> BlockRandom:
        """The same A with other measurements."""
        other = BlockRandom(self._matrices, y, shapes=self._shapes, threads=self._threads)
        other._norms = self._norms
        return other

    @property
    def bytes_to_share(self) -> int:
        """Memory of the A_i."""
        return sum(a.nbytes for a in self._matrices.values())

    def shared(self, share: Callable[[dict[int, Array]], Mapping[int, Array]]) -> BlockRandom:
        """The same A for the blocks of several ranks, yet without their y: ``of`` brings that.

        ``share`` takes the A_i of the own blocks, which this one loses, and returns those of all.
        """
        own, self._matrices = dict(self._matrices), {}
        return BlockRandom(share(own), {}, shapes=self._shapes, threads=self._threads)

    def gradient(self, i: int, x_i: Array, rows: NDArray[np.int64] | None) -> Array:
        """A_i^T (A_i x_i - y_i), or (m/w) A_S^T (A_S x_i - y_S) for a subset S of w rows.

        With S drawn uniformly the second has the first as its mean. ``x_i`` float32 [h, w].
        """
        a, y, x = kernel(self._matrices[i]), self._y[i], np.ascontiguousarray(x_i).reshape(-1)
        out = np.empty(x.size, np.float32)
        if rows is None:
            dense_gradient(a, x, y, out, self._threads)
            self._seen[i] = (x, out)
        else:
            dense_gradient_rows(a, x, y, rows, y.size / rows.size, out, self._threads)
        return out.reshape(self._shapes[i])

    def misfit(self, i: int) -> float:
        """||A_i x_i - y_i||^2 as of the last gradient g of block i: <x, g> - <x, A^T y> + ||y||^2.

        A^T y is computed at the first call, at the cost of one gradient.
        """
        if i not in self._seen:
            return math.nan
        x, g = self._seen[i]
        if i not in self._backprojected:
            self._backprojected[i] = self.adjoint(i).reshape(-1)
            self._seen[i] = x, g
        inner = float(np.vdot(x, g - self._backprojected[i]))
        return max(0.0, inner + self.energy(i))

    def energy(self, i: int) -> float:
        """||y_i||^2."""
        return float(np.vdot(self._y[i], self._y[i]))

    def normal(self, i: int, v: Array) -> Array:
        """A_i^T A_i v, float32 [h, w]."""
        a, out = kernel(self._matrices[i]), np.empty(v.size, np.float32)
        zero = np.zeros(a.shape[0], np.float32)
        dense_gradient(a, np.ascontiguousarray(v).reshape(-1), zero, out, self._threads)
        return out.reshape(self._shapes[i])

    def measurements(self, i: int) -> int:
        """m_i, the number of rows of A_i."""
        return self._y[i].size

    def adjoint(self, i: int) -> Array:
        """A_i^T y_i, float32 [h, w]: minus the gradient at zero."""
        return -self.gradient(i, np.zeros(self._shapes[i], np.float32), None)

    def centered(self, i: int) -> Array:
        """c + A_i^T (y_i - A_i c) for the constant c that fits y_i best, float32 [h, w].

        What A^T A x - x adds to x grows with ||x||; about its mean an image is a few times smaller.
        c is 0 where A_i hardly sees a constant.
        """
        zero, one = np.zeros(self._shapes[i], np.float32), np.ones(self._shapes[i], np.float32)
        at_0, at_1 = (self.gradient(i, x, None) for x in (zero, one))
        curvature = float(at_1.sum()) - float(at_0.sum())  # ||A_i 1||^2
        c = -float(at_0.sum()) / curvature if curvature > SEES_CONSTANTS * one.size else 0.0
        out: Array = np.float32(c) - (at_0 + np.float32(c) * (at_1 - at_0))
        return out

    def lipschitz(self, i: int, minibatch: int | None) -> float:
        """||A_i||^2, or the largest (m/w) ||A_S||^2 of a few subsets S of w rows."""
        if (i, minibatch) not in self._norms:
            self._norms[i, minibatch] = self._largest(i, minibatch)
        return self._norms[i, minibatch]

    def _largest(self, i: int, minibatch: int | None) -> float:
        a, m = self._matrices[i], self._y[i].size
        if minibatch is None or minibatch >= m:
            return self._norm_squared(a, i)
        rng = np.random.default_rng([i, minibatch])
        return (m / minibatch) * max(
            self._norm_squared(a[np.sort(rng.choice(m, minibatch, replace=False))], i)
            for _ in range(SUBSETS_TRIED)
        )

    def _norm_squared(self, a: Array, i: int) -> float:
        zero, out = np.zeros(a.shape[0], np.float32), np.empty(a.shape[1], np.float32)

        def normal(v: Array) -> Array:
            dense_gradient(kernel(a), v, zero, out, self._threads)
            return out

        return largest_eigenvalue(normal, a.shape[1], np.random.default_rng(i))
