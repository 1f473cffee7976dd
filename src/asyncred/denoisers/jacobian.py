"""||J_D(x)||_2, the largest singular value of the Jacobian of a denoiser at x; its eigenvalues.

The norm is at most 1 at every x if D is nonexpansive, which Async-RED asks for. A D with a
potential g has a symmetric Jacobian, and I - J_D(x) is the Hessian of g.

Notation: J is J_D(x) for D as it is used (image or noise, value range, filled up to its stride):
with J_R that of the network, J = C J_R F or, of a network that returns the noise, J = I - C J_R F,
where F fills and C cuts. J u and J^T v are exact, from the graph (``denoisers.derivative``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from asyncred.denoisers.derivative import Derivative, DifferentiableNetwork, NoDerivativeError
from asyncred.denoisers.onnx import Array, DenoiserModel, OnnxDenoiser, fill

EXACT = "derivative of the graph"
SECANTS = "finite differences"

STEP = 1e-4
"""Root mean square of the change of x in a finite difference, in [0, 1]."""

Product = Callable[[Array], Array]
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class LocalNorm:
    """A lower bound of ||J_D(x)||_2 and how it was found."""

    value: float
    method: str
    """``EXACT`` or ``SECANTS``."""


@dataclass(frozen=True)
class LocalHessian:
    """Of I - J_D(x), where J_D(x) is symmetric, and how it was found."""

    low: float
    """An upper bound of the smallest eigenvalue."""
    high: float
    """A lower bound of the largest eigenvalue."""
    asymmetry: float
    """|S - S^T| / |S| for S = Q^T J Q, the columns of Q orthonormal: 0 if J is symmetric."""
    method: str
    """``EXACT`` or ``SECANTS``."""


class DenoiserJacobian:
    """J_D of a model, at as many x as one likes.

    A network with a node of no derivative rule is only differentiated by finite differences of D;
    ``why`` then names that node. Never silently: every answer says how it was found.
    """

    def __init__(self, model: DenoiserModel, *, threads: int = 1) -> None:
        self._model = model
        self._D = OnnxDenoiser(model, threads=threads)
        self.why = ""
        self._network: DifferentiableNetwork | None = None
        try:
            self._network = DifferentiableNetwork(model.network(), threads=threads)
        except NoDerivativeError as error:
            self.why = str(error)

    def products(self, x: Array) -> tuple[Product, Product]:
        """u -> J u and v -> J^T v at x, all float32 [h, w].

        Raises NoDerivativeError where the graph has a node without a rule.
        """
        if self._network is None:
            raise NoDerivativeError(self.why)
        J_R = self._network.at(self._D.feeds(x))
        if self._model.output == "noise":
            return lambda u: u - self._forward(J_R, u), lambda v: v - self._backward(J_R, v)
        return lambda u: self._forward(J_R, u), lambda v: self._backward(J_R, v)

    def norm(self, x: Array, *, steps: int = 20, seed: int = 0) -> LocalNorm:
        """||J_D(x)||_2 from below, rising with ``steps``; x float32 [h, w] in [0, 1].

        With exact products: the largest singular value of J on the Krylov space of J^T J, which
        is that of Golub-Kahan-Lanczos bidiagonalization (1965) after as many steps. Without: the
        same on the Krylov space of J alone (Arnoldi 1951), close where J is nearly symmetric;
        its answer is a secant |D(x + e) - D(x - e)| / |2 e|, so a bound from below of the
        Lipschitz constant of D too.
        """
        u = np.random.default_rng(seed).standard_normal(x.shape, dtype=np.float32)
        try:
            J, adjoint = self.products(x)
        except NoDerivativeError as error:
            self.why = str(error)
            _, best = krylov_norm(lambda d: self._secant(x, d), lambda v: v, u, steps)
            return LocalNorm(float(np.linalg.norm(self._secant(x, best))), SECANTS)
        return LocalNorm(krylov_norm(J, adjoint, u, steps)[0], EXACT)

    def hessian(self, x: Array, *, steps: int = 20, seed: int = 0) -> LocalHessian:
        """The extreme eigenvalues of I - J_D(x) on a Krylov space of J, of a D with a potential.

        That is Lanczos' method (1950) for a symmetric matrix. Without exact products J u is a
        secant, as for the norm, and the asymmetry that of the secants.
        """
        u = np.random.default_rng(seed).standard_normal(x.shape, dtype=np.float32)
        method = EXACT
        try:
            J = self.products(x)[0]
        except NoDerivativeError as error:
            self.why, method = str(error), SECANTS
            J = partial(self._secant, x)
        basis, images = _krylov(J, lambda v: v, u, steps)
        S = basis @ images.T
        size = float(np.linalg.norm(S))
        values = 1 - np.linalg.eigvalsh((S + S.T) / 2)
        asymmetry = float(np.linalg.norm(S - S.T)) / size if size else 0.0
        return LocalHessian(float(values.min()), float(values.max()), asymmetry, method)

    def _forward(self, J_R: Derivative, u: Array) -> Array:
        """C J_R F u."""
        filled = fill(u, self._D.align)
        h, w = u.shape[-2:]
        out: Array = J_R.apply(filled.reshape(1, -1, *filled.shape[-2:]))[0, :, :h, :w]
        return out.reshape(u.shape)

    def _backward(self, J_R: Derivative, v: Array) -> Array:
        """F^T J_R^T C^T v."""
        h, w = v.shape[-2:]
        filled = fill(v, self._D.align)
        cut = np.zeros((1, v.size // (h * w), *filled.shape[-2:]), np.float32)
        cut[..., :h, :w] = v
        g: Array = J_R.adjoint(cut)[0]
        g[..., h - 1, :] += g[..., h:, :].sum(axis=-2)
        g[..., :h, w - 1] += g[..., :h, w:].sum(axis=-1)
        return g[..., :h, :w].reshape(v.shape)

    def _secant(self, x: Array, d: Array) -> Array:
        """(D(x + e) - D(x - e)) / (2 |e|) with e along d."""
        e = d * np.float32(STEP * np.sqrt(d.size) / np.linalg.norm(d))
        above, below = x + e, x - e
        return (self._D(above) - self._D(below)) / np.float32(np.linalg.norm(above - below))


def jacobian_norm(model: DenoiserModel, x: Array, *, steps: int = 20, seed: int = 0) -> float:
    """||J_D(x)||_2 from below, of one x. ``DenoiserJacobian`` takes several and says how."""
    return DenoiserJacobian(model).norm(x, steps=steps, seed=seed).value


def krylov_norm(J: Product, back: Product, u: Array, steps: int) -> tuple[float, Array]:
    """max |J d| over unit d in the span of u, B u, ... B^(steps-1) u with B = back J; and that d.

    ``steps`` products with J and one less with ``back``; the basis is orthogonalized in full.
    """
    basis, images = _krylov(J, back, u, steps)
    if not len(basis):
        return 0.0, u
    _, values, c = np.linalg.svd(images.T, full_matrices=False)
    return float(values[0]), (c[0] @ basis).reshape(u.shape).astype(np.float32)


def _krylov(J: Product, back: Product, u: Array, steps: int) -> tuple[Rows, Rows]:
    """An orthonormal basis of the span of u, B u, ..., and its images under J, one a row."""
    basis: list[NDArray[np.float64]] = []
    images: list[NDArray[np.float64]] = []
    new = u.astype(np.float64).ravel()
    for _ in range(min(steps, u.size)):
        size = np.linalg.norm(new)
        for _ in range(2):  # twice is enough (Kahan, Parlett)
            for old in basis:
                new -= (old @ new) * old
        left = np.linalg.norm(new)
        if not left > 1e-6 * size:
            break
        basis.append(new / left)
        image = J(basis[-1].reshape(u.shape).astype(np.float32))
        images.append(image.astype(np.float64).ravel())
        if len(basis) < steps:
            new = back(image).astype(np.float64).ravel()
    return np.array(basis), np.array(images)
