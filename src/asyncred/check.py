"""What a job will need, before it is spent; what a denoiser is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asyncred.appraise import gflop_per_pixel, photograph_quality, worst_norm
from asyncred.bound import layer_bound, stated_bound
from asyncred.data import model_names
from asyncred.denoiser import EXACT, DenoiserModel, halo_error
from asyncred.denoisers import find_model
from asyncred.forecast import Job, forecast, largest_window
from asyncred.operators.contract import dot_test
from asyncred.placement import owners
from asyncred.plan import truth_blocks
from asyncred.problem import Asked, CoupledData, Problem, read_problem

ROUNDING = 1e-3
"""By which a norm may pass a bound without contradicting it."""


def describe(
    path: Path,
    asked: Asked,
    *,
    denoiser: str,
    sigma: float | None = None,
    per_node: int | None = None,
    minibatch: int | None = None,
) -> str:
    """Validate a problem for a number of ranks, ``per_node`` of them on a node (all).

    Its blocks, halo, memory and time, as tried here. Raises ValueError.
    """
    problem, ranks = read_problem(path, asked), asked.ranks
    grid, model = problem.grid, find_model(denoiser, sigma=sigma)
    if ranks > len(grid):
        raise ValueError(f"{path}: {len(grid)} blocks for {ranks} ranks, expected at most as many")
    if minibatch is not None and minibatch > problem.data.groups:
        raise ValueError(
            f"--minibatch is {minibatch}, expected at most {problem.data.groups} (measurements)"
        )
    error = halo_error(model)
    if error > EXACT:
        raise ValueError(f"{model.path}: tiles differ from the whole by {error:.1e}")
    for index in problem.images:
        for i in range(len(grid)):
            truth_blocks(problem, [i], index)
        problem.data.of(index).check()
    owner = owners(len(grid), ranks)
    own = [owner.count(rank) for rank in range(ranks)]
    window = largest_window(grid, model)
    lines = [
        f"{path}: ok",
        f"image {grid.shape[0]}x{grid.shape[1]}, {len(grid)} blocks of "
        f"{grid.block_shape[0]}x{grid.block_shape[1]}, {problem.kind}, {problem.data.words}, "
        f"{len(problem.images)} image(s), "
        f"truth {'known' if problem.has_truth else 'unknown'}",
        *(f"note: {note}" for note in problem.data.notes),
        f"denoiser {model.path.stem}: {_level(model)}, halo {model.field.halo}, windows up to "
        f"{window[0]}x{window[1]}",
        f"{ranks} rank(s): {min(own)} to {max(own)} blocks each, "
        f"{problem.data.bytes_of(max(own)) / 2**20:.3g} MiB of {problem.data.counted} at most",
    ]
    if isinstance(problem.data, CoupledData):
        lines.append(_dot_test(problem, problem.data))
    job = Job(problem, model, owner, ranks, min(per_node or ranks, ranks), minibatch)
    lines += forecast(job)
    if min(own) != max(own):
        lines.append(f"warning: uneven; {_even_counts(len(grid))} ranks would divide the blocks")
    return "\n".join(lines)


def _dot_test(problem: Problem, data: CoupledData) -> str:
    """Whether A of a few blocks is what the algorithms take it for. Raises ValueError."""
    last = len(data.grid) - 1
    blocks = sorted({0, last // 2, last})
    model = data.model(blocks, threads=1)
    found = dot_test(model, data.grid, blocks, np.random.default_rng(0))
    try:
        found.check()
    except ValueError as error:
        raise ValueError(f"{problem.path}: operator {problem.kind!r}: {error}") from None
    return (
        f"dot test of blocks {', '.join(map(str, blocks))}: <A x, z> and <x, A^T z> differ by "
        f"{found.mismatch:.1e} of ||A x|| ||z||, some groups from that part of all by "
        f"{found.subset:.1e}"
    )


def list_models() -> str:
    """The shipped denoisers, a line each."""
    lines = []
    for name in model_names():
        model = find_model(name)
        lines.append(f"{name}: {_level(model)}, halo {model.field.halo}, {_size(model)}")
    return "\n".join(lines)


def describe_model(name: str, *, sigma: float | None = None) -> str:
    """What an ONNX file does, found by its graph and by trying it. Raises ValueError."""
    model = find_model(name, sigma=sigma)
    error = halo_error(model)
    quality, norm = photograph_quality(model), worst_norm(model)
    return "\n".join(
        [
            f"{model.path}",
            f"returns the {model.output}; range {model.low:g} to {model.high:g}; {_level(model)}",
            f"halo {model.field.halo} pixels, windows aligned to {model.field.align}, "
            f"{_size(model)}",
            f"tiles differ from the whole by at most {error:.1e}: "
            + ("exact" if error <= EXACT else "NOT exact"),
            f"photograph with noise of {255 * quality.sigma:.4g}/255: PSNR "
            f"{quality.before:.2f} dB, denoised {quality.after:.2f} dB",
            f"norm of the Jacobian: up to {norm.value:.4g} at {norm.points} points, from below "
            f"({norm.method})" + ("; expansive there" if norm.value > 1 + ROUNDING else ""),
            _bound(model, norm.value),
        ]
    )


def _level(model: DenoiserModel) -> str:
    """The noise level of a model in words."""
    if model.sigma is None:
        return "sigma unknown"
    level = f"sigma {255 * model.sigma:.4g}/255"
    if model.sigma_range is None:
        return f"{level}, an input" if model.conditional else level
    low, high = model.sigma_range
    return f"{level}, an input, {255 * low:.4g} to {255 * high:.4g}"


def _size(model: DenoiserModel) -> str:
    return f"{model.parameters} parameters, {gflop_per_pixel(model):.2g} GFLOP per pixel"


def _bound(model: DenoiserModel, norm: float) -> str:
    """The proven Lipschitz constant in words; a stated one that a point contradicts is none."""
    stated = stated_bound(model)
    if stated is None:
        found = layer_bound(model)
        return (
            "Lipschitz constant: no bound known"
            if found is None
            else (f"Lipschitz constant: at most {found:.4g}, by its layers")
        )
    wrong = norm > stated * (1 + ROUNDING)
    return f"Lipschitz constant: at most {stated:.4g}, by its file" + (
        ", WRONGLY: see the norm" if wrong else ""
    )


def _even_counts(blocks: int) -> str:
    return ", ".join(str(n) for n in range(1, blocks + 1) if blocks % n == 0)
