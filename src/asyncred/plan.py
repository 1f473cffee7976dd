"""What rank 0 finds out before anything is spent: the input, checked, the same on every rank."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asyncred.config import STARTS, InputError, RunConfig
from asyncred.data import model_names, model_path
from asyncred.denoiser import EXACT, DenoiserModel, halo_error, inspect_denoiser
from asyncred.files import check_writable
from asyncred.grid import BlockGrid, region_shape
from asyncred.operators import BlockRandom, Image
from asyncred.problem import Problem, read_problem
from asyncred.result import read_start

SEES_CONSTANTS = 1e-2
"""A block of A with ||A_i 1||^2 below this times ||1||^2 tells nothing of the mean."""


@dataclass(frozen=True)
class Plan:
    """A checked problem and a denoiser that was tried out."""

    problem: Problem
    sha256: str
    """Of the problem file."""
    model: DenoiserModel
    tiling_error: float
    start: str
    """What it starts from: a name or a file."""

    @property
    def halo_exact(self) -> bool:
        """Whether tiles equal the whole, by the graph and by trial."""
        return self.model.halo_known and self.tiling_error <= EXACT


def make_plan(config: RunConfig, ranks: int) -> Plan:
    """Check the whole input. Raises ValueError where it is at fault."""
    problem = read_problem(config.problem, index=config.index)
    _check_ranks(config, problem, ranks)
    most = problem.data.groups
    if config.minibatch is not None and config.minibatch > most:
        raise InputError(
            f"--minibatch is {config.minibatch}, expected at most {most} (measurements)"
        )
    if config.output.resolve() == config.problem.resolve():
        raise InputError(f"{config.output}: is the problem file, expected another name")
    check_writable(config.output, overwrite=config.overwrite)
    if config.start not in STARTS:
        with read_start(Path(config.start), problem.grid).file:
            pass
    model = load_model(config)
    error = halo_error(model)
    if config.halo is None and error > EXACT:
        raise InputError(
            f"{model.path}: tiles with the halo of {model.field.halo} read from its graph differ "
            f"by {error:.1e} from the whole, expected at most {EXACT:.0e}; "
            "--halo N accepts a halo of your own"
        )
    return Plan(problem, sha256(config.problem), model, error, _start(config, problem))


def load_model(config: RunConfig) -> DenoiserModel:
    """The denoiser of a configuration, by name or file. Raises ValueError."""
    return find_model(
        config.denoiser,
        output=config.denoiser_output,
        value_range=config.denoiser_range,
        halo=config.halo,
        sigma=config.sigma,
    )


def find_model(
    name: str,
    *,
    output: str = "auto",
    value_range: tuple[float, float] | None = None,
    halo: int | None = None,
    sigma: float | None = None,
) -> DenoiserModel:
    """A shipped denoiser by name, or an ONNX file; sigma in units of 1/255. Raises ValueError."""
    path = model_path(name)
    if path is None:
        known = ", ".join(model_names())
        raise InputError(f"{name}: no such file, nor a shipped denoiser ({known})")
    level = None if sigma is None else sigma / 255
    return inspect_denoiser(path, output=output, value_range=value_range, halo=halo, sigma=level)


def start_blocks(start: str, grid: BlockGrid, A: BlockRandom, own: list[int]) -> dict[int, Image]:
    """x0 of some blocks: ``zero``, ``adjoint``, ``centered`` or from a file. Raises ValueError."""
    if start == "zero":
        return {i: np.zeros(region_shape(grid.block(i)), np.float32) for i in own}
    if start == "adjoint":
        return {i: A.adjoint(i) for i in own}
    if start == "centered":
        return {i: _centered(A, i, region_shape(grid.block(i))) for i in own}
    return stored_blocks(start, grid, own)


def stored_blocks(start: str, grid: BlockGrid, own: list[int]) -> dict[int, Image]:
    """x0 of some blocks from an HDF5 file. Raises ValueError."""
    data = read_start(Path(start), grid)
    with data.file:
        lead = (0,) * (data.ndim - 2)
        blocks = {i: np.asarray(data[(*lead, *grid.block(i))], np.float32) for i in own}
    _check_finite(start, blocks)
    return blocks


def _centered(A: BlockRandom, i: int, shape: tuple[int, int]) -> Image:
    """c + A_i^T (y_i - A_i c) for the constant c that fits y_i best.

    What A^T A x - x adds to x grows with ||x||; about its mean an image is a few times smaller.
    c is 0 where A_i hardly sees a constant.
    """
    zero, one = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    slope_at_0, slope_at_1 = (float(A.gradient(i, x, None).sum()) for x in (zero, one))
    curvature = slope_at_1 - slope_at_0  # ||A_i 1||^2
    c = -slope_at_0 / curvature if curvature > SEES_CONSTANTS * one.size else 0.0
    x_i = one * np.float32(c)
    return x_i - A.gradient(i, x_i, None)


def truth_blocks(problem: Problem, own: list[int]) -> dict[int, Image]:
    """The truth of some blocks; empty where it is unknown. Raises ValueError."""
    if not problem.has_truth:
        return {}
    blocks = {i: problem.truth(problem.grid.block(i)) for i in own}
    _check_finite(f"{problem.path}: /truth", blocks)
    return blocks


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _start(config: RunConfig, problem: Problem) -> str:
    """The start that is meant. Raises ValueError where this kind of problem has none such."""
    known = problem.data.starts
    if config.start == "auto":
        return known[0]
    if config.start in STARTS and config.start not in known:
        raise InputError(
            f"--start is {config.start!r}, expected {', '.join(known)} ({problem.kind}) or a file"
        )
    return config.start


def _check_ranks(config: RunConfig, problem: Problem, ranks: int) -> None:
    blocks = len(problem.grid)
    if ranks > blocks:
        raise InputError(
            f"{problem.path}: {blocks} blocks for {ranks} ranks, expected at most {blocks} ranks"
        )
    if ranks > 1 and config.method in ("gm", "bc"):
        raise InputError(f"--method {config.method} is serial: expected one rank, found {ranks}")
    if config.method == "gm" and config.minibatch is not None:
        raise InputError("--method gm takes all measurements, expected no --minibatch")
    if any(rank >= ranks for rank, _ in config.slow):
        raise InputError(f"--slow: no such rank, expected 0 to {ranks - 1}")


def _check_finite(place: str, blocks: Mapping[int, Image]) -> None:
    for i, block in blocks.items():
        if not np.isfinite(block).all():
            raise InputError(f"{place}: block {i} holds NaN or Inf, expected finite numbers")
