"""What becomes of recovered images: gathered from the ranks, into a result file or into memory."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from asyncred.denoisers.values import with_phases
from asyncred.files.checkpoint import previous
from asyncred.files.problem.plausible import marked
from asyncred.files.result import SAMPLES, Layout, Record, ResultFile, create_result, write_result
from asyncred.history import Reason
from asyncred.metrics import against
from asyncred.operators import Image
from asyncred.red.bounds import count_at
from asyncred.red.pace import DRAFTED
from asyncred.runtime.collective import gather_blocks, on_root
from asyncred.runtime.comm import Comm, library_version
from asyncred.runtime.config import file_or_name
from asyncred.runtime.iterate import legs
from asyncred.runtime.job import Job, Setup
from asyncred.runtime.reconstruct import Outcome
from asyncred.runtime.refusals import checkpoint_of
from asyncred.runtime.terms import CoupledTerm
from asyncred.runtime.verdict import verdict_of

Streams = Mapping[str, Iterator[tuple[int, Image]]]
"""By name (data, start, truth) the blocks of an image, on rank 0; nothing elsewhere."""


class Results(Protocol):
    """Where recovered images go. Every method is collective."""

    def there(self, setup: Setup, row: int) -> None:
        """An image is there already, complete."""
        ...

    def open(self, setup: Setup) -> None:
        """Before the first image. Raises InputError."""
        ...

    def put(self, setup: Setup, row: int, job: Job, record: Record, outcome: Outcome) -> None:
        """Take an image, which may be incomplete."""
        ...

    def leave_out(self, setup: Setup, row: int, reason: str) -> None:
        """Flag an image that has no measurements as incomplete."""
        ...


class FileResults:
    """A result file: that of one image appears at the end, that of a stack fills up row by row."""

    def there(self, setup: Setup, row: int) -> None:
        """Remove the checkpoint that a run which was killed just then has left."""
        if setup.team.comm.rank == 0:
            problem, kept = setup.plan.problem, setup.config.files.kept
            _forget(checkpoint_of(kept, problem, setup.images[row]))

    def open(self, setup: Setup) -> None:
        """Make the result of a stack, unless one is there to go on with."""
        if len(setup.images) > 1:
            on_root(setup.team.everybody, lambda: _open_stack(setup))

    def put(self, setup: Setup, row: int, job: Job, record: Record, outcome: Outcome) -> None:
        """Write an image: rank 0 writes, the others send it their blocks."""
        images, comm = streams(setup, job, outcome), setup.team.comm
        output = setup.config.files.output
        if comm.rank != 0:
            for stream in images.values():
                for _ in stream:
                    pass
        elif len(setup.images) == 1:
            layout = _layout(setup, len(record.history), len(record.drifts), job.notes)
            write_result(output, layout, record, images)
        else:
            with ResultFile(output) as file:
                file.write(row, setup.plan.problem.grid, record, images)
            if record.complete:
                _forget(job.checkpoint)
        comm.Barrier()

    def leave_out(self, setup: Setup, row: int, reason: str) -> None:
        """Write the reason; its flag stays down."""
        if setup.team.comm.rank == 0:
            with ResultFile(setup.config.files.output) as file:
                file.leave_out(row, reason)
        setup.team.comm.Barrier()


def _forget(checkpoint: Path | None) -> None:
    """Remove a checkpoint that nobody will resume from."""
    if checkpoint is not None:
        for path in (checkpoint, previous(checkpoint)):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Recovered:
    """An image in memory, and what is said of it."""

    image: Image
    start: Image
    record: Record


class MemoryResults:
    """Recovered images by row, on rank 0 of the ranks that shared each."""

    def __init__(self) -> None:
        self.rows: dict[int, Recovered] = {}

    def there(self, setup: Setup, row: int) -> None:
        """Never."""

    def open(self, setup: Setup) -> None:
        """Nothing is to be made."""

    def put(self, setup: Setup, row: int, job: Job, record: Record, outcome: Outcome) -> None:
        """Keep an image."""
        grid, dtype = setup.plan.problem.grid, setup.plan.problem.data.dtype
        whole: dict[str, Image] = {}
        for name, stream in streams(setup, job, outcome).items():
            whole[name] = np.zeros(grid.shape, dtype)
            for i, block in stream:
                whole[name][grid.block(i)] = block
        if setup.team.comm.rank == 0:
            self.rows[row] = Recovered(whole["data"], whole["start"], record)

    def leave_out(self, setup: Setup, row: int, reason: str) -> None:
        """Never: arrays hold measurements of all images."""


def streams(setup: Setup, job: Job, outcome: Outcome) -> Streams:
    """The blocks of an image, of its start and of the truth where it is known."""
    problem, owner = setup.plan.problem, setup.team.placement.owner
    images: dict[str, Mapping[int, Any]] = {"data": outcome.final, "start": job.term.x0}
    if problem.has_truth:
        images["truth"] = job.truth
    return {
        name: gather_blocks(
            setup.team.comm,
            problem.grid,
            owner,
            with_phases(blocks, job.term.phases),
            problem.data.dtype,
        )
        for name, blocks in images.items()
    }


def gather_record(setup: Setup, job: Job, outcome: Outcome) -> Record:
    """What a result says of an image; meant on rank 0 only. Collective."""
    comm, monitor = setup.team.comm, outcome.monitor
    counts = np.zeros(len(setup.plan.problem.grid), np.int64)
    for i, count in monitor.counts.items():
        counts[i] = count
    drafted = np.zeros_like(counts)
    for i in job.own:
        drafted[i] = outcome.pace[i][DRAFTED]
    at_bounds = comm.allreduce(_at_bounds(job, outcome)) / math.prod(job.plan.problem.grid.shape)
    last, tol = monitor.history[-1:], setup.plan.tol
    per_block, drafts, delays = (_total(comm, own) for own in (counts, drafted, monitor.delays))
    return Record(
        monitor.history,
        per_block,
        drafts,
        job.placement.owner,
        np.array(comm.gather(int(counts.sum())) or []),
        delays + job.past.delays,
        comm.gather(outcome.times) or [],
        outcome.ending.reason in (Reason.BUDGET, Reason.TOLERANCE),
        outcome.ending.reason.name.lower(),
        job.shades,
        outcome.drifts,
        min(comm.gather(outcome.relaxation) or [outcome.relaxation]),
        verdict_of(outcome.ending, last[0], tol, at_bounds) if comm.rank == 0 else "",
        outcome.ending.left,
        outcome.ending.kept,
        outcome.ending.back,
        at_bounds,
        _against(setup, job, outcome),
    )


def _against(setup: Setup, job: Job, outcome: Outcome) -> tuple[float, float]:
    """SNR and SSIM to the reference image of the file, on rank 0 of the image. Collective."""
    comm, problem = setup.team.comm, setup.plan.problem
    data, grid = problem.data.of(job.index), problem.grid
    reference = on_root(comm, lambda: data.reference() is not None)
    if not reference:
        return math.nan, math.nan
    whole = np.zeros(grid.shape, data.dtype)
    owner = setup.team.placement.owner
    final = with_phases(outcome.final, job.term.phases)
    for i, block in gather_blocks(comm, grid, owner, final, data.dtype):
        whole[grid.block(i)] = block
    found = data.reference() if comm.rank == 0 else None
    return (math.nan, math.nan) if found is None else against(found, whole)


def _at_bounds(job: Job, outcome: Outcome) -> int:
    """How many pixels of the own blocks lie on the bounds that the program has chosen."""
    if job.bounds is None or job.config.data.bounds != "auto":
        return 0
    low, high = job.bounds
    if low == job.plan.problem.data.floor:  # where x may well lie
        low = -math.inf
    return sum(count_at(block, low, high) for block in outcome.final.values())


def parameters_used(setup: Setup) -> dict[str, Any]:
    """The parameters of a run by key, those that were left open as they were chosen."""
    plan = setup.plan
    return {
        **setup.config.as_json(),
        "denoiser": file_or_name(plan.denoiser),
        "sigma": plan.model.level,
        "start": plan.start,
        "weights": plan.problem.data.weighting,
        "tau": plan.tau,
        "update": plan.proximal.words if plan.proximal else "gradient",
        "mu": plan.proximal.mu if plan.proximal else None,
        "momentum": plan.proximal.momentum if plan.proximal else None,
        "inner": plan.proximal.steps if plan.proximal else None,
        "rounds": plan.proximal.rounds if plan.proximal else None,
        "tol": plan.tol,
        "draft": plan.draft.path.stem if plan.draft else "none",
    }


def _open_stack(setup: Setup) -> None:
    config, grid = setup.config, setup.plan.problem.grid
    if config.files.resume is None or not config.files.output.exists():
        coupled = isinstance(setup.term, CoupledTerm)
        renewals = legs(setup.plan.budget, config.update.refresh, len(grid), coupled=coupled)
        drifts = len(renewals) if coupled else 0
        create_result(config.files.output, _layout(setup, SAMPLES, drifts))


def _layout(setup: Setup, samples: int, drifts: int, notes: Sequence[str] = ()) -> Layout:
    """What the result file says of all images, with room for so much of each one's history.

    ``notes`` are those that came up after the start.
    """
    problem, ranks = setup.plan.problem, setup.team.everybody.size
    return Layout(
        problem.grid,
        problem.data.dtype,
        setup.images,
        ranks,
        samples,
        drifts,
        problem.has_truth,
        _provenance(setup, notes),
    )


def _provenance(setup: Setup, notes: Sequence[str]) -> dict[str, Any]:
    """Where a result comes from."""
    plan, team = setup.plan, setup.team
    told = [*plan.problem.data.notes, *plan.model.notes, *marked(plan.doubts), *notes]
    return {
        "parameters": parameters_used(setup),
        "command": shlex.join(sys.argv),
        "input": str(plan.problem.path.resolve()),
        "input_sha256": plan.sha256,
        "kind": plan.problem.kind,
        "denoiser": plan.model.path.name,
        "halo": plan.model.field.halo,
        "halo_exact": plan.halo_exact,
        "tile_error": plan.tiling_error,
        "align": plan.model.field.align,
        "block": list(plan.problem.grid.block_shape),
        "ranks": team.everybody.size,
        "hosts": team.hosts,
        "threads_per_rank": team.placement.threads,
        "providers": [provider.words for provider in setup.denoisers.providers],
        "onnxruntime": onnxruntime.__version__,
        "mpi": library_version(team.everybody),
        **({"notes": told} if told else {}),
    }


def _total(comm: Comm, own: Any) -> Any:
    """The sum over all ranks, on rank 0; the own part elsewhere. Collective."""
    parts = comm.gather(own)
    return sum(parts[1:], parts[0]) if parts else own
