"""The block-proximal update: G_i, preconditioned by the data term of its own block.

    x_i <- argmin_u  1/2 ||A_i u + sum_{j != i} A_j x_j - y||^2 + mu/2 ||u - z_i||^2
           z_i = x_i - (tau/mu) (x_i - D_i(x))
        =  x_i - (A_i^T A_i + mu I)^-1 G_i(x)

The second line follows from the first: the gradient of the objective at u = x_i is G_i(x), and its
Hessian A_i^T A_i + mu I. With mu = tau and one block this is the fixed-point strategy of Romano,
Elad, Milanfar (2017). Whatever mu > 0, and however roughly the system is solved, x stays where
G_i(x) = 0: the zeros of G are the fixed points. Where D is nonexpansive, mu >= tau and the blocks
share no measurements, the map is averaged (the prox is firmly nonexpansive), and the asynchronous
theory of averaged operators holds (ARock: Peng, Xu, Yan, Yin 2016).

Two ways to apply the inverse: conjugate gradients, for any operator and with no preparation, and
factors of A_i A_i^T + mu I (``operators.factored``), which serve all images that share A.

A prox in place of a gradient step in block-parallel RED, and asynchronously, we have not found in
the literature.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asyncred.denoisers.onnx import Denoiser
from asyncred.grid import BlockGrid
from asyncred.operators import Image, Operator, Rows
from asyncred.red.bounds import is_free
from asyncred.red.operator import RedOperator

SMALL = 1e-6
"""Residual, relative to the right-hand side, at which the inner system counts as solved."""


class ProximalRed(RedOperator):
    """(A_i^T A_i + mu I)^-1 G_i in the place of G_i; the step size that belongs to it is 1.

    ``steps`` of conjugate gradients from 0 solve the system, each at the cost of A_i and its
    adjoint. Within bounds it is that of the pixels free to move (Bertsekas, Projected Newton
    methods, SIAM J. Control Optim. 20(2), 1982): the projection of the direction of all would end
    elsewhere than at the stationary points.
    """

    def __init__(
        self,
        grid: BlockGrid,
        A: Operator,
        D: Denoiser,
        *,
        tau: float,
        mu: float,
        steps: int,
        bounds: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(grid, A, D, tau=tau)
        self.mu, self._steps, self._bounds = mu, steps, bounds

    def block(self, i: int, x_tilde: Image, rows: Rows | None = None) -> Image:
        """The direction of block i at the window ``x_tilde``; ``rows`` picks a minibatch of G_i."""
        G_i = super().block(i, x_tilde, rows)

        free: Image | bool = True
        if self._bounds is not None and not np.iscomplexobj(G_i):
            free = is_free(x_tilde[self.windows[i].inner], G_i, *self._bounds)

        def hessian(v: Image) -> Image:
            out: Image = (self.A.normal(i, v) + np.float32(self.mu) * v) * free
            return out

        return conjugate_gradients(hessian, G_i * free, self._steps)


class FactoredRed(RedOperator):
    """The same direction from factors, at the cost of one gradient: x_i less the prox at z_i.

        x_i - z_i + A'^T (A' z_i - y'),    z_i = x_i - (tau/mu) (x_i - D_i(x))

    ``A``, whose gradient is A'^T (A' z - y'), was factored with the same ``mu``.
    """

    def __init__(self, grid: BlockGrid, A: Operator, D: Denoiser, *, tau: float, mu: float) -> None:
        super().__init__(grid, A, D, tau=tau)
        self.mu = mu

    def block(self, i: int, x_tilde: Image, rows: Rows | None = None) -> Image:
        """The direction of block i at the window ``x_tilde``, from all of its measurements."""
        assert rows is None, "factors are those of all measurements"
        shift = np.float32(self.tau / self.mu) * self.residual(i, x_tilde)
        z_i = x_tilde[self.windows[i].inner] - shift
        out: Image = shift + self.A.gradient(i, z_i, None)
        return out


def conjugate_gradients(
    apply: Callable[[Image], Image],
    b: Image,
    steps: int,
    *,
    precondition: Callable[[Image], Image] = lambda v: v,
) -> Image:
    """An approximate solution of H u = b from u = 0, H symmetric positive definite.

    Hestenes, Stiefel (1952). ``precondition`` applies an approximate inverse of H, symmetric and
    positive definite too. Ends earlier where the residual is ``SMALL``.
    """
    u = np.zeros_like(b)
    r = b
    p = z = precondition(r)
    product, start = _dot(r, z), _dot(b, b)
    for _ in range(steps):
        if _dot(r, r) <= SMALL**2 * start:
            break
        Hp = apply(p)
        curvature = _dot(p, Hp)
        if not curvature > 0:
            break  # what is left is too small to be squared
        alpha = b.dtype.type(product / curvature)
        u = u + alpha * p
        r = r - alpha * Hp
        z = precondition(r)
        before, product = product, _dot(r, z)
        p = z + b.dtype.type(product / before) * p
    return u


def _dot(a: Image, b: Image) -> float:
    return float(np.vdot(a, b).real)
