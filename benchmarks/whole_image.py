"""RED on the whole image in one process: the loops that a user would write in numpy.

    x <- T(x),  T(x) = argmin_u 1/2 ||A u - y||^2 + mu/2 ||u - z||^2,  z = x - (tau/mu) (x - D(x))

with heavy ball (Polyak 1964) or Anderson acceleration on T. The system is solved by conjugate
gradients from the last solution. A, D and the start are asyncred's own, on two threads.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asyncred.denoisers.bound import stated_curvature
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.shipped import model_path
from asyncred.denoisers.values import Parts, Ranged
from asyncred.files.problem import LocalData, read_problem
from asyncred.grid import BlockGrid
from asyncred.operators.cartesian_mri import zero_filled

HISTORY = 5
"""Iterates that Anderson acceleration looks back at."""

Array = np.ndarray


@dataclass(frozen=True)
class Whole:
    """A problem whose image is one block."""

    hessian: Callable[[Array], Array]
    """A^T A, with the weight of the data term."""
    b: Array
    """A^T y, with that weight."""
    D: Callable[[Array], Array]
    x0: Array
    tau: float
    curvature: float
    phases: Array | None
    """What the image is divided by, where it is complex."""

    @classmethod
    def read(cls, path: Path, denoiser: str, sigma: float | None, threads: int) -> Whole:
        """From a problem file; tau by its noise."""
        problem = read_problem(path)
        data = problem.data
        model = inspect_denoiser(model_path(denoiser), sigma=None if sigma is None else sigma / 255)
        network = OnnxDenoiser(model, threads=threads)
        low, high = problem.shades or (0.0, 1.0)
        D = network if (low, high) == (0.0, 1.0) else Ranged(network, low, high)
        one = replace(data, grid=BlockGrid(data.grid.shape, data.grid.shape))
        tau = float(f"{data.prior.weight(model.level, problem.noise()):.3g}")
        curvature = stated_curvature(model) or 1.0
        if isinstance(data, LocalData):
            A = one.operator([0], threads=threads)
            x0 = data.starts[next(iter(data.starts))](A, 0)
            b = -A.gradient(0, np.zeros_like(x0), None)
            return cls(lambda v: A.normal(0, v), b, D, x0, tau, curvature, None)
        return cls._coupled(one, D, tau, curvature, threads)

    @classmethod
    def _coupled(cls, data, D, tau: float, curvature: float, threads: int) -> Whole:
        A = data.model([0], threads=threads)
        footprint = A.footprint(0)
        runs = footprint.first[:, None] + np.arange(footprint.width)
        y = np.take_along_axis(data.y(range(data.groups)), runs, axis=1)

        def normal(v: Array) -> Array:
            return A.adjoint(0, A.forward(0, np.ascontiguousarray(v), None), None)

        v = np.random.default_rng(0).random(data.grid.shape, np.float32).astype(A.dtype)
        for _ in range(50):
            v = normal(v / np.float32(np.linalg.norm(v)))
        weight = np.float32(1 / (1.01 * np.linalg.norm(v)))
        b = A.adjoint(0, y, None)
        if np.iscomplexobj(v):
            squares = A.squares(0)
            x0, phases = zero_filled(b, squares, float(squares.max())), data.phases([0])[0]
            D = Parts(D)
            return cls(lambda u: weight * normal(u), weight * b, D, x0, tau, curvature, phases)
        filtered = np.take_along_axis(data.filtered(range(data.groups)), runs, axis=1)
        x0 = data.backproject(A, 0, filtered)
        return cls(lambda u: weight * normal(u), weight * b, D, x0, tau, curvature, None)

    def map(self, mu: float, steps: int) -> Callable[[Array, Array], Array]:
        """T, its system solved by so many steps of conjugate gradients from a guess."""
        mu32, share = np.float32(mu), np.float32(self.tau / mu)

        def T(x: Array, guess: Array) -> Array:
            right = self.b + mu32 * (x - share * (x - self.D(x)))
            u = guess
            r = p = right - self.hessian(u) - mu32 * u
            square = start = np.vdot(r, r).real
            for _ in range(steps):
                if square <= 1e-12 * start or square == 0:
                    break
                Hp = self.hessian(p) + mu32 * p
                alpha = np.float32(square / np.vdot(p, Hp).real)
                u, r = u + alpha * p, r - alpha * Hp
                before, square = square, np.vdot(r, r).real
                p = r + np.float32(square / before) * p
            return u

        return T


def heavy_ball(whole: Whole, mu: float, steps: int, beta: float) -> Iterator[Array]:
    """x, v <- x + v, T(x) - x + beta v."""
    T, x, v = whole.map(mu, steps), whole.x0, np.float32(0)
    while True:
        v = T(x, x) - x + np.float32(beta) * v
        x = x + v
        yield x


def anderson(whole: Whole, mu: float, steps: int) -> Iterator[Array]:
    """Anderson acceleration (type II); forgets what it knows where the residual has doubled."""
    T, x = whole.map(mu, steps), whole.x0
    xs: list[Array] = []
    fs: list[Array] = []
    last = np.inf
    while True:
        f = T(x, x) - x
        size = float(np.linalg.norm(f))
        if size > 2 * last:
            xs, fs = [], []
        last = size
        xs, fs = [*xs[-HISTORY:], x], [*fs[-HISTORY:], f]
        x = x + f
        if len(xs) > 1:
            dF = np.array([(b - a).ravel() for a, b in itertools.pairwise(fs)])
            dX = np.array([(b - a).ravel() for a, b in itertools.pairwise(xs)])
            M = (dF.conj() @ dF.T).real
            M += 1e-8 * np.trace(M) * np.eye(len(M))
            mix = np.linalg.solve(M, (dF.conj() @ f.ravel()).real).astype(np.float32)
            x = x - (mix @ (dX + dF)).reshape(x.shape)
        yield x


def limit(whole: Whole, passes: int = 300) -> Array:
    """x*, to a step of 1e-5."""
    x = whole.x0
    for k, found in enumerate(anderson(whole, whole.tau * max(0.5, whole.curvature / 2), 30)):
        step = np.linalg.norm(found - x) / np.linalg.norm(found)
        x = found
        if step < 1e-5 or k >= passes:
            break
    return x


def until_near(
    iterates: Iterator[Array], star: Array, tol: float, passes: int
) -> tuple[int, float]:
    """Calls of the denoiser, and seconds, until within ``tol`` of x*; inf seconds where never."""
    start, away = time.perf_counter(), 0.0
    for k, x in enumerate(iterates, start=1):
        now = time.perf_counter()
        if np.linalg.norm(x - star) <= tol * np.linalg.norm(star):
            return k, now - start - away
        if k >= passes or not np.isfinite(x).all():
            break
        away += time.perf_counter() - now  # of looking
    return k, float("inf")
