"""What rank 0 finds out before anything is spent: the input, checked, the same on every rank."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asyncred.denoisers.onnx import DenoiserModel
from asyncred.denoisers.tiles import EXACT
from asyncred.errors import InputError
from asyncred.files.checkpoint_reading import read_block
from asyncred.files.damage import one_line
from asyncred.files.identity import Inputs
from asyncred.files.problem import Asked, Problem, read_problem
from asyncred.files.problem.plausible import settle
from asyncred.files.problem.tiff import files_of
from asyncred.files.result import read_result_block, read_start
from asyncred.operators import Image
from asyncred.runtime.config import STARTS, FilesConfig, MachineConfig, RunConfig
from asyncred.runtime.denoising import chosen, load_draft, load_model
from asyncred.runtime.refusals import (
    check_files,
    check_start_known,
    check_together,
    resumable,
)
from asyncred.runtime.updates import Proximal, precise, proximal_of

Read = Callable[[Path, Asked], Problem]
"""What reads a problem file."""

MEMORY_SHARE = 0.5
"""How much of a rank's share of the node's memory an image's data may take."""


@dataclass(frozen=True)
class Plan:
    """A checked problem and a denoiser that was tried out."""

    problem: Problem
    sha256: str
    """Of the problem file, and of others that it takes values from."""
    inputs: Inputs
    """Which files these are."""
    denoiser: str
    """Its name, or its file."""
    model: DenoiserModel
    draft: DenoiserModel | None
    """A cheaper denoiser for large steps."""
    tiling_error: float
    start: str
    """What it starts from: a name or a file."""
    tau: float
    """The weight of the denoiser."""
    noise: float | None
    """Of y, by which tau was chosen: ``Data.noise``; None where it was not."""
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
    def has_potential(self) -> bool:
        """Whether G is the gradient of an objective: all denoisers in use have a potential."""
        return self.model.has_potential and (self.draft is None or self.draft.has_potential)

    @property
    def first_image(self) -> int:
        """Of those that are asked for."""
        return self.problem.images[0]

    @property
    def halo_exact(self) -> bool:
        """Whether tiles equal the whole, by the graph and by trial."""
        return self.model.halo_known and self.tiling_error <= EXACT


def make_plan(
    config: RunConfig, ranks: int, *, files: FilesConfig | None, read: Read = read_problem
) -> Plan:
    """Check the whole input; ``files`` are what is written, None where nothing is.

    Raises ValueError where the input is at fault.
    """
    asked, update = config.data, config.update
    block = asked.block or (None if files is None else _block_before(files))
    inputs = Inputs.of(files_of(asked.problem) if asked.problem.exists() else [])
    problem = read(asked.problem, Asked.of(asked, ranks=ranks, block=block))
    problem = precise(update, problem)
    together = _ranks_per_image(config.machine, problem, ranks)
    check_together(config, problem, together)
    check_start_known(asked.start, problem)
    if files is not None:
        check_files(config, problem)
    denoiser = chosen(config.denoiser, problem.data.prior)
    model, error = load_model(denoiser, problem)
    tau, noise = weight_of(problem, model, denoiser.tau)
    proximal = proximal_of(update, problem, model, tau)
    if not isinstance(asked.bounds, str):
        _check_bounds(tau, proximal)
    digest, inputs = _input(inputs, problem)
    budget = config.stopping.budget(len(problem.grid))
    return Plan(
        problem,
        digest,
        inputs,
        str(denoiser.name),
        model,
        load_draft(denoiser, model, proximal=proximal is not None),
        error,
        _start(asked.start, problem, proximal),
        tau,
        noise,
        proximal,
        budget,
        config.stopping.tolerance(proximal=proximal is not None),
        together,
        [False] * len(problem.images)
        if files is None
        else resumable(files, problem, digest, budget),
        settle(problem.path, problem.doubts(asked.range or problem.shades), strict=asked.strict),
    )


def weight_of(
    problem: Problem, model: DenoiserModel, asked: float | None
) -> tuple[float, float | None]:
    """tau, and the noise of y where it follows from that. Raises ValueError."""
    if asked is not None:
        return asked, None
    noise = problem.noise()
    return float(f"{problem.data.prior.weight(model.level, noise):.3g}"), noise


def stored_blocks(start: str, problem: Problem, own: list[int], index: int) -> dict[int, Image]:
    """x0 of some blocks of an image, from an HDF5 file of one or of all. Raises ValueError."""
    grid, dtype = problem.grid, problem.data.dtype
    with one_line(start):
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


def sha256(files: Iterable[Path]) -> str:
    """Hexadecimal digest of the contents of files, one after the other."""
    digest = hashlib.sha256()
    for part in files:
        with part.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _input(before: Inputs, problem: Problem) -> tuple[str, Inputs]:
    """The digest of all input files, and what they are; raises ValueError if they change now."""
    files = [*files_of(problem.path), *problem.sources]
    found, digest = Inputs.of(files), sha256(files)
    before.check()
    found.check()
    return digest, found


def _block_before(files: FilesConfig) -> tuple[int, int] | None:
    """The size of the blocks of the run that is resumed, if one is."""
    if files.resume is None:
        return None
    if files.resume.exists():
        return read_block(files.resume)
    return read_result_block(files.output) if files.output.exists() else None


def _start(asked: str, problem: Problem, proximal: Proximal | None) -> str:
    """The start that is meant. Raises ValueError where this kind of problem has none such."""
    known: list[str] = [*problem.data.starts, "zero"]
    if asked == "auto":
        return "tv" if proximal and "tv" in known else known[0]
    if asked in STARTS and asked not in known:
        raise InputError(
            f"--start is {asked!r}, expected {', '.join(known)} ({problem.kind}) or a file"
        )
    return asked


def _ranks_per_image(machine: MachineConfig, problem: Problem, ranks: int) -> int:
    """As many as the user says; else as few as leave no rank idle and as memory allows.

    Raises ValueError where there are not so many.
    """
    images, blocks, asked = len(problem.images), len(problem.grid), machine.ranks_per_image
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


def _check_bounds(tau: float, proximal: Proximal | None) -> None:
    """Whether the update that is meant can keep x within bounds. Raises ValueError."""
    if proximal is None and tau == 0:
        raise InputError("--bounds with --tau 0: expected --tau > 0, or --update proximal --mu")
    if proximal is not None and proximal.factors is not None:
        raise InputError("--bounds with --factors: factors know none, expected one of the two")


def _check_finite(place: str, blocks: Mapping[int, Image]) -> None:
    for i, block in blocks.items():
        if not np.isfinite(block).all():
            raise InputError(f"{place}: block {i} holds NaN or Inf, expected finite numbers")
