"""What rank 0 finds out before anything is spent: the input, checked, the same on every rank."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asyncred.denoisers.onnx import EXACT, DenoiserModel
from asyncred.errors import InputError
from asyncred.files.checkpoint import previous, read_block, read_past
from asyncred.files.problem import Asked, Problem, read_problem
from asyncred.files.problem.plausible import settle
from asyncred.files.result import read_completed, read_result_block, read_start
from asyncred.files.whole import check_writable
from asyncred.operators import Image
from asyncred.runtime.config import STARTS, RunConfig
from asyncred.runtime.denoising import load_draft, load_model
from asyncred.runtime.updates import Proximal, precise, proximal_of

MEMORY_SHARE = 0.5
"""How much of a rank's share of the node's memory an image's data may take."""


@dataclass(frozen=True)
class Plan:
    """A checked problem and a denoiser that was tried out."""

    problem: Problem
    sha256: str
    """Of the problem file."""
    model: DenoiserModel
    draft: DenoiserModel | None
    """A cheaper denoiser for large steps."""
    tiling_error: float
    start: str
    """What it starts from: a name or a file."""
    tau: float
    """The weight of the denoiser."""
    proximal: Proximal | None
    """Which proximal update; None for the gradient's."""
    budget: int
    """Block updates of the whole run."""
    tol: float
    """Step of an epoch at which it stops."""
    ranks_per_image: int
    """How many ranks share an image; there are several such groups only for a stack."""
    done: list[bool]
    """Which images a resumed run finds complete."""
    doubts: tuple[str, ...]
    """What looks wrong about the problem."""

    @property
    def halo_exact(self) -> bool:
        """Whether tiles equal the whole, by the graph and by trial."""
        return self.model.halo_known and self.tiling_error <= EXACT


def make_plan(config: RunConfig, ranks: int) -> Plan:
    """Check the whole input. Raises ValueError where it is at fault."""
    block = config.block or _block_before(config)
    problem = read_problem(config.problem, Asked(config.images, ranks, block, config.center))
    problem = precise(config, problem)
    together = _ranks_per_image(config, problem, ranks)
    _check_ranks(config, problem, together)
    _check_steal(config)
    _check_minibatch(config, problem)
    _check_files(config, problem)
    model, error = load_model(config)
    tau = problem.data.tau if config.tau is None else config.tau
    proximal = proximal_of(config, problem, model, tau)
    start = _start(config, problem, proximal)
    digest = sha256(config.problem)
    return Plan(
        problem,
        digest,
        model,
        load_draft(config, model, proximal=proximal is not None),
        error,
        start,
        tau,
        proximal,
        config.budget(len(problem.grid)),
        config.tolerance(proximal=proximal is not None),
        together,
        _resumable(config, problem, digest),
        settle(problem.path, problem.doubts(config.range or problem.shades), strict=config.strict),
    )


def stored_blocks(start: str, problem: Problem, own: list[int], index: int) -> dict[int, Image]:
    """x0 of some blocks of an image, from an HDF5 file of one or of all. Raises ValueError."""
    grid, dtype = problem.grid, problem.data.dtype
    data, rows = read_start(Path(start), grid, problem.images, dtype)
    with data.file:
        blocks = {i: np.asarray(data[(*rows[index], *grid.block(i))], dtype) for i in own}
    _check_finite(start, blocks)
    return blocks


def truth_blocks(problem: Problem, own: list[int], index: int) -> dict[int, Image]:
    """The truth of some blocks of an image; empty where it is unknown. Raises ValueError."""
    if not problem.has_truth:
        return {}
    blocks = {i: problem.truth(problem.grid.block(i), index) for i in own}
    _check_finite(f"{problem.path}: /truth", blocks)
    return blocks


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def checkpoint_of(path: Path | None, problem: Problem, index: int) -> Path | None:
    """The file of one image's checkpoint: of a stack every image has its own."""
    if path is None or len(problem.images) == 1:
        return path
    return path.with_name(f"{path.stem}.{index:06d}{path.suffix}")


def _block_before(config: RunConfig) -> tuple[int, int] | None:
    """The size of the blocks of the run that is resumed, if one is."""
    if config.resume is None:
        return None
    if config.resume.exists():
        return read_block(config.resume)
    return read_result_block(config.output) if config.output.exists() else None


def _resumable(config: RunConfig, problem: Problem, digest: str) -> list[bool]:
    """Which images are complete already. Raises ValueError where there is nothing to go on with."""
    grid, dtype, images = problem.grid, problem.data.dtype, problem.images
    for index in images:
        cut = checkpoint_of(config.resume, problem, index)
        if cut is not None and cut.exists():
            read_past(cut, grid=grid, image=index, input_sha256=digest, dtype=dtype)
    if len(images) == 1 or config.resume is None or not config.output.exists():
        return [False] * len(images)
    return read_completed(
        config.output,
        images,
        grid=grid,
        dtype=dtype,
        with_truth=problem.has_truth,
        input_sha256=digest,
    )


def _check_minibatch(config: RunConfig, problem: Problem) -> None:
    most = problem.data.groups
    if config.minibatch is not None and config.minibatch > most:
        raise InputError(
            f"--minibatch is {config.minibatch}, expected at most {most} (measurements)"
        )


def _check_files(config: RunConfig, problem: Problem) -> None:
    """Whether all that is to be read and written can be, the one not over the other.

    Raises ValueError.
    """
    if config.output.resolve() == config.problem.resolve():
        raise InputError(f"{config.output}: is the problem file, expected another name")
    if config.start not in STARTS:
        dtype = problem.data.dtype
        read_start(Path(config.start), problem.grid, problem.images, dtype)[0].file.close()
    stack = len(problem.images) > 1
    goes_on = stack and config.resume is not None and config.output.exists()
    check_writable(config.output, overwrite=config.overwrite or goes_on)
    if config.resume is not None and not stack and not config.resume.exists():
        raise InputError(f"{config.resume}: no such checkpoint")
    checkpoint = config.checkpoint_file
    if checkpoint is None:
        return
    others = {"problem": config.problem, "output": config.output, "start": Path(config.start)}
    for index in problem.images:
        path = checkpoint_of(checkpoint, problem, index)
        assert path is not None
        check_writable(path, overwrite=config.resume is not None or config.overwrite)
        for name, other in others.items():
            if other.resolve() in (path.resolve(), previous(path).resolve()):
                raise InputError(f"{path}: is the {name} file too, expected another name")


def _start(config: RunConfig, problem: Problem, proximal: Proximal | None) -> str:
    """The start that is meant. Raises ValueError where this kind of problem has none such."""
    known: list[str] = [*problem.data.starts, "zero"]
    if config.start == "auto":
        return "tv" if proximal and "tv" in known else known[0]
    if config.start in STARTS and config.start not in known:
        raise InputError(
            f"--start is {config.start!r}, expected {', '.join(known)} ({problem.kind}) or a file"
        )
    return config.start


def _ranks_per_image(config: RunConfig, problem: Problem, ranks: int) -> int:
    """As many as the user says; else as few as leave no rank idle and as memory allows.

    Raises ValueError where there are not so many.
    """
    images, blocks, asked = len(problem.images), len(problem.grid), config.ranks_per_image
    if asked is not None and asked > ranks:
        raise InputError(f"--ranks-per-image is {asked}, expected at most {ranks} (ranks)")
    if images == 1:
        return ranks
    if asked is not None:
        return asked
    together = -(-ranks // images)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    room = MEMORY_SHARE * memory / min(ranks, os.cpu_count() or 1)
    while together < ranks and problem.data.bytes_of(-(-blocks // together)) > room:
        together += 1
    return together


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


def _check_steal(config: RunConfig) -> None:
    if config.steal == "off":
        return
    if config.method != "async":
        raise InputError(f"--steal on is of --method async, found --method {config.method}")
    if config.order != "epoch":
        raise InputError(
            f"--steal on takes the least-updated block, expected no --order {config.order}"
        )


def _check_finite(place: str, blocks: Mapping[int, Image]) -> None:
    for i, block in blocks.items():
        if not np.isfinite(block).all():
            raise InputError(f"{place}: block {i} holds NaN or Inf, expected finite numbers")
