"""One method in one process, followed until it is done; ``anchors.py`` starts it, a process each.

    python benchmarks/anchors_alone.py METHOD PROBLEM.h5 STAR.h5 OUT.json SECONDS

G(x) = A^T (A x - y) + tau (x - D(x)); x* its zero, in STAR.h5; L = max ||A_i||^2. A method is an
iterator: what it yields first is x0, asyncred's own for this kind of problem; until then is set-up.
The clock runs while it computes an iterate and stands while that is compared with x*. The methods
of DeepInverse are in ``anchors_deepinv``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.shipped import model_path
from asyncred.files.problem import BlockRandomData, read_problem
from asyncred.files.result import Result, read_result
from asyncred.grid import BlockGrid, region_shape
from asyncred.metrics import snr
from asyncred.operators import BlockRandom, Image
from asyncred.red.operator import RedOperator

THREADS = 2
DENOISER = "fast-s5"

DISTANCE, DECIBELS = 2e-3, 0.05
"""Done: ||x - x*|| / ||x*|| and the difference of the SNRs are at most these."""

Sample = tuple[float, float, float]
"""Seconds, distance to x*, SNR in dB."""


@dataclass(frozen=True)
class Goal:
    """x* and what counts as there."""

    star: Image
    truth: Image

    @classmethod
    def of(cls, result: Result) -> Goal:
        """The image of a result as x*."""
        assert result.truth is not None
        return cls(result.image, result.truth)

    def measure(self, x: Image) -> tuple[float, float]:
        """||x - x*|| / ||x*|| and the SNR in dB."""
        distance = np.linalg.norm(x - self.star) / np.linalg.norm(self.star)
        return float(distance), snr(self.truth, x)

    def met(self, distance: float, decibels: float) -> bool:
        """Whether an image with these is done."""
        difference = abs(decibels - snr(self.truth, self.star))
        return distance <= DISTANCE and difference <= DECIBELS


@dataclass(frozen=True)
class Case:
    """The problem in memory."""

    grid: BlockGrid
    matrices: dict[int, np.ndarray]
    """A_i, float32 [m, n]."""
    y: dict[int, np.ndarray]
    """float32 [m]."""
    A: BlockRandom
    """Both, under the fused gradient kernel."""
    x0: Image
    L: float
    tau: float
    D: OnnxDenoiser

    @property
    def gamma(self) -> float:
        """1 / (L + 2 tau), the step for a nonexpansive D."""
        return 1 / (self.L + 2 * self.tau)


def read_case(path: Path) -> Case:
    """Everything that the methods share. Raises ValueError where the file is at fault."""
    data = read_problem(path).data
    if not isinstance(data, BlockRandomData):
        raise ValueError(f"{path}: expected block_random, a problem of `asyncred simulate cs`")
    grid, blocks = data.grid, list(range(len(data.grid)))
    matrices, y = {i: data.matrix(i) for i in blocks}, data.measured(blocks)
    shapes = {i: region_shape(grid.block(i)) for i in blocks}
    A = BlockRandom(matrices, y, shapes=shapes, threads=THREADS)
    x0 = np.empty(grid.shape, np.float32)
    for i in blocks:
        x0[grid.block(i)] = A.centered(i)
    L = max(A.lipschitz(i, None) for i in blocks)
    model = model_path(DENOISER)
    assert model is not None
    D = OnnxDenoiser(inspect_denoiser(model), threads=THREADS)
    return Case(grid, matrices, y, A, x0, L, data.tau, D)


def nesterov(case: Case) -> Iterator[Image]:
    """The whole image by Nesterov's method, with the gradient restart of O'Donoghue, Candes (2015).

        x <- z - gamma G(z),    z <- x + (t' - 1) / t (x - x')

    x' and t' those before; t begins anew where the step goes against the last move.
    """
    G = RedOperator(case.grid, case.A, case.D, tau=case.tau)
    gamma, t = np.float32(case.gamma), 1.0
    x = z = case.x0
    while True:
        yield x
        G_z = G.full(z)
        before, x = x, z - gamma * G_z
        if np.vdot(G_z, x - before) > 0:
            t, z = 1.0, x
        else:
            t_before, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
            z = x + np.float32((t_before - 1) / t) * (x - before)


def follow(iterates: Iterator[Image], goal: Goal, seconds: float) -> list[Sample]:
    """Samples of all iterates until one is done, or so many seconds are over."""
    clock = 0.0
    trace = [(clock, *goal.measure(next(iterates)))]
    while not goal.met(*trace[-1][1:]) and clock < seconds:
        start = time.perf_counter()
        x = next(iterates)
        clock += time.perf_counter() - start
        trace.append((clock, *goal.measure(x)))
    return trace


def main(method: str, problem: str, star: str, out: str, seconds: str) -> None:
    case, goal = read_case(Path(problem)), Goal.of(read_result(Path(star)))
    methods: dict[str, Callable[[Case], Iterator[Image]]] = {"nesterov": nesterov}
    found: dict[str, object] = {}
    if method not in methods:
        import anchors_deepinv

        methods |= anchors_deepinv.METHODS
        found["difference"] = anchors_deepinv.difference(case.D, goal.truth)
    found["trace"] = follow(methods[method](case), goal, float(seconds))
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
