"""The problem of the anchors in memory, its solution, and when a method is done.

G(x) = A^T (A x - y) + tau (x - D(x)); x* its zero; L = max ||A_i||^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.shipped import model_path
from asyncred.files.problem import BlockRandomData, read_problem
from asyncred.files.result import Result
from asyncred.grid import BlockGrid, region_shape
from asyncred.metrics import snr
from asyncred.operators import BlockRandom, Image

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
