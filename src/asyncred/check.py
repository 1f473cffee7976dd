"""What a job will need, before it is spent; what a denoiser is."""

from __future__ import annotations

from pathlib import Path

from asyncred.data import model_names
from asyncred.denoiser import EXACT, DenoiserModel, halo_error
from asyncred.placement import owners
from asyncred.plan import check_sides, find_model, truth_blocks
from asyncred.problem import read_problem


def describe(path: Path, *, ranks: int, denoiser: str, index: int | None) -> str:
    """Validate a problem for a number of ranks; its blocks, halo and memory. Raises ValueError."""
    problem = read_problem(path, index=index)
    grid, model = problem.grid, find_model(denoiser)
    if ranks > len(grid):
        raise ValueError(f"{path}: {len(grid)} blocks for {ranks} ranks, expected at most as many")
    check_sides(problem, model)
    error = halo_error(model)
    if error > EXACT:
        raise ValueError(f"{model.path}: tiles differ from the whole by {error:.1e}")
    truth_blocks(problem, list(range(len(grid))))
    for i in range(len(grid)):
        problem.y(i)
        if problem.seed is None:
            problem.matrix(i)
    owner = owners(len(grid), ranks)
    own = [owner.count(rank) for rank in range(ranks)]
    window = max(
        (grid.window(i, model.field.halo, model.field.align).shape for i in range(len(grid))),
        key=lambda shape: shape[0] * shape[1],
    )
    lines = [
        f"{path}: ok",
        f"image {grid.shape[0]}x{grid.shape[1]}, {len(grid)} blocks of "
        f"{grid.block_shape[0]}x{grid.block_shape[1]}, {problem.kind}, {problem.m} measurements a "
        f"block, {problem.images or 1} image(s), "
        f"truth {'known' if problem.has_truth else 'unknown'}",
        f"denoiser {model.path.stem}: halo {model.field.halo}, windows up to "
        f"{window[0]}x{window[1]}",
        f"{ranks} rank(s): {min(own)} to {max(own)} blocks each, "
        f"{max(own) * problem.bytes_per_block() / 2**20:.0f} MiB of A, y and x at most",
    ]
    if min(own) != max(own):
        lines.append(f"warning: uneven; {_even_counts(len(grid))} ranks would divide the blocks")
    return "\n".join(lines)


def list_models() -> str:
    """The shipped denoisers, a line each."""
    lines = []
    for name in model_names():
        model = find_model(name)
        sigma = f"sigma {255 * model.sigma:g}/255" if model.sigma else "sigma unknown"
        lines.append(f"{name}: {sigma}, halo {model.field.halo}, {model.parameters} parameters")
    return "\n".join(lines)


def describe_model(name: str) -> str:
    """What an ONNX file does, found by its graph and by trying it. Raises ValueError."""
    model: DenoiserModel = find_model(name)
    error = halo_error(model)
    verdict = "exact" if error <= EXACT else "NOT exact"
    return "\n".join(
        [
            f"{model.path}",
            f"returns the {model.output}; range {model.low:g} to {model.high:g}; "
            + (f"trained for sigma {255 * model.sigma:g}/255" if model.sigma else "sigma unknown"),
            f"halo {model.field.halo} pixels, windows aligned to {model.field.align}, "
            f"{model.parameters} parameters",
            f"tiles differ from the whole by at most {error:.1e}: {verdict}",
        ]
    )


def _even_counts(blocks: int) -> str:
    return ", ".join(str(n) for n in range(1, blocks + 1) if blocks % n == 0)
