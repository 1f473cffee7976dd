"""What a result says: blocks and records gathered from the ranks, and where they come from."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from asyncred.denoisers.values import with_phases
from asyncred.files.problem.plausible import marked
from asyncred.files.result import Layout, Record
from asyncred.history import Reason
from asyncred.metrics import against
from asyncred.operators import Image
from asyncred.red.bounds import count_at
from asyncred.red.pace import DRAFTED
from asyncred.runtime.collective import gather_blocks, on_root
from asyncred.runtime.comm import Comm, library_version
from asyncred.runtime.config import file_or_name
from asyncred.runtime.job import Job, Setup
from asyncred.runtime.reconstruct import Outcome
from asyncred.runtime.verdict import verdict_of

Streams = Mapping[str, Iterator[tuple[int, Image]]]
"""By name (data, start, truth) the blocks of an image, on rank 0; nothing elsewhere."""


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


def layout_of(setup: Setup, samples: int, drifts: int, notes: Sequence[str] = ()) -> Layout:
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
