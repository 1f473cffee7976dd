"""``asyncred check``: whether a problem is valid, and what a job will need before it is spent."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asyncred.commands.center_picture import write_center_picture
from asyncred.commands.forecast import Job, forecast, largest_window
from asyncred.commands.models import level
from asyncred.errors import BadImage
from asyncred.files.problem import Asked, CoupledData, LocalData, Problem, read_problem
from asyncred.files.problem.plausible import marked, said, settle
from asyncred.operators import CartesianMri, ForwardModel, Image, Weighted
from asyncred.operators.cartesian_mri import zero_filled
from asyncred.operators.contract import dot_test
from asyncred.operators.weighted import on_footprints
from asyncred.runtime.config import DenoiserConfig
from asyncred.runtime.denoising import chosen, load_model, tiles_said
from asyncred.runtime.heading import by_noise
from asyncred.runtime.placement import owners
from asyncred.runtime.plan import truth_blocks, weight_of
from asyncred.runtime.shades import OTHERWISE, Decision, Pair, decide, values_of


def describe(
    path: Path,
    asked: Asked,
    denoiser: DenoiserConfig,
    *,
    per_node: int | None = None,
    minibatch: int | None = None,
    shades: tuple[float, float] | None = None,
    strict: bool = False,
    center_picture: Path | None = None,
) -> str:
    """Validate a problem for a number of ranks, ``per_node`` of them on a node (all).

    Its blocks, halo, memory and time, as tried here with the denoiser that a run would take.
    Raises ValueError; where ``strict``, for what looks wrong too. ``shades`` are the image's values
    for black and white, if the user says them; ``center_picture`` the file for slices about several
    axes.
    """
    problem, ranks = read_problem(path, asked), asked.ranks
    drawn = [write_center_picture(problem, asked, center_picture)] if center_picture else []
    grid = problem.grid
    model, error = load_model(chosen(denoiser, problem.data.prior), problem)
    left_out = _validate(problem, ranks, minibatch)
    remarks = [*_remarks(problem, shades, strict=strict), *left_out]
    owner = owners(len(grid), ranks)
    own = [owner.count(rank) for rank in range(ranks)]
    window = largest_window(grid, model)
    tau, noise = weight_of(problem, model, None)
    lines = [
        f"{path}: ok",
        f"image {grid.shape[0]}x{grid.shape[1]}, {len(grid)} blocks of "
        f"{grid.block_shape[0]}x{grid.block_shape[1]}, {problem.kind}, {problem.data.described}, "
        f"{len(problem.images)} image(s), "
        f"truth {'known' if problem.has_truth else 'unknown'}",
        *remarks,
        *drawn,
        f"denoiser {model.path.stem}: {level(model)}, halo {model.field.halo}, windows up to "
        f"{window[0]}x{window[1]}, {tiles_said(model, error)}; tau {tau:g}{by_noise(noise)}",
        *(f"note: {note}" for note in model.notes),
        f"{ranks} rank(s): {min(own)} to {max(own)} blocks each, with at most "
        f"{problem.data.bytes_of(max(own)) / 2**20:.3g} MiB of {problem.data.counted}",
    ]
    if isinstance(problem.data, CoupledData):
        lines.append(_dot_test(problem, problem.data))
    job = Job(problem, model, owner, ranks, min(per_node or ranks, ranks), minibatch)
    lines += forecast(job)
    if min(own) != max(own):
        lines.append(f"warning: uneven; {_even_counts(len(grid))} ranks would get equal shares")
    return "\n".join(lines)


def _validate(problem: Problem, ranks: int, minibatch: int | None) -> list[str]:
    """Read all of the problem that can be wrong; a line for each image of a stack to be left out.

    Raises ValueError.
    """
    blocks, groups = len(problem.grid), problem.data.groups
    if ranks > blocks:
        raise ValueError(
            f"{problem.path}: {blocks} blocks for {ranks} ranks, expected at most as many"
        )
    if minibatch is not None and minibatch > groups:
        raise ValueError(f"--minibatch is {minibatch}, expected at most {groups} (measurements)")
    for index in problem.images:
        for i in range(blocks):
            truth_blocks(problem, [i], index)
    return _left_out(problem)


def _left_out(problem: Problem) -> list[str]:
    """Images of a stack without measurements, a line each. Raises ValueError where all are."""
    bad: dict[int, BadImage] = {}
    for index in problem.images:
        try:
            problem.data.of(index).check()
        except BadImage as error:
            bad[index] = error
    if len(bad) == len(problem.images):
        raise next(iter(bad.values()))
    return [f"!! image {index} will be left out: {error}" for index, error in bad.items()]


def _remarks(problem: Problem, asked: Pair | None, *, strict: bool) -> list[str]:
    """Notes and doubts, in lines. Raises ValueError for a doubt where ``strict``."""
    values = _values(problem, asked)
    doubts = (*problem.doubts(asked or problem.shades), *said(values.doubt))
    notes = (*problem.data.notes, *(f"{note}; {OTHERWISE}" for note in said(values.note)))
    return [
        *(f"note: {note}" for note in notes),
        *marked(settle(problem.path, doubts, strict=strict)),
    ]


def _values(problem: Problem, asked: Pair | None) -> Decision:
    """Black and white, as far as the block in the middle of the image tells them."""
    rows, cols = problem.grid.blocks_per_side
    block = _first_start(problem, rows // 2 * cols + cols // 2)
    if block is None:
        return Decision(asked or problem.shades or (0.0, 1.0))
    start = "the block in the middle of the start"
    return decide(problem, asked, values_of([block], 1)[0], name=start)


def _first_start(problem: Problem, i: int) -> Image | None:
    """``_start`` of the first image that has measurements. Raises ValueError where none has."""
    *others, last = problem.images
    for index in others:
        try:
            return _start(problem.data.of(index), i)
        except BadImage:
            continue
    return _start(problem.data.of(last), i)


def _start(data: LocalData | CoupledData, i: int) -> Image | None:
    """Block i of the default start; None where it takes all blocks to tell its scale."""
    name = next(iter(data.starts))
    if isinstance(data, LocalData):
        return data.starts[name](data.operator([i], threads=1), i)
    if name not in ("fbp", "zero-filled"):
        return None
    groups = range(data.groups)
    y = data.filtered(groups) if name == "fbp" else data.y(groups)
    model = data.model([i], threads=1)
    seen = model.footprint(i)
    columns = seen.first[:, None] + np.arange(seen.width)
    part = np.take_along_axis(y, columns, axis=1)
    if name == "fbp":
        return data.backproject(model, i, part)
    z = model.adjoint(i, part, None)
    if isinstance(model, CartesianMri):
        squares = model.squares(i)
        return zero_filled(z, squares, float(squares.max()))
    return z


def _dot_test(problem: Problem, data: CoupledData) -> str:
    """Whether A of a few blocks is what the algorithms take it for. Raises ValueError."""
    last = len(data.grid) - 1
    blocks = sorted({0, last // 2, last})
    model = data.model(blocks, threads=1)
    weighted = _weighted(problem, data, model, blocks)
    name, transpose = ("A", "A^T") if weighted is None else ("W^(1/2) A", "A^T W^(1/2)")
    found = dot_test(weighted or model, data.grid, blocks, np.random.default_rng(0))
    try:
        found.check()
    except ValueError as error:
        raise ValueError(f"{problem.path}: operator {problem.kind!r}: {error}") from None
    return (
        f"dot test of blocks {', '.join(map(str, blocks))}: <{name} x, z> and <x, {transpose} z> "
        f"differ by {found.mismatch:.1e} of ||{name} x|| ||z||; {name} x of half of the groups and "
        f"that half of {name} x by {found.subset:.1e}"
    )


def _weighted(
    problem: Problem, data: CoupledData, model: ForwardModel, blocks: list[int]
) -> Weighted | None:
    """W^(1/2) A of the first image that has measurements; None without weights."""
    for index in problem.images:
        try:
            w = data.of(index).weights_of(range(data.groups))
        except BadImage:
            continue
        return None if w is None else on_footprints(model, w, blocks)
    return None


def _even_counts(blocks: int) -> str:
    return ", ".join(str(n) for n in range(1, blocks + 1) if blocks % n == 0)
